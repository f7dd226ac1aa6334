"""Collects what a checkpoint states about its settings, from every place where a project writes it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from torch import Tensor

from detr2litert.convert.models.checkpoints.containers import Contents
from detr2litert.convert.models.checkpoints.preprocessor import preprocessor_statements
from detr2litert.convert.models.settings.anchors import size_of_anchors
from detr2litert.convert.models.settings.statements import Statement, from_arguments, from_config, state
from detr2litert.convert.models.variants import Family
from detr2litert.host_runtime.errors import UserError

_DECIDED_BY_TENSORS = {"keypoints_per_class"}
"""Settings that the weights fix: rfdetr's arguments may be those of the model that training started from (rfdetr/detr.py,
``from_checkpoint``, 1.11.2)."""
_SIZES = ("anchor_image_size", "eval_size")
"""Fields of transformers' config.json that hold the size of the input (height, width)."""


def collect_statements(
    family: Family,
    tensors: Mapping[str, Tensor],
    contents: Contents | None,
    config: Mapping[str, Any] | None,
    preprocessor: Mapping[str, Any] | None,
    source: str,
) -> tuple[Statement, ...]:
    """Returns the statements of a checkpoint.

    Args:
        family: of the detector; it knows the names of the arguments and the fields of the configuration.
        tensors: of the checkpoint.
        contents: of a pickled container.
        config, preprocessor: config.json and preprocessor_config.json of a folder.
        source: of the checkpoint, for messages.

    Raises:
        UserError: a value of the wrong type, or something that cannot be honoured.
    """
    found: list[Statement] = []
    if contents is not None:
        for place, arguments in contents.arguments.items():
            _check_required(family, arguments, place, source)
            found += from_arguments(arguments, place, family.arguments, source, family.counted_from_zero)
            if family.selected_before is not None and contents.arguments_are_a_namespace:
                found = _selected(family.selected_before, found, arguments, place)
        found += _resize(family, contents, source)
    if config is not None:
        found += from_config(config, {"num_queries": ("num_queries",), **family.fields, **family.config_states}, source)
        found += [state("resolution", config[key], f"config.json: {key}", source) for key in _SIZES if config.get(key)]
    if preprocessor is not None:
        found += preprocessor_statements(preprocessor, source)
    own = list(_from_tensors(tensors, source))
    decided = {statement.setting for statement in own} & _DECIDED_BY_TENSORS
    return (*own, *(statement for statement in found if statement.setting not in decided))


def _check_required(family: Family, arguments: Mapping[str, object], place: str, source: str) -> None:
    for key, allowed in family.required_arguments.items():
        value = arguments.get(key)
        if value is not None and (list(value) if isinstance(value, tuple) else value) not in allowed:
            expected = " or ".join(map(repr, allowed))
            raise UserError(
                f"checkpoint {source} is a {family.name} with {key} {value!r} ({place}.{key}), which the reference cannot "
                f"compute: only {expected}"
            )


def _selected(before: tuple[str, int], found: list[Statement], arguments: Mapping[str, object], place: str) -> list[Statement]:
    """Replaces what the file states of ``num_select`` by what the original's prediction selects, where that is fixed."""
    newer, selected = before
    if newer in arguments:
        return found
    others = [statement for statement in found if statement.setting != "num_select"]
    return [*others, Statement("num_select", selected, f"fixed in the version that wrote {place}, which has no {newer}")]


def _from_tensors(tensors: Mapping[str, Tensor], source: str) -> Iterator[Statement]:
    for name, tensor in tensors.items():
        if re.search(r"(^|\.)decoder\.anchors$", name):
            yield Statement("resolution", size_of_anchors(tensor), f"{name}, {tensor.shape[1]} rows")
        elif re.search(r"(^|\.)_kp_active_mask$", name) and tensor.dim() == 2 and tensor.numel():
            # Which of the places of each class are keypoints, [classes, most keypoints].
            yield state("keypoints_per_class", tensor.bool().sum(1).tolist(), name, source)


def _resize(family: Family, contents: Contents, source: str) -> Iterator[Statement]:
    """Yields the interpolation of the original project's own prediction, where that depends on its version."""
    if family.antialiased_before is None or contents.exported:  # by a version that the file does not state
        return
    version = contents.facts.get("rfdetr_version")
    if isinstance(version, str) and (match := re.match(r"(\d+)\.(\d+)", version)):
        plain = (int(match[1]), int(match[2])) >= family.antialiased_before
        yield state("resize", "bilinear" if plain else "bilinear_antialias", f"rfdetr_version {version}", source)
    elif contents.arguments_are_a_namespace:
        yield state("resize", "bilinear_antialias", "args is a Namespace, as rfdetr writes before 1.6", source)
    elif "args" in contents.arguments and "model_name" not in contents.facts and "model_config" not in contents.arguments:
        yield state("resize", "bilinear_antialias", "no model_name beside args, as rfdetr 1.6 writes", source)
