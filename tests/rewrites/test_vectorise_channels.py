"""Boxes that are computed one channel at a time."""

from __future__ import annotations

import pytest
import torch
from passes import RightOnDelegate, count, rewritten
from torch import Tensor

from detr2litert.graphs.toolbox import aten
from detr2litert.rewrites.vectorise_channels import vectorise_channels

GENERATOR = torch.Generator().manual_seed(0)
BOXES, DISTANCES = torch.rand(1, 9, 4, generator=GENERATOR), torch.randn(1, 9, 4, generator=GENERATOR)


def sides(boxes: Tensor, distances: Tensor) -> Tensor:
    """Distances to the sides of a box, to its centre and size."""
    width, height = boxes[..., 2] / 4, boxes[..., 3] / 4
    left = boxes[..., 0] - (2 + distances[..., 0]) * width
    top = boxes[..., 1] - (2 + distances[..., 1]) * height
    right = boxes[..., 0] + (2 + distances[..., 2]) * width
    bottom = boxes[..., 1] + (2 + distances[..., 3]) * height
    return torch.stack([(left + right) / 2, (top + bottom) / 2, right - left, bottom - top], -1)


def exponentials(boxes: Tensor, distances: Tensor) -> Tensor:
    x, y, w, h = distances.unbind(-1)
    return torch.stack([x * 3 - y, w.exp() * boxes[..., 2], h.exp() * boxes[..., 3], (x - w).sigmoid().clamp(0.2, 0.8)], -1)


@pytest.mark.parametrize("function", [sides, exponentials])
def test_fires(function: object) -> None:
    found = rewritten(vectorise_channels, function, BOXES, DISTANCES, fires=1, tolerance=2e-6)  # type: ignore[arg-type]
    assert count(found, aten.select.int, aten.unbind.int, aten.stack.default) == 0


def test_a_stack_that_is_taken_apart_again_vanishes_too() -> None:
    def corners(boxes: Tensor, distances: Tensor) -> Tensor:
        left, top, right, bottom = sides(boxes, distances).unbind(-1)
        return torch.stack([left * 2, top - right, bottom, left], -1)

    found = rewritten(vectorise_channels, corners, BOXES, DISTANCES, fires=2, tolerance=4e-6)
    assert count(found, aten.select.int, aten.unbind.int, aten.stack.default) == 0


@pytest.mark.parametrize(
    "function",
    [
        lambda boxes, distances: torch.stack([boxes[..., 0].cumsum(-1), distances[..., 1]], -1),
        lambda boxes, distances: torch.stack([boxes[..., 0].mean(1, keepdim=True).expand(1, 9), distances[..., 1]], -1),
        lambda boxes, distances: torch.cat([(x := boxes[..., :1]).exp(), x.sigmoid()], -1),
        lambda boxes, distances: torch.stack([boxes, distances], 1),
    ],
    ids=["mixes tokens", "a mean", "no fewer layers than selections", "another dimension"],
)
def test_does_not_fire(function: object) -> None:
    rewritten(vectorise_channels, function, BOXES, DISTANCES, fires=0)  # type: ignore[arg-type]


@pytest.mark.gpu
@pytest.mark.parametrize("function", [sides, exponentials])
def test_delegate(right_on_delegate: RightOnDelegate, function: object) -> None:
    right_on_delegate([vectorise_channels], function, BOXES, DISTANCES)
