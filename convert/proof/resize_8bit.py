"""Resizes a picture as Pillow 13 resizes 8-bit ones: antialiased, each direction rounded to 8 bits.

``torchvision.transforms.Resize`` does this with a PIL image. Source: Pillow's src/libImaging/Resample.c (``precompute_coeffs``,
``normalize_coeffs_8bpc`` and ``ImagingResampleInner``) at 13.0.0. Sums of 8-bit pixels times 22-bit weights stay below 2^31.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

_PRECISION = 22
"""Fraction bits of the weights: ``PRECISION_BITS``."""


def resize_in_8_bits(planes: Tensor, height: int, width: int) -> Tensor:
    """Resizes planes ``[..., H, W]`` of whole numbers from 0 to 255 to ``[..., height, width]``, float32."""
    old_height, old_width = planes.shape[-2:]
    values = planes.to(torch.int32)
    # If the height shrinks by more than twice what the width does, in pixels, the rows are first, where earlier versions of
    # Pillow have the columns first.
    if old_height > height and old_height - height > 2 * (old_width - width):
        values = _columns(_rows(values, height), width)
    else:
        values = _rows(_columns(values, width), height)
    return values.float()


def _columns(values: Tensor, new: int) -> Tensor:
    return _rows(values.mT.contiguous(), new).mT


def _rows(values: Tensor, new: int) -> Tensor:
    """Resizes ``[..., old, n]`` to ``[..., new, n]``, rounded to 8 bits."""
    old = values.shape[-2]
    first, weights = _weights(old, new)
    sums = torch.full((*values.shape[:-2], new, values.shape[-1]), 1 << (_PRECISION - 1), dtype=torch.int32)
    for tap in range(weights.shape[1]):
        sums.addcmul_(values.index_select(-2, (first + tap).clamp(max=old - 1)), weights[:, tap, None])
    return (sums >> _PRECISION).clamp(max=255)


def _weights(old: int, new: int) -> tuple[Tensor, Tensor]:
    """Returns first cells ``[new]`` and whole weights ``[new, taps]``, in units of 2^-22: a triangle as wide as the scale."""
    scale = old / new
    support = max(scale, 1.0)
    centres = (torch.arange(new, dtype=torch.float64) + 0.5) * scale
    first = (centres - support + 0.5).long().clamp(min=0)
    last = (centres + support + 0.5).long().clamp(max=old)
    cells = first[:, None] + torch.arange(math.ceil(support) * 2 + 1)
    distances = (cells - centres[:, None] + 0.5) * (1 / support)
    values = (1 - distances.abs()).clamp(min=0) * (cells < last[:, None])
    # Summed from the first cell to the last, as in C; the order of torch's own sum is not fixed.
    sums = values.cumsum(dim=1)[:, -1:]
    return first, (values / sums * 2**_PRECISION + 0.5).to(torch.int32)
