"""Linear layers that follow each other."""

from __future__ import annotations

import pytest
import torch
from passes import RightOnDelegate, ops, rewritten
from torch import Tensor, nn
from torch.nn.functional import linear

from detr2litert.rewrites.merge_linears import merge_linears

GENERATOR = torch.Generator().manual_seed(0)


def random(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=GENERATOR)


X, BOXES = random(1, 12, 132), random(1, 12, 4)
EXPECTATION = random(33)
ORDER, SHIFT = torch.eye(4)[[0, 2, 1, 3]], torch.full((4,), 2.0)
SIDES = torch.tensor([[0.0, 0, 0.25, 0], [0, 0, 0.25, 0], [0, 0, 0, 0.25], [0, 0, 0, 0.25]])
CORNERS = torch.tensor([[-0.5, 0.5, 0, 0], [0, 0, -0.5, 0.5], [1, 1, 0, 0], [0, 0, 1, 1]])


def decoded(x: Tensor, boxes: Tensor) -> Tensor:
    """The boxes of a distribution over distances."""
    distances = linear(x.reshape(48, 33).softmax(-1), EXPECTATION).reshape(1, 12, 4)
    return boxes * 2 + linear(linear(distances, ORDER, SHIFT) * linear(boxes, SIDES), CORNERS)


def test_an_expectation_and_the_corners_made_of_it_are_one_layer() -> None:
    merged = rewritten(merge_linears, decoded, X, BOXES, fires=3, tolerance=2e-6)
    assert [op for op in ops(merged) if op != "reshape"] == ["softmax", "mul", "linear", "linear", "mul", "add"]


@pytest.mark.parametrize("bias", [False, True])
def test_two_layers_become_one(bias: bool) -> None:
    module = nn.Sequential(nn.Linear(8, 16, bias), nn.Linear(16, 8, bias))
    assert ops(rewritten(merge_linears, module, random(1, 5, 8), tolerance=2e-6)) == ["linear"]


def test_a_bias_of_the_factors_goes_with_them() -> None:
    shift = torch.tensor([1.0, 1.0, 3.0, 3.0])
    rewritten(merge_linears, lambda x, y: linear(x * linear(y, SIDES, shift), CORNERS), BOXES, BOXES + 1, tolerance=2e-6)


@pytest.mark.parametrize(
    "function",
    [
        lambda x, y: linear(x * linear(y, torch.eye(4)), CORNERS),  # factors that differ
        lambda x, y: linear(x * linear(y, SIDES), CORNERS, SHIFT),  # a bias that is not multiplied
        lambda x, y: linear(x * linear(y, SIDES), torch.zeros(4, 4)),
        lambda x, y: linear((z := linear(x, ORDER)), CORNERS) + z,  # the inner layer is read as well
        lambda x, y: linear(linear(x, ORDER).relu(), CORNERS),
        lambda x, y: linear(linear(x, ORDER).reshape(1, 24, 2), CORNERS[:, :2]),  # rows are split
        lambda x, y: linear(linear(x, ORDER), y[0, :4]),
        lambda x, y: linear(linear(x, torch.ones(1, 4)), torch.ones(2000, 1)),  # more weights than both have
    ],
)
def test_does_not_fire(function: object) -> None:
    rewritten(merge_linears, function, BOXES, BOXES + 1, fires=0)  # type: ignore[arg-type]


@pytest.mark.gpu
def test_delegate(right_on_delegate: RightOnDelegate) -> None:
    right_on_delegate([merge_linears], decoded, X, BOXES)
