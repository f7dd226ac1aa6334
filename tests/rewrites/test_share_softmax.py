"""The softmax of one tensor in several shapes."""

from __future__ import annotations

import pytest
import torch
from passes import RightOnDelegate, ops, rewritten
from torch import Tensor

from detr2litert.rewrites.share_softmax import share_softmax

X = torch.randn(1, 10, 12, generator=torch.Generator().manual_seed(0))


def twice(x: Tensor) -> tuple[Tensor, Tensor]:
    return x.reshape(40, 3).softmax(1) * 2, x.reshape(1, 10, 4, 3).softmax(-1).amax(-1)


def test_fires() -> None:
    assert ops(rewritten(share_softmax, twice, X)).count("softmax") == 1
    rewritten(share_softmax, lambda x: x.softmax(-1) + x.softmax(-1).relu(), X)


@pytest.mark.parametrize(
    "function",
    [
        lambda x: (x.reshape(40, 3).softmax(-1), x.reshape(20, 6).softmax(-1)),  # rows of another length
        lambda x: (x.reshape(40, 3).softmax(-1), x.reshape(40, 3).softmax(0)),
        lambda x: (x.softmax(-1), (x + 1).softmax(-1)),
        lambda x: (x.reshape(12, 10).softmax(-1), x.mT.softmax(-1)),  # other rows
    ],
)
def test_does_not_fire(function: object) -> None:
    rewritten(share_softmax, function, X, fires=0)  # type: ignore[arg-type]


@pytest.mark.gpu
def test_delegate(right_on_delegate: RightOnDelegate) -> None:
    right_on_delegate([share_softmax], twice, X)
