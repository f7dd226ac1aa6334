"""Attention weights permuted before their softmax."""

from __future__ import annotations

import pytest
import torch
from passes import RightOnDelegate, ops, rewritten
from torch import Tensor

from detr2litert.rewrites.hoist_softmax_permutes import hoist_softmax_permutes

X = torch.randn(1, 10, 24, generator=torch.Generator().manual_seed(0))


def weights(x: Tensor) -> Tensor:
    return x.reshape(1, 10, 4, 6).softmax(-1).permute(0, 2, 1, 3).reshape(4, 1, 10, 6) * 2


@pytest.mark.parametrize("function", [weights, lambda x: x.reshape(1, 10, 4, 6).softmax(3).transpose(1, 2) * 2])
def test_fires(function: object) -> None:
    found = ops(rewritten(hoist_softmax_permutes, function, X))  # type: ignore[arg-type]
    assert found.index("softmax") > min(found.index(op) for op in ("permute", "transpose") if op in found)


@pytest.mark.parametrize(
    "function",
    [
        lambda x: x.reshape(1, 10, 4, 6).softmax(-1).permute(0, 1, 3, 2) * 2,
        lambda x: x.reshape(1, 10, 4, 6).softmax(2).permute(0, 2, 1, 3) * 2,
        lambda x: x.softmax(-1).transpose(0, 1) * 2,
        lambda x: (y := x.reshape(1, 10, 4, 6).softmax(-1)).transpose(1, 2).sum() + y,
        lambda x: (y := x.reshape(1, 10, 4, 6)).softmax(-1).transpose(1, 2).sum() + y,
    ],
)
def test_does_not_fire(function: object) -> None:
    rewritten(hoist_softmax_permutes, function, X, fires=0)  # type: ignore[arg-type]


@pytest.mark.gpu
def test_delegate(right_on_delegate: RightOnDelegate) -> None:
    right_on_delegate([hoist_softmax_permutes], weights, X)
