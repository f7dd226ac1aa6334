"""Reads the segmentation of an annotated object in COCO's forms: polygons, or run lengths, compressed or not.

Polygons become pixels by pycocotools' rule (``common/maskApi.c``, ``rleFrPoly``), so that figures can be compared with those of
others: the outline is walked at five times the resolution, and where it crosses the middle of a column of pixels, the column
changes from outside to inside or back, from the next pixel centre on downwards. Several polygons of one object are united.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from detr2litert.host_runtime.masks import Bits, Mask
from detr2litert.verify.accuracy.strict_json import number, whole

_SCALE = 5
_FAR = 2.0
"""How far a polygon may lie outside its picture, in pictures: the walk along it takes memory."""

Ints = NDArray[np.int64]
Counts = NDArray[np.float64]


def read_segmentation(value: Any, size: tuple[int, int] | None) -> Mask:
    """Returns an object's mask.

    Args:
        value: of the field ``segmentation``.
        size: width and height of the picture; None if they are not known, which polygons need.

    Raises:
        ValueError: it is in none of the forms, or of another size; the message completes "the object …".
    """
    if isinstance(value, Mapping):
        return _from_runs(value, size)
    if not isinstance(value, list) or not value:
        raise ValueError("has a segmentation that is neither polygons nor run lengths {'size', 'counts'}")
    if size is None:
        raise ValueError("has polygons, which need the width and height of their picture; add them to 'images'")
    # A single polygon without the list around it occurs too.
    polygons = value if isinstance(value[0], list) else [value]
    pixels = np.zeros(size[::-1], np.bool_)
    for polygon in polygons:
        pixels |= _inside(_corners(polygon, size), size)
    return Mask.of(pixels)


def box_of(mask: Mask) -> tuple[float, float, float, float] | None:
    """Returns left, top, right and bottom of a mask's pixels; None if it has none."""
    pixels = mask.pixels
    rows, columns = np.flatnonzero(pixels.any(axis=1)), np.flatnonzero(pixels.any(axis=0))
    if not len(rows):
        return None
    return float(columns[0]), float(rows[0]), float(columns[-1] + 1), float(rows[-1] + 1)


def _from_runs(value: Mapping[str, Any], size: tuple[int, int] | None) -> Mask:
    stated, counts = value.get("size"), value.get("counts")
    sides = [whole(side) for side in stated] if isinstance(stated, list) else []
    if len(sides) != 2 or any(side is None or side < 1 for side in sides):
        raise ValueError(f"has run lengths of size {stated!r}, not [height, width]")
    height, width = (int(side or 0) for side in sides)
    if size is not None and (width, height) != size:
        raise ValueError(f"has run lengths of {width} x {height} pixels, and its picture has {size[0]} x {size[1]}")
    if isinstance(counts, str):
        mask = Mask(width, height, counts)
        try:
            _ = mask.pixels
        except ValueError as error:
            raise ValueError(f"has a damaged segmentation: {error}") from None
        return mask
    runs = [whole(run) for run in counts] if isinstance(counts, list) else [None]
    if any(run is None or run < 0 for run in runs) or sum(run or 0 for run in runs) != width * height:
        raise ValueError(f"has a damaged segmentation: the run lengths are not those of {width} x {height} pixels")
    flat = np.repeat(np.arange(len(runs)) % 2 == 1, np.array(runs, np.int64))
    return Mask.of(flat.reshape(width, height).T)


def _corners(polygon: Any, size: tuple[int, int]) -> NDArray[np.float64]:
    """Returns the corners ``[n, 2]``."""
    values = [number(v) for v in polygon] if isinstance(polygon, list) else []
    if len(values) < 6 or len(values) % 2 or None in values:
        raise ValueError("has a polygon that is not a list of three or more corners x, y, x, y, …")
    corners = np.array(values, np.float64).reshape(-1, 2)
    outside = np.maximum(-corners, corners - np.array(size)).max(axis=0) > _FAR * np.array(size)
    if outside.any():
        raise ValueError(f"has a polygon far outside its picture of {size[0]} x {size[1]} pixels")
    return corners


def _inside(corners: NDArray[np.float64], size: tuple[int, int]) -> Bits:
    """Returns the pixels ``[height, width]`` inside a polygon; pixels are numbered column by column."""
    width, height = size
    fine = np.trunc(_SCALE * corners + 0.5).astype(np.int64)
    x, y = (np.concatenate(walked) for walked in zip(*map(_walk, fine, np.roll(fine, -1, axis=0)), strict=True))
    crossed = np.flatnonzero(np.diff(x))
    column = (np.minimum(x[crossed], x[crossed + 1]) + 0.5) / _SCALE - 0.5
    row = np.ceil(np.clip((np.minimum(y[crossed], y[crossed + 1]) + 0.5) / _SCALE - 0.5, 0, height))
    kept = (column == np.floor(column)) & (column >= 0) & (column <= width - 1)
    changes: Ints = (column[kept] * height + row[kept]).astype(np.int64)
    parity = np.cumsum(np.bincount(changes, minlength=width * height + 1)[: width * height]) % 2
    pixels: Bits = parity.astype(np.bool_).reshape(width, height).T
    return pixels


def _walk(start: Ints, end: Ints) -> tuple[Ints, Ints]:
    """Returns the points of an edge, one for each step along its longer side."""
    (dx, dy), along = np.abs(end - start), 0
    along = 0 if dx >= dy else 1
    steps = int(max(dx, dy))
    # Each edge is computed from its lower end, so that an edge of two polygons is the same for both.
    flipped = bool(start[along] > end[along])
    low, high = (end, start) if flipped else (start, end)
    t = np.arange(steps, -1, -1) if flipped else np.arange(steps + 1)
    slope = (high[1 - along] - low[1 - along]) / steps if steps else 0.0
    points: list[Ints] = [low[along] + t, np.trunc(low[1 - along] + slope * t + 0.5).astype(np.int64)]
    return (points[0], points[1]) if along == 0 else (points[1], points[0])


def shared_pixels(one: Sequence[Mask], other: Sequence[Mask]) -> tuple[Counts, Counts, Counts]:
    """Returns the pixels that each pair of masks ``[D, N]`` of one size shares, and those of each mask, ``[D]`` and ``[N]``."""
    left, right = (np.array([mask.pixels.reshape(-1) for mask in masks], np.float32) for masks in (one, other))
    areas = [np.array([float(mask.sum()) for mask in masks]) for masks in (left, right)]
    if not len(one) or not len(other):
        return np.zeros((len(one), len(other))), areas[0], areas[1]
    # Exact: a picture has less than 2^24 pixels, or else half a unit of rounding does not matter.
    return (left @ right.T).astype(np.float64), areas[0], areas[1]
