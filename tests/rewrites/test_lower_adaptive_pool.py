"""Adaptive average pools."""

from __future__ import annotations

import pytest
import torch
from passes import RightOnDelegate, ops, rewritten, run_pass, traced
from torch import Tensor
from torch.nn import functional as F

from detr2litert.graphs.toolbox import RewriteRefusedError
from detr2litert.rewrites.lower_adaptive_pool import lower_adaptive_pool

X = torch.randn(1, 8, 12, 20, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize(("size", "op"), [(1, "mean"), ((3, 5), "avg_pool2d"), ((12, 1), "avg_pool2d")])
def test_fires_and_keeps_the_values(size: int | tuple[int, int], op: str) -> None:
    graph_module = rewritten(lower_adaptive_pool, lambda x: F.adaptive_avg_pool2d(x, size), X, tolerance=1e-6)
    assert ops(graph_module) == [op]


def test_does_not_fire_on_a_plain_pool() -> None:
    rewritten(lower_adaptive_pool, lambda x: F.avg_pool2d(x, 2), X, fires=0)


def test_refuses_windows_of_unequal_size() -> None:
    with pytest.raises(RewriteRefusedError, match="unequal size"):
        run_pass(lower_adaptive_pool, traced(lambda x: F.adaptive_avg_pool2d(x, 7), X))


@pytest.mark.gpu
def test_delegate(right_on_delegate: RightOnDelegate) -> None:
    def pooled(x: Tensor) -> tuple[Tensor, Tensor]:
        return x * F.adaptive_avg_pool2d(x, 1), F.adaptive_avg_pool2d(x.abs(), (3, 5))

    right_on_delegate([lower_adaptive_pool], pooled, X)
