"""A linear layer whose result is read in parts."""

from __future__ import annotations

import pytest
import torch
from passes import RightOnDelegate, count, rewritten
from torch import nn

from detr2litert.graphs.toolbox import aten
from detr2litert.rewrites.split_linears import split_linears

torch.manual_seed(0)
LAYER = nn.Linear(6, 10).requires_grad_(False)
X = torch.randn(1, 7, 6)


@pytest.mark.parametrize(
    "function",
    [
        lambda x: (lambda y: y[..., :4] * y[..., 4:8])(LAYER(x)),
        lambda x: torch.mul(*LAYER(x).sigmoid().chunk(2, -1)),
        lambda x: (lambda y: y[0].exp() + y[1])(LAYER(x).split([5, 5], -1)),
    ],
    ids=["slices", "chunk behind a sigmoid", "split"],
)
def test_fires(function: object) -> None:
    found = rewritten(split_linears, function, X, fires=1, tolerance=1e-6)  # type: ignore[arg-type]
    assert count(found, aten.linear.default) == 2
    assert count(found, aten.slice.Tensor, aten.split.Tensor, aten.split_with_sizes.default, aten.chunk.default) == 0


@pytest.mark.parametrize(
    "function",
    [
        lambda x: (lambda y: y[..., :5] + y.mean())(LAYER(x)),
        lambda x: (lambda y: y[..., :6] * y[..., 4:])(LAYER(x)),
        lambda x: (lambda y: y[:, :3] + y[:, 4:])(LAYER(x)),
        lambda x: (lambda y: y[..., 0::2] + y[..., 1::2])(LAYER(x)),
        lambda x: LAYER(x)[..., :5],
    ],
    ids=["read whole as well", "overlapping", "parts of the tokens", "every second channel", "one part"],
)
def test_does_not_fire(function: object) -> None:
    rewritten(split_linears, function, X, fires=0)  # type: ignore[arg-type]


@pytest.mark.gpu
def test_delegate(right_on_delegate: RightOnDelegate) -> None:
    right_on_delegate([split_linears], lambda x: torch.mul(*LAYER(x).sigmoid().chunk(2, -1)), X)
