"""A logit of a sigmoid."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from passes import RightOnDelegate, count, ops, outputs_of, rewritten, run_on_delegate, run_pass, traced
from torch import Tensor

from detr2litert.graphs.toolbox import aten
from detr2litert.rewrites.cancel_logit import cancel_logit
from detr2litert.rewrites.reduce_rank import reduce_rank
from detr2litert.rewrites.split_clamp import split_clamp
from detr2litert.verify.delegate.adapters import Driver

X = torch.randn(1, 40, 4, generator=torch.Generator().manual_seed(0)) * 2
FAR = torch.tensor([[-30.0, -11.6, -11.0, 11.0, 11.6, 30.0]])


def logit(p: Tensor, guard: float = 1e-5, clamped: bool = True) -> Tensor:
    p = p.clamp(min=0, max=1) if clamped else p
    return torch.log(p.clamp(min=guard) / (1 - p).clamp(min=guard))


@pytest.mark.parametrize("clamped", [True, False])
def test_fires(clamped: bool) -> None:
    graph_module = rewritten(cancel_logit, lambda x: logit(x.sigmoid(), clamped=clamped) + 1, X, tolerance=1e-5)
    assert ops(graph_module) == ["clamp", "add"]


def test_holds_at_the_guards() -> None:
    rewritten(cancel_logit, lambda x: logit(x.sigmoid()), FAR, tolerance=1e-3)  # float32's own 1 - p has the same error
    graph_module = traced(lambda x: logit(x.sigmoid()), FAR.double())
    run_pass(cancel_logit, graph_module)
    assert float((graph_module(FAR.double())[0] - logit(FAR.double().sigmoid())).abs().max()) < 2e-5


def test_other_readers_still_read_the_sigmoid() -> None:
    def refined(x: Tensor) -> tuple[Tensor, Tensor]:
        p = x.sigmoid()
        return logit(p) + 0.5, p * 2

    assert count(rewritten(cancel_logit, refined, X, tolerance=1e-5), aten.sigmoid.default) == 1


@pytest.mark.parametrize(
    "other",
    [
        lambda x: logit(x),
        lambda x: logit(x.sigmoid() * 0.5),
        lambda x: torch.log(x.sigmoid().clamp(min=1e-5) / (1 - x.sigmoid()).clamp(min=1e-4)),
        lambda x: torch.log(x.sigmoid().clamp(min=1e-5) / (2 - x.sigmoid()).clamp(min=1e-5)),
        lambda x: torch.log(x.sigmoid().clamp(min=1e-5, max=0.5) / (1 - x.sigmoid()).clamp(min=1e-5)),
        lambda x: torch.log(x.sigmoid() + 1),
    ],
)
def test_does_not_fire(other: object) -> None:
    rewritten(cancel_logit, other, X.sigmoid(), fires=0)  # type: ignore[arg-type]


@pytest.mark.gpu
def test_delegate(right_on_delegate: RightOnDelegate) -> None:
    right_on_delegate([cancel_logit, split_clamp], lambda x: logit(x.sigmoid()), X)


@pytest.mark.gpu
def test_delegate_in_fp16(fp16_driver: Driver, tmp_path: Path) -> None:
    """Logits between 3 and 5, coordinates from 0.95 to 0.993."""
    x = (torch.rand(1, 40, 4, generator=torch.Generator().manual_seed(1)) * 2 + 3).half().float()

    def error(*passes: object) -> float:
        graph_module = traced(lambda x: logit(x.sigmoid()), x)
        for rewrite in (*passes, split_clamp, reduce_rank):
            run_pass(rewrite, graph_module)  # type: ignore[arg-type]
        (found,) = outputs_of(run_on_delegate(graph_module, (x,), fp16_driver, tmp_path, enforce_f32=False))
        return float((found - x).abs().max())

    assert error(cancel_logit) == 0 and error() > 0.02
