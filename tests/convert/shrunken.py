"""Small relatives of the published detectors: the same operators and structure, a quarter as wide.

Layers, blocks, feature levels, windows, heads, points and groups are the published ones; channels, queries and classes
are few. The resolution is the smallest that

- gives every window and every level at least two cells a side, and as many tokens as there are queries;
- does not shrink maps of 50 or more cells a side. There the border cells are not proposals (see
  ``convert.models.variants.rf_detr``), and maps beyond the texture limit are sampled in strips (see
  ``rewrites.fold_sampling``);
- makes the same reshapes redundant as the published one (see ``_shared_maps``).

So the compiled graphs hold as many operators of each kind as the published detector's; ``test_shrunken.py`` compares them.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import replace
from itertools import count
from typing import Any

from detr2litert.convert.models.variants import VARIANTS, Variant
from detr2litert.graphs.token_map import map_shape

QUERIES = 24
"""For 100 to 300. Not a prime: as a map of tokens, queries have two sides (see ``rewrites.lift_tokens``)."""
_LARGE_MAP = 50
"""Cells a side from which on border cells are not proposals."""
WIDTHS = {
    "d_model",
    "decoder_ffn_dim",
    "decoder_in_channels",
    "embedding_size",
    "encoder_ffn_dim",
    "encoder_hidden_dim",
    "encoder_in_channels",
    "hidden_size",
    "hidden_sizes",
    "intermediate_size",
    "lqe_hidden_dim",
    "mask_dim",
    "spatial_tuning_adapter_inplanes",
    "stage_in_channels",
    "stage_mid_channels",
    "stage_out_channels",
    "stem_channels",
}
"""The fields of transformers' configurations that count channels."""
_WIDE = 528
"""For a ViT of more than 512 channels, after which LW-DETR has one more convolution: twelve heads of 44."""


def shrunken(name: str) -> Variant:
    """The small relative of a row; the two demo models are already small."""
    row = VARIANTS[name]
    if row.bundled is not None:
        return row
    resolution = _resolution(row)
    grid = row.position_grid and row.position_grid * resolution // row.resolution
    return replace(
        row,
        name=f"{name}-shrunken",
        resolution=resolution,
        num_queries=QUERIES,
        num_select=QUERIES,
        classes=row.classes[: len(row.classes) // 10],
        config=_config(row, grid),
        expected={},
        source=f"{name}, with fewer channels, queries and classes",
        hub_id=None,
        position_grid=grid,
    )


def _resolution(row: Variant) -> int:
    if any(row.resolution // stride >= _LARGE_MAP for stride in row.strides):
        return row.resolution
    step = row.resolution_step
    return next(
        side
        for side in count(2 * step, step)
        if sum((side // stride) ** 2 for stride in row.strides) >= QUERIES
        and _shared_maps(row, side) == _shared_maps(row, row.resolution)
    )


def _shared_maps(row: Variant, side: int) -> tuple[bool, ...]:
    """Whether the map of all tokens equals their list, and whether it equals the map of the windows' tokens.

    If so, a reshape is redundant (see ``rewrites.lift_tokens``); that depends on the divisors of the number of tokens. The
    only backbone with a position grid is the one that adds a class token to each window.
    """
    if row.position_grid is None or row.patch is None or row.windows is None:
        return ()
    cells, windows = side // row.patch, row.windows**2
    in_window = cells**2 // windows + 1
    return map_shape([1, cells**2 + 1, 1])[1] == 1, map_shape([1, windows * in_window, 1]) == map_shape([windows, in_window, 1])


def _config(row: Variant, grid: int | None) -> dict[str, Any]:
    """The row's configuration with narrow layers, the widths that it leaves at transformers' defaults included."""
    full = getattr(importlib.import_module(row.family.module), row.family.config_class)(**row.config).to_dict()
    backbone = {**row.config["backbone_config"], **_narrow_fields(full["backbone_config"])}
    config = {**row.config, **_narrow_fields(full), "backbone_config": backbone, "num_queries": QUERIES}
    if grid is not None and row.patch is not None:
        outer, field = row.family.grid_field
        config[outer] = {**config[outer], field: grid * row.patch}
    return config


def _narrow_fields(config: Mapping[str, Any]) -> dict[str, Any]:
    narrow = {
        field: [_narrow(width) for width in value] if isinstance(value, list | tuple) else _narrow(value)
        for field, value in config.items()
        if field in WIDTHS
    }
    if config.get("hidden_size", 0) > 512:
        narrow["hidden_size"] = _WIDE
    return narrow


def _narrow(width: int) -> int:
    """A quarter in whole groups, of eight channels where heads share them, else of four; the image's three stay three.

    It depends on the width alone, so that equal widths remain equal: some layers exist only between unequal ones.
    """
    if width == 3:
        return width
    group = 8 if width >= 64 else 4
    return -(-width // (4 * group)) * group
