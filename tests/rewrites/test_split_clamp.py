"""Clamps to [0, 1]."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from passes import RightOnDelegate, ops, rewritten, run_on_delegate, run_pass, traced
from torch import Tensor
from torch.nn import functional as F

from detr2litert.rewrites.reduce_rank import reduce_rank
from detr2litert.rewrites.split_clamp import split_clamp
from detr2litert.verify.delegate.adapters import Driver
from detr2litert.verify.delegate.run import Outcome

X = torch.randn(1, 4, 5, 8, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize(
    "clamp",
    [
        lambda x: x.clamp(0, 1),
        lambda x: F.hardtanh(x, 0.0, 1.0),
        lambda x: x.clamp(min=0).clamp(max=1),
        lambda x: x.clamp(max=1).clamp(min=0),
        lambda x: torch.relu(x).clamp_max(1.0),
        lambda x: torch.clamp_min(torch.clamp_max(x, 1), 0),
    ],
)
def test_fires_and_is_exact_in_half_precision_too(clamp: object) -> None:
    graph_module = rewritten(split_clamp, clamp, X)  # type: ignore[arg-type]
    tiny = torch.logspace(-7, 5, 400)[:160].view(X.shape).half()
    assert torch.equal(graph_module(tiny)[0], tiny.clamp(0, 1))


def test_a_clamp_of_a_sigmoid_is_removed() -> None:
    assert ops(rewritten(split_clamp, lambda x: x.sigmoid().clamp(0, 1), X)) == ["sigmoid"]


@pytest.mark.parametrize(
    "other",
    [
        lambda x: x.clamp(-1, 1),
        lambda x: x.clamp(1e-5, 1),
        lambda x: x.clamp(0, 6),
        lambda x: x.clamp(max=1) + x,
        lambda x: x.clamp(min=0) + 1,
        F.hardtanh,
    ],
)
def test_does_not_fire(other: object) -> None:
    rewritten(split_clamp, other, X, fires=0)  # type: ignore[arg-type]


@pytest.mark.gpu
def test_delegate(right_on_delegate: RightOnDelegate) -> None:
    def clamped(x: Tensor) -> tuple[Tensor, Tensor]:
        return x.clamp(0, 1) * 3, (x * 2).relu().clamp(max=1)

    right_on_delegate([split_clamp], clamped, X)


@pytest.mark.gpu
def test_delegate_refuses_the_original_also_in_two_steps(driver: Driver, tmp_path: Path) -> None:
    graph_module = traced(lambda x: torch.relu(x).clamp(max=1) * 2, X)
    run_pass(reduce_rank, graph_module)
    run = run_on_delegate(graph_module, (X,), driver, tmp_path)
    assert run.outcome is Outcome.REFUSED and [op.op for op in run.refused] == ["RELU_0_TO_1"]
