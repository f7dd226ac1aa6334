"""Identifies a checkpoint from its tensors: its family, its architectural facts, and the matching variants."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

from torch import Tensor

from detr2litert.convert.models.checkpoints.model import Checkpoint
from detr2litert.convert.models.checkpoints.unsupported import describe_names
from detr2litert.convert.models.settings.setting import in_words
from detr2litert.convert.models.variants import FAMILIES, VARIANTS, Fact, Family, Variant, find_variant
from detr2litert.host_runtime.errors import UserError

_LAYERS = "decoder layers"
_GRID = "position grid"
"""The only fact that depends on the training resolution and not on the architecture."""


def recognise_family(tensors: Mapping[str, Tensor], source: str) -> Family:
    """Returns the family whose signature matches the tensor names.

    Raises:
        UserError: a related model that cannot be converted (segmentation, adapters …), or an architecture of no known family.
    """
    whole = next((family for family in FAMILIES if all(_matching(pattern, tensors) for pattern in family.signature)), None)
    for family in FAMILIES if whole is None else (whole,):
        for pattern, description in family.other_models.items():
            if _matching(pattern, tensors) and _matching(family.signature[-1], tensors):
                raise UserError(f"checkpoint {source} is {description}")
    if whole is None:
        raise UserError(f"checkpoint {source} is {describe_names(tensors.keys())}")
    return whole


def read_facts(family: Family, tensors: Mapping[str, Tensor]) -> dict[str, int]:
    """Reads the family's facts by name, and ``"queries"`` = query rows / groups where that is an integer."""
    facts = {name: value for name, fact in family.facts.items() if (value := _read(fact, tensors)) is not None}
    rows, groups = facts.get("query rows"), facts.get("groups")
    if rows and groups and rows % groups == 0:
        facts["queries"] = rows // groups
    return facts


def matching_variants(
    family: Family, facts: Mapping[str, int], original: bool = False, class_name: object = None
) -> tuple[str, ...]:
    """Returns the names of the family's variants that have these facts; some only in the ``original`` project's naming.

    A model that was fine-tuned at another resolution keeps its position grid, or, since rfdetr 1.6.5 (#956), has a grid that
    follows the resolution. So the grid decides between variants of equal architecture if it matches one of theirs, and is
    ignored otherwise. Likewise, a number of decoder layers that no variant has is the checkpoint's own. ``class_name``, the
    class of the original project that the file states, decides between variants that nothing else tells apart.
    """
    rows = [row for row in VARIANTS.values() if row.family is family and (original or not row.only_original)]
    others = {name: value for name, value in facts.items() if name != _LAYERS}
    same = [row for row in rows if not differences(row, facts)] or [row for row in rows if not differences(row, others)]
    exact = [row.name for row in same if row.expected.get(_GRID) == facts.get(_GRID)]
    names = exact or [row.name for row in same]
    return tuple([name for name in names if class_name is not None and VARIANTS[name].class_name == class_name] or names)


def differences(variant: Variant, facts: Mapping[str, int]) -> list[str]:
    """Describes the architectural facts in which a checkpoint differs from a variant."""
    return [
        f"{name} {facts[name]} instead of {value}"
        for name, value in variant.expected.items()
        if name != _GRID and name in facts and facts[name] != value
    ]


def choose_variant(checkpoint: Checkpoint, requested: str | None = None) -> Variant:
    """Returns the variant to build: the requested one if the checkpoint matches it, else the one that the checkpoint matches.

    Raises:
        UserError: an unknown name, or a checkpoint that matches another variant (both are named), none, or several.
    """
    if requested is None:
        if len(checkpoint.variants) == 1:
            return VARIANTS[checkpoint.variants[0]]
        if checkpoint.variants:
            raise UserError(
                f"checkpoint {checkpoint.source} could be {' or '.join(checkpoint.variants)}, which differ only in "
                f"{_settings_apart(checkpoint)}; choose one with --variant"
            )
        raise UserError(f"checkpoint {checkpoint.source} matches no known variant: {_describe(checkpoint)}")
    variant = find_variant(requested)
    if variant.name in checkpoint.variants:
        return variant
    if checkpoint.variants:
        found = " or ".join(checkpoint.variants)
        raise UserError(
            f"checkpoint {checkpoint.source} is {found}, not {variant.name} ({_contrast(variant, checkpoint)}); "
            f"use --variant {found}"
        )
    raise UserError(
        f"checkpoint {checkpoint.source} is not {variant.name} ({_contrast(variant, checkpoint)}) nor any other variant"
    )


def _settings_apart(checkpoint: Checkpoint) -> str:
    """Returns in which settings the variants that a checkpoint could be differ, with the values."""
    settings = [_settings_of(VARIANTS[name], checkpoint) for name in checkpoint.variants]
    apart = [name for name, value in settings[0].items() if any(other.get(name) != value for other in settings)]
    return ", ".join(f"{name} ({' or '.join(in_words(other.get(name)) for other in settings)})" for name in apart)


def _settings_of(variant: Variant, checkpoint: Checkpoint) -> dict[str, Any]:
    original = variant.original_settings if checkpoint.is_original else {}
    return {**variant.default_settings(), **{name: setting.value for name, setting in original.items()}}


def _contrast(variant: Variant, checkpoint: Checkpoint) -> str:
    if variant.family is not checkpoint.family:
        return f"{checkpoint.family.name} instead of {variant.family.name}"
    grid = f"{_GRID} {checkpoint.facts.get(_GRID)} instead of {variant.expected.get(_GRID)}"
    return ", ".join(differences(variant, checkpoint.facts)) or grid


def _describe(checkpoint: Checkpoint) -> str:
    return f"{checkpoint.family.name} with " + ", ".join(f"{name} {value}" for name, value in checkpoint.facts.items())


def _matching(pattern: str, tensors: Mapping[str, Tensor]) -> list[str]:
    return [name for name in tensors if re.search(pattern, name)]


def _read(fact: Fact, tensors: Mapping[str, Tensor]) -> int | None:
    names = _matching(fact.pattern, tensors)
    if not names:
        return None
    if fact.how == "count":
        return len({match[1] for name in names if (match := re.search(fact.pattern, name))})
    shape = tensors[names[0]].shape
    if len(shape) <= fact.axis:
        return None
    return int(shape[fact.axis]) if fact.how == "size" else math.isqrt(max(int(shape[fact.axis]) - 1, 0))
