"""Layers of masks for the other runtimes: detections, and the translucent picture that Python draws of their masks."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from detr2litert.host_runtime.decode import Detection
from detr2litert.host_runtime.draw import mask_layer
from detr2litert.host_runtime.masks import Mask

Array = NDArray[Any]
SEED = 20260105
SIZE = (31, 20)


@dataclass(frozen=True)
class MaskLayerCase:
    """The masks of detections, best first, as run lengths; and their layer, int32 0xAARRGGBB [height, width]."""

    name: str
    size: tuple[int, int]
    masks: list[dict[str, Any]]
    layer: Array


def mask_layer_cases() -> Iterator[MaskLayerCase]:
    """Yields the cases; the same every time."""
    rng = np.random.default_rng(SEED)
    y, x = np.mgrid[: SIZE[1], : SIZE[0]]
    discs = [(x - cx) ** 2 + (y - cy) ** 2 < 64 for cx, cy in ((10, 9), (16, 12), (20, 8))]
    yield _case("overlapping", *zip((3, 0, 8), (0.9, 0.8, 0.5), discs, strict=True))
    yield _case("of_equal_scores", *zip((2, 5, 2), (0.5, 0.5, 0.5), discs, strict=True))
    yield _case("noise", *((index, 0.9 - index / 10, rng.random(SIZE[::-1]) < 0.5) for index in range(4)))
    yield _case("empty", (1, 0.9, np.zeros(SIZE[::-1], bool)), (4, 0.8, discs[0]))
    yield _case("none")


def _case(name: str, *items: tuple[int, float, Array]) -> MaskLayerCase:
    """Of class index, score and pixels of each detection."""
    found = [Detection(index, "", score, (0, 0, 1, 1), Mask.of(pixels)) for index, score, pixels in items]
    red, green, blue, opacity = np.moveaxis(mask_layer(found, SIZE).astype(np.uint32), -1, 0)
    layer = (opacity << 24 | red << 16 | green << 8 | blue).view(np.int32)
    masks = [
        {"class_index": index, "width": SIZE[0], "height": SIZE[1], "counts": Mask.of(pixels).counts, "runs": _runs(pixels)}
        for index, _, pixels in items
    ]
    return MaskLayerCase(name, SIZE, masks, layer)


def _runs(pixels: Array) -> list[int]:
    """The run lengths of pixels column by column, of those outside and inside in turn, from outside on."""
    runs = [(inside, len(list(run))) for inside, run in itertools.groupby(pixels.T.reshape(-1).tolist())]
    return [0] * runs[0][0] + [length for _, length in runs]
