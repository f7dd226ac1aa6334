"""Coordinates spread over heads and points."""

from __future__ import annotations

import pytest
import torch
from passes import RightOnDelegate, ops, rewritten
from torch import Tensor
from torch.nn.functional import linear

from detr2litert.rewrites.profile import Profile, Sampling
from detr2litert.rewrites.spread_channels import spread_channels

GENERATOR = torch.Generator().manual_seed(0)
QUERIES, BOXES = torch.randn(1, 6, 8, generator=GENERATOR), torch.rand(1, 6, 4, generator=GENERATOR)
WEIGHT = torch.randn(24, 8, generator=GENERATOR)


def points(queries: Tensor, boxes: Tensor) -> Tensor:
    """Sampling points of 4 heads, 3 each."""
    offsets = linear(queries, WEIGHT).reshape(1, 6, 4, 3, 2)
    reference = boxes.unsqueeze(2)
    return reference[:, :, None, :, :2] + offsets * reference[:, :, None, :, 2:] * 0.5


def test_fires_and_is_exact() -> None:
    found = ops(rewritten(spread_channels, points, QUERIES, BOXES, fires=2, sampling=Sampling.RESAMPLER))
    assert found.count("linear") == 3 and found.count("slice") == 0


def test_a_subtraction_stays_one() -> None:
    def apart(queries: Tensor, boxes: Tensor) -> Tensor:
        return boxes[:, :, None, None, 1:3] - linear(queries, WEIGHT).reshape(1, 6, 4, 3, 2)

    rewritten(spread_channels, apart, QUERIES, BOXES, sampling=Sampling.RESAMPLER)


def test_a_centre_is_subtracted_from_the_box_before_it_is_spread() -> None:
    def centred(queries: Tensor, boxes: Tensor) -> Tensor:
        return linear(queries, WEIGHT).reshape(1, 6, 4, 3, 2) + (boxes[..., :2] - 0.5)[:, :, None, None] + 0.25

    found = ops(rewritten(spread_channels, centred, QUERIES, BOXES, sampling=Sampling.RESAMPLER))
    assert found.count("slice") == 0 and found.index("add") < max(i for i, name in enumerate(found) if name == "linear")


@pytest.mark.parametrize(
    "function",
    [
        lambda q, b: q[:, :, :4] * b,  # nothing is broadcast
        lambda q, b: q.reshape(1, 6, 4, 2) * b[:, :, :, None],  # along the last dimension
        lambda q, b: q.reshape(1, 6, 4, 2) * b.sum(-1)[:, :, None, None],
        lambda q, b: q.reshape(1, 6, 4, 2) * b.relu().reshape(1, 12, 2)[:, :6, None],
        lambda q, b: linear(q, WEIGHT).reshape(1, 6, 3, 8) * q[:, :, None] * b[0, 0, 0],  # no slice
    ],
)
def test_does_not_fire(function: object) -> None:
    rewritten(spread_channels, function, QUERIES, BOXES, fires=0, sampling=Sampling.RESAMPLER)  # type: ignore[arg-type]


def test_does_not_fire_for_a_tent() -> None:
    rewritten(spread_channels, points, QUERIES, BOXES, fires=0)


@pytest.mark.gpu
def test_delegate(right_on_delegate: RightOnDelegate) -> None:
    def rows(queries: Tensor, boxes: Tensor) -> Tensor:
        return points(queries, boxes).flatten(2)

    right_on_delegate([spread_channels], rows, QUERIES, BOXES, profile=Profile().native())
