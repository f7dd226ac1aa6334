"""The table of detectors, and look-ups in it."""

from __future__ import annotations

from collections.abc import Mapping

from detr2litert.convert.models.variants import (
    d_fine,
    d_fine_seg,
    deim,
    deimv2,
    lw_detr,
    rf_detr,
    rf_detr_keypoints,
    rf_detr_seg,
    rt_detr,
    rt_detr_v2,
)
from detr2litert.convert.models.variants.row import Family, Variant
from detr2litert.convert.names import suggestion
from detr2litert.host_runtime.errors import UserError

_MODULES = (
    rf_detr,
    d_fine,
    deim,
    rt_detr_v2,
    # After RT-DETRv2, whose checkpoints have every tensor of this family's and one more.
    rt_detr,
    lw_detr,
    deimv2,
    rf_detr_seg,
    rf_detr_keypoints,
    d_fine_seg,
)

VARIANTS: Mapping[str, Variant] = {row.name: row for module in _MODULES for row in module.ROWS}
"""Every variant by name, in the order of the listing."""

_WITH_MORE = (rf_detr_seg.RF_DETR_SEG, rf_detr_keypoints.RF_DETR_KEYPOINTS, d_fine_seg.D_FINE_SEG)

FAMILIES: tuple[Family, ...] = tuple(
    # Before RF-DETR and D-FINE, of which their checkpoints have every tensor.
    {family.name: family for family in (*_WITH_MORE, *(row.family for row in VARIANTS.values()))}.values()
)
"""Every family that has a row, in the order in which a checkpoint is compared with them."""


def find_variant(name: str) -> Variant:
    """Returns the variant called ``name``, ignoring case.

    Raises:
        UserError: no such variant; the nearest names are suggested.
    """
    variant = VARIANTS.get(name.lower())
    if variant is None:
        raise UserError(f"unknown variant {name!r}: {suggestion(name, VARIANTS)} (`convert variants` lists them all)")
    return variant
