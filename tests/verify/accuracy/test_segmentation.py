"""Masks of annotations are pycocotools', in every form, and what is malformed is described."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from detr2litert.host_runtime.masks import Mask
from detr2litert.verify.accuracy.segmentation import box_of, read_segmentation, shared_pixels

SIZE = (50, 40)


def pycocotools(segmentation: Any) -> np.ndarray:
    from pycocotools import mask

    runs = mask.frPyObjects(segmentation, SIZE[1], SIZE[0])
    return np.asarray(mask.decode(mask.merge(runs) if isinstance(runs, list) else runs)).astype(bool)


@pytest.mark.parametrize("seed", range(30))
def test_polygons_are_those_of_pycocotools(seed: int) -> None:
    """Convex or not, crossing themselves, beyond the picture's edges, of corners on and between pixels, one or several."""
    rng = np.random.default_rng(seed)
    step = (1.0, 0.5, 0.01)[seed % 3]
    corners = [2 * int(rng.integers(3, 9)) for _ in range(int(rng.integers(1, 4)))]
    polygons = [(np.round(rng.uniform(-8, 58, count) / step) * step).tolist() for count in corners]
    found = read_segmentation(polygons, SIZE)
    assert (found.width, found.height) == SIZE
    assert np.array_equal(found.pixels, pycocotools(polygons))


def test_a_single_polygon_without_a_list_around_it() -> None:
    corners = [3, 4, 30, 5, 20, 30]
    assert read_segmentation(corners, SIZE) == read_segmentation([corners], SIZE)


def test_run_lengths_compressed_and_not() -> None:
    pixels = np.random.default_rng(0).random(SIZE[::-1]) > 0.6
    mask = Mask.of(pixels)
    flat = pixels.T.reshape(-1)
    edges = np.concatenate(([0], np.flatnonzero(np.diff(flat)) + 1, [flat.size]))
    runs = [*([0] if flat[0] else []), *np.diff(edges).tolist()]
    for size in (SIZE, None):
        assert read_segmentation(mask.to_dict(), size) == mask
        assert read_segmentation({"size": [40, 50], "counts": runs}, size) == mask
    assert np.array_equal(pycocotools({"size": [40, 50], "counts": runs}), pixels)


@pytest.mark.parametrize(
    ("segmentation", "size", "words"),
    [
        (3, SIZE, "neither polygons nor run lengths"),
        ([], SIZE, "neither polygons nor run lengths"),
        ([[1, 2, 3, 4]], SIZE, "three or more corners"),
        ([[1, 2, 3, 4, 5, 6, 7]], SIZE, "three or more corners"),
        ([[1, 2, 3, "4", 5, 6]], SIZE, "three or more corners"),
        ([[1, 2, 3, float("nan"), 5, 6]], SIZE, "three or more corners"),
        ([[0, 0, 1e9, 0, 0, 1e9]], SIZE, "far outside its picture of 50 x 40"),
        ([[1, 2, 30, 4, 5, 6]], None, "need the width and height"),
        ({"size": [40, 50], "counts": [1, 2]}, SIZE, "not those of 50 x 40 pixels"),
        ({"size": [40, 50], "counts": [-1, 2001]}, SIZE, "not those of 50 x 40 pixels"),
        ({"size": [40, 50], "counts": "abc"}, SIZE, "damaged segmentation"),
        ({"size": [40, 50]}, SIZE, "damaged segmentation"),
        ({"size": [50, 40], "counts": [2000]}, SIZE, "40 x 50 pixels, and its picture has 50 x 40"),
        ({"size": "big", "counts": [2000]}, None, "not [height, width]"),
    ],
)
def test_malformed_ones(segmentation: Any, size: tuple[int, int] | None, words: str) -> None:
    with pytest.raises(ValueError) as error:
        read_segmentation(segmentation, size)
    assert words in str(error.value) and "\n" not in str(error.value)


def test_boxes_and_shared_pixels() -> None:
    one, other = np.zeros((2, 40, 50), bool)
    one[5:10, 20:24] = True
    other[8:12, 20:30] = True
    assert box_of(Mask.of(one)) == (20, 5, 24, 10)
    assert box_of(Mask.of(np.zeros((4, 4), bool))) is None
    shared, left, right = shared_pixels([Mask.of(one)], [Mask.of(other), Mask.of(one)])
    assert shared.tolist() == [[8, 20]] and left.tolist() == [20] and right.tolist() == [40, 20]
    assert shared_pixels([], [Mask.of(one)])[0].shape == (0, 1)
