"""Makes the transformers configuration of a detector, from its variant or its config.json, its facts and its settings."""

from __future__ import annotations

import copy
import importlib
from collections.abc import Mapping
from typing import Any

from detr2litert.convert.models.checkpoints import Checkpoint
from detr2litert.convert.models.originals import computes_as_original
from detr2litert.convert.models.settings import Settings, Size, Sourced, resolve_settings
from detr2litert.convert.models.settings.fields import FieldPath, read_field, write_field
from detr2litert.convert.models.settings.picture import per_channel
from detr2litert.convert.models.variants import Variant
from detr2litert.convert.quiet import quiet
from detr2litert.host_runtime.errors import UserError


def settings_of(variant: Variant, checkpoint: Checkpoint | None = None, requested: Mapping[str, Any] | None = None) -> Settings:
    """Decides the settings of a detector; see ``convert.models.settings``.

    Raises:
        UserError: the checkpoint contradicts itself, or a requested setting does not exist or does not fit.
    """
    defaults = variant.default_settings()
    if checkpoint is None:
        settings = resolve_settings(defaults, variant.name, requested=requested)
    else:
        settings = resolve_settings(
            defaults,
            variant.name,
            checkpoint.statements,
            _implied(variant, checkpoint),
            requested,
            checkpoint.source,
        )
    _check_size(variant, settings)
    return per_channel(settings)


def _implied(variant: Variant, checkpoint: Checkpoint) -> dict[str, Sourced[Any]]:
    """Returns the settings that follow from the checkpoint's tensors, and from whose naming they have."""
    facts = checkpoint.facts
    implied: dict[str, Sourced[Any]] = dict(variant.original_settings) if checkpoint.is_original else {}
    grid = facts.get("position grid")
    if grid is not None and variant.patch is not None and variant.position_grid is not None:
        # If a variant's own grid is resolution / patch, a fine-tuned checkpoint's is too (rfdetr 1.6.5, config.py,
        # _sync_pe_with_resolution).
        follows = variant.position_grid * variant.patch == variant.resolution
        if follows and grid != variant.position_grid and grid * variant.patch % variant.resolution_step == 0:
            side = grid * variant.patch
            implied["resolution"] = Sourced(Size(side, side), f"position grid of {grid} × patch {variant.patch}")
    layers = facts.get("decoder layers")
    if layers is not None and layers != variant.expected.get("decoder layers"):
        implied["decoder_layers"] = Sourced(layers, "the decoder's tensors")
    if "queries" in facts:
        implied["num_queries"] = Sourced(facts["queries"], f"{facts['query rows']} query rows in {facts['groups']} groups")
    if "input channels" in facts:
        implied["input_channels"] = Sourced(facts["input channels"], "the first convolution")
    return implied


def _check_size(variant: Variant, settings: Settings) -> None:
    """Refuses a resolution that the detector cannot run at.

    Raises:
        UserError: a side is not a multiple of the step, or there are fewer tokens than queries.
    """
    size, windows = settings.resolution.value, settings.architecture.get("windows")
    step = variant.resolution_step
    if windows is not None and variant.patch is not None:
        step = variant.patch * windows.value
        parts = f"patch {variant.patch} × {windows.value} windows"
    else:
        parts = "patch × windows" if variant.patch else "the coarsest stride"
    for side in size:
        if side % step:
            near = " and ".join(str(value) for value in (side // step * step, (side // step + 1) * step) if value > 0)
            raise UserError(
                f"resolution {size} ({settings.resolution.origin}) does not fit {variant.name}: each side must be a multiple "
                f"of {step} ({parts}); nearest to {side}: {near}"
            )
    queries = settings.num_queries.value

    def tokens(height: int, width: int) -> int:
        return sum((height // stride) * (width // stride) for stride in variant.strides)

    if variant.strides and tokens(*size) < queries:
        least = next(side for side in range(step, 100 * step, step) if tokens(side, side) >= queries)
        raise UserError(
            f"resolution {size} gives {variant.name} {tokens(*size)} tokens, too few for {queries} queries; "
            f"the least square resolution is {least}"
        )


def configuration(variant: Variant, checkpoint: Checkpoint | None, settings: Settings) -> Any:
    """Returns the transformers configuration: the folder's own if there is one, else the row's, with facts and settings.

    Raises:
        UserError: config.json is not valid for its detector.
    """
    family = variant.family
    if checkpoint is not None and checkpoint.config is not None:
        values = copy.deepcopy(dict(checkpoint.config))
        # A folder converted from the original project's weights has transformers' defaults for values that the project fixes; a
        # folder that was trained in transformers was trained with the values it states.
        if checkpoint.logit_columns == len(variant.classes):
            values.update(family.fixed_config)
    else:
        values = copy.deepcopy(dict(variant.config))
        if checkpoint is not None:
            _adopt_facts(values, variant, checkpoint)
        if computes_as_original(variant, checkpoint):
            for path, value in variant.original_config.items():
                write_field(values, path, value)
    _adopt_settings(values, variant, settings)
    columns = len(variant.classes) if checkpoint is None else checkpoint.logit_columns
    values["id2label"] = {column: f"class {column}" for column in range(columns)}
    values["label2id"] = {name: column for column, name in values["id2label"].items()}
    # Fused attention is transformers' default for every part that has it; requesting it fails for backbones without attention.
    for key in ("model_type", "num_labels", "attn_implementation", "_attn_implementation"):
        values.pop(key, None)
    with quiet():
        config_class = getattr(importlib.import_module(family.module), family.config_class)
        try:
            return config_class(**values)
        except Exception as error:
            # Configurations validate themselves and raise many types of errors; only a folder's config.json can cause one.
            where = checkpoint.source if checkpoint is not None else variant.name
            raise UserError(
                f"config.json of {where} is not a valid {family.name} configuration: {first_line(error)}"
            ) from error


def _adopt_facts(values: dict[str, Any], variant: Variant, checkpoint: Checkpoint) -> None:
    for fact, setting in variant.family.config_from_facts.items():
        if fact in checkpoint.facts:
            values[setting] = checkpoint.facts[fact]
    grid, path = checkpoint.facts.get("position grid"), variant.family.grid_field
    if grid is not None and path and variant.patch is not None:
        write_field(values, path, grid * variant.patch)


def _adopt_settings(values: dict[str, Any], variant: Variant, settings: Settings) -> None:
    for name, path in variant.family.fields.items():
        value = settings.architecture[name].value
        if read_field(values, path) != value:
            write_field(values, path, value)
            _drop_derived(values, path)
    for path, copied in variant.family.copies.items():
        write_field(values, copied, read_field(values, path))
    values["num_queries"] = settings.num_queries.value
    # With a size, transformers computes the anchors once, for that size; without, from each picture, with the same result.
    if values.get("anchor_image_size") is not None:
        values["anchor_image_size"] = None


def _drop_derived(values: dict[str, Any], path: FieldPath) -> None:
    """Removes the fields that transformers derives from the field at ``path`` if they are absent."""
    if path[-1] == "out_indices":
        backbone = read_field(values, path[:-1])
        for derived in ("out_features", "window_block_indexes"):
            backbone.pop(derived, None)


def first_line(error: Exception) -> str:
    """Returns the first non-empty line of a message; some of transformers' begin with an empty one."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0] if lines else type(error).__name__
