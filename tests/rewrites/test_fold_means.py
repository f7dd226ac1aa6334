"""Means beside their values."""

from __future__ import annotations

import pytest
import torch
from passes import RightOnDelegate, ops, rewritten
from torch import Tensor
from torch.nn.functional import linear

from detr2litert.rewrites.fold_means import fold_means

GENERATOR = torch.Generator().manual_seed(0)
X = torch.randn(1, 6, 4, 3, generator=GENERATOR)
WEIGHT, BIAS = torch.randn(5, 16, generator=GENERATOR), torch.randn(5, generator=GENERATOR)


def with_mean(x: Tensor) -> Tensor:
    return torch.cat([x, x.mean(-1, keepdim=True)], -1)


def scored(x: Tensor) -> Tensor:
    return linear(with_mean(x).reshape(1, 6, 16), WEIGHT, BIAS).relu()


def test_fires_on_rows_that_are_joined() -> None:
    assert ops(rewritten(fold_means, scored, X, tolerance=2e-6)) == ["reshape", "linear", "relu"]


def test_fires_without_a_reshape() -> None:
    weight = torch.randn(5, 4, generator=GENERATOR)
    assert ops(rewritten(fold_means, lambda x: linear(with_mean(x), weight), X, tolerance=2e-6)) == ["linear"]


@pytest.mark.parametrize(
    "function",
    [
        lambda x: linear(torch.cat([x.mean(-1, keepdim=True), x], -1).reshape(1, 6, 16), WEIGHT),  # the mean first
        lambda x: linear(torch.cat([x, x.mean(-2, keepdim=True)], -2).reshape(1, 6, 15), WEIGHT[:, :15]),
        lambda x: linear(torch.cat([x, (x + 1).mean(-1, keepdim=True)], -1).reshape(1, 6, 16), WEIGHT),
        lambda x: linear((y := with_mean(x)).reshape(1, 6, 16), WEIGHT) + y.sum(),
        lambda x: linear(with_mean(x).reshape(1, 6, 16), x[0, :, 0, :1].expand(-1, 16)),
    ],
)
def test_does_not_fire(function: object) -> None:
    rewritten(fold_means, function, X, fires=0)  # type: ignore[arg-type]


@pytest.mark.gpu
def test_delegate(right_on_delegate: RightOnDelegate) -> None:
    right_on_delegate([fold_means], scored, X)
