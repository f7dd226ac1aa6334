"""Concatenations of tensors that are moved alike."""

from __future__ import annotations

import pytest
import torch
from passes import RightOnDelegate, assert_same, evaluate, ops, rewritten, run_pass, traced
from torch import Tensor

from detr2litert.rewrites.hoist_concatenations import hoist_concatenations
from detr2litert.rewrites.reduce_rank import reduce_rank
from detr2litert.rewrites.remove_identities import remove_identities

GENERATOR = torch.Generator().manual_seed(0)
X = torch.randn(4, 10, 8, generator=GENERATOR)
Y = torch.randn(4, 10, 8, generator=GENERATOR)


def rows(x: Tensor) -> Tensor:
    """From windows with a class token to an image, as backbones with windowed attention do."""
    windows = x[:, 1:].reshape(2, 2, 3, 3, -1)
    return windows.transpose(1, 2).reshape(1, 6, 6, -1).permute(0, 3, 1, 2)


def taps(x: Tensor, y: Tensor) -> Tensor:
    return torch.cat([rows(x.relu()), rows(y.sin()), rows((x * y)[..., :4])], 1)


def test_the_taps_are_moved_once() -> None:
    found = traced(taps, X, Y)
    run_pass(remove_identities, found)
    assert len(run_pass(hoist_concatenations, found)) == 1
    assert ops(found)[:5] == ["relu", "sin", "mul", "slice", "cat"]
    assert ops(found)[5:] == ["slice", "reshape", "transpose", "reshape", "permute"]
    assert_same(evaluate(found, X, Y), evaluate(taps, X, Y))
    assert run_pass(hoist_concatenations, found) == []
    run_pass(reduce_rank, found)
    assert ops(found).count("permute") == 2  # the windows', and the output's


@pytest.mark.parametrize(
    "function",
    [
        lambda x, y: torch.cat([x[:, 1:], y[:, 1:]], -1),
        lambda x, y: torch.cat([x[:, :, ::2], y[:, :, ::2]], 1),
        lambda x, y: torch.cat([x.transpose(1, 2).reshape(4, 8, 2, 5), y[..., :5].transpose(1, 2).reshape(4, 5, 2, 5)], 1),
        lambda x, y: torch.cat([x.permute(2, 0, 1).reshape(8, 40), y.permute(2, 0, 1).reshape(8, 40)], 0),
    ],
    ids=["slices", "slices with a step", "reshapes of another length", "the first dimension"],
)
def test_fires(function: object) -> None:
    rewritten(hoist_concatenations, function, X, Y)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "function",
    [
        lambda x, y: torch.cat([x[:, 1:], y[:, 1:]], 1),
        lambda x, y: torch.cat([x[:, 1:], y[:, :9]], 2),
        lambda x, y: torch.cat([x[:, 1:], y.sin()[:, :9]], 2),
        lambda x, y: torch.cat([x.transpose(1, 2), y.transpose(1, 2)], 1),
        lambda x, y: torch.cat([x.reshape(4, 5, 2, 8).transpose(1, 3), y.reshape(4, 5, 2, 8).transpose(1, 3)], 1),
        lambda x, y: torch.cat([x.transpose(1, 2).reshape(4, 80), y.transpose(1, 2).reshape(4, 80)], 1),
        lambda x, y: torch.cat([part := x[:, 1:], y[:, 1:]], -1).sum() + part,
        lambda x, y: torch.cat([x[:, 1:, None], y[:, 1:, None]], 2),
    ],
    ids=[
        "the dimension that is sliced",
        "other slices",
        "other slices of another op",
        "permutes alone",
        "permutes after reshapes",
        "a reshape that merges the dimension",
        "a part that is read elsewhere",
        "a new dimension",
    ],
)
def test_does_not_fire(function: object) -> None:
    rewritten(hoist_concatenations, function, X, Y, fires=0)  # type: ignore[arg-type]


@pytest.mark.gpu
def test_delegate(right_on_delegate: RightOnDelegate) -> None:
    right_on_delegate([remove_identities, hoist_concatenations], lambda x, y: taps(x, y.abs().sigmoid()), X, Y, tolerance=1e-3)
