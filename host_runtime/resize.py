"""Resizes pictures as torch and Pillow do.

`resize` computes two passes of weighted sums, over the rows and then over the columns, with torch's own weights and in float32
as in torch: `F.interpolate(mode="bilinear", align_corners=False)` with antialias or without. Pillow's mode-"F" resize has the
same filter with float64 weights; on white noise it differs from torch by up to 1.1e-4, this one by 3e-6.

`resize_in_8_bits` is Pillow's `Image.resize` with BILINEAR. Its filter is antialiased too, but both directions are rounded to
8 bits, so that pixels differ from the float resize by up to one grey level. The order of the directions is that of Pillow 13,
whatever version is installed: it begins with the rows where the height shrinks by more than twice as many pixels as the width
(a width that grows counts as negative); Pillow up to 12 always begins with the columns. That changes single pixels by a level.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Floats = NDArray[np.float32]
_Weights = tuple[NDArray[np.int64], Floats]


def resize(pixels: NDArray[np.uint8], height: int, width: int, *, antialias: bool) -> Floats:
    """Resizes a picture; a channel at a time, which stays in the processor's cache.

    Args:
        pixels: [rows, columns, channels].
        height, width: of the result.
        antialias: whether the filter widens where the picture shrinks.

    Returns:
        [channels, height, width], contiguous, from 0 to 255.
    """
    weights = _antialias_weights if antialias else _bilinear_weights
    rows, columns, channels = pixels.shape
    down = None if rows == height else weights(rows, height)
    across = None if columns == width else weights(columns, width)
    out = np.empty((channels, height, width), np.float32)
    for channel in range(channels):
        plane = np.ascontiguousarray(pixels[..., channel])
        resized = plane if down is None else _resize_rows(plane, *down)
        out[channel] = resized if across is None else _resize_columns(resized, *across)
    return out


def resize_in_8_bits(image: Image.Image, width: int, height: int) -> Image.Image:
    """Resizes an 8-bit picture: one direction, then the other, by a call each, as the order depends on Pillow's version."""
    # Pillow weights the colours of RGBA with their opacity; so that they are not divided by it in between, it is done here.
    weighted = image.convert("RGBa") if image.mode == "RGBA" else image
    fewer = image.height - height
    rows_first = fewer > 0 and fewer > 2 * (image.width - width)
    once = weighted.resize((image.width, height) if rows_first else (width, image.height), Image.Resampling.BILINEAR)
    return once.resize((width, height), Image.Resampling.BILINEAR).convert(image.mode)


def _resize_rows(plane: NDArray[np.uint8], rows: NDArray[np.int64], weights: Floats) -> Floats:
    """Returns out[i] = sum over t of weights[i, t] * plane[rows[i, t]]."""
    out: Floats = plane[rows[:, 0]] * weights[:, 0, None]
    for tap in range(1, rows.shape[1]):
        out += plane[rows[:, tap]] * weights[:, tap, None]
    return out


def _resize_columns(plane: NDArray[np.uint8] | Floats, columns: NDArray[np.int64], weights: Floats) -> Floats:
    """Returns out[:, i] = sum over t of weights[i, t] * plane[:, columns[i, t]]."""
    out: Floats = plane.take(columns[:, 0], axis=1) * weights[:, 0]
    for tap in range(1, columns.shape[1]):
        out += plane.take(columns[:, tap], axis=1) * weights[:, tap]
    return out


def _antialias_weights(old: int, new: int) -> _Weights:
    """Returns rows and weights [new, count] of torch's antialiased bilinear filter, a triangle as wide as the scale.

    Source: ATen/native/cpu/UpSampleKernel.cpp, `_compute_indices_min_size_weights_aa`; the mixture of float32 and float64 is
    C++'s for opmath_t = float, and matters: at column 600 the rounding of `centre` moves a weight by 3e-5.
    """
    scale = np.float32(old) / np.float32(new)
    support = np.float32(max(float(scale), 1.0))
    inverse = np.float32(1) / support
    centre = (float(scale) * (np.arange(new) + 0.5)).astype(np.float32)
    first = np.maximum((centre - support + np.float64(0.5)).astype(np.int64), 0)
    last = np.minimum((centre + support + np.float64(0.5)).astype(np.int64), old)
    count = int((last - first).max())
    rows = first[:, None] + np.arange(count)
    distance = (rows.astype(np.float32) - centre[:, None]).astype(np.float64) + 0.5
    weights = np.maximum(1 - np.abs((distance * inverse).astype(np.float32)), 0).astype(np.float32)
    weights[rows >= last[:, None]] = 0
    weights /= weights.sum(axis=1, keepdims=True)
    return np.minimum(rows, old - 1), weights


def _bilinear_weights(old: int, new: int) -> _Weights:
    """Returns rows and weights [new, 2] of plain bilinear interpolation at half-pixel centres, clamped at the edges.

    Source: ATen/native/UpSample.h, `area_pixel_compute_source_index` with align_corners=False.
    """
    scale = np.float32(old) / np.float32(new)
    # One rounding, as by the fused multiply-add that torch's kernel is compiled to.
    source = np.maximum((float(scale) * (np.arange(new) + 0.5) - 0.5).astype(np.float32), np.float32(0))
    low = np.minimum(source.astype(np.int64), old - 1)
    high = np.minimum(low + 1, old - 1)
    upper = np.clip(source - low.astype(np.float32), 0, 1).astype(np.float32)
    return np.stack((low, high), axis=1), np.stack((1 - upper, upper), axis=1)
