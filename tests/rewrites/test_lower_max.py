"""A maximum with unused indices."""

from __future__ import annotations

import pytest
import torch
from passes import RightOnDelegate, ops, rewritten

from detr2litert.rewrites.lower_max import lower_max

X = torch.randn(1, 6, 5, generator=torch.Generator().manual_seed(0))


def test_fires() -> None:
    assert ops(rewritten(lower_max, lambda x: x.max(-1)[0], X)) == ["amax"]
    assert ops(rewritten(lower_max, lambda x: x.min(1, keepdim=True).values, X)) == ["amin"]


def test_does_not_fire_when_the_indices_are_read() -> None:
    rewritten(lower_max, lambda x: x.max(-1).indices, X, fires=0)
    rewritten(lower_max, lambda x: tuple(x.max(-1)), X, fires=0)


@pytest.mark.gpu
def test_delegate(right_on_delegate: RightOnDelegate) -> None:
    right_on_delegate([lower_max], lambda x: x.relu().max(-1)[0] * 2, X)
