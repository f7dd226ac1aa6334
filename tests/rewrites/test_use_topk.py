"""The k largest values by TOPK_V2."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from passes import RightOnDelegate, assert_same, count, evaluate, outputs_of, rewritten, run_on_delegate, run_pass, traced
from torch import Tensor

from detr2litert.graphs.native_ops import TOP_VALUES
from detr2litert.graphs.toolbox import aten
from detr2litert.rewrites.profile import Profile, TopK
from detr2litert.rewrites.reduce_rank import reduce_rank
from detr2litert.rewrites.use_topk import use_topk
from detr2litert.verify.delegate.adapters import Driver

GENERATOR = torch.Generator().manual_seed(0)
# Whole numbers between -3 and 3: nearly every row has ties among its largest. No row is a multiple of four long.
TIED = torch.randint(-3, 4, (1, 30, 4, 33), generator=GENERATOR).float()
# As few distinct values as fp16 distinguishes there, most of them 0: a softmax that is sure.
SURE = torch.randn(1, 30, 4, 33, generator=GENERATOR).mul(30).softmax(-1).half().float()


def best(x: Tensor) -> Tensor:
    return x.topk(4, -1)[0] * 2


@pytest.mark.parametrize("x", [TIED, SURE, torch.zeros(2, 5), torch.tensor([3.0, 3.0, -1.0, 3.0, 2.0])])
def test_fires(x: Tensor) -> None:
    found = rewritten(use_topk, best, x, topk=TopK.NATIVE)
    assert (count(found, TOP_VALUES), count(found, aten.topk.default)) == (1, 0)


@pytest.mark.parametrize(
    "other",
    [
        lambda x: x.topk(2, -1)[1],
        lambda x: tuple(x.topk(2, -1)),
        lambda x: x.topk(2, 1)[0],
        lambda x: x.topk(2, largest=False)[0],
    ],
)
def test_does_not_fire(other: object) -> None:
    rewritten(use_topk, other, TIED, fires=0, topk=TopK.NATIVE)  # type: ignore[arg-type]


def test_does_not_fire_in_the_form_of_every_runtime() -> None:
    rewritten(use_topk, best, TIED, fires=0, topk=TopK.ITERATED)


@pytest.mark.gpu
@pytest.mark.parametrize("x", [TIED, SURE, SURE - 900])
def test_delegate(right_on_delegate: RightOnDelegate, x: Tensor) -> None:
    right_on_delegate([use_topk], best, x, tolerance=0.0, profile=Profile().native())


@pytest.mark.gpu
def test_delegate_in_fp16(fp16_driver: Driver, tmp_path: Path) -> None:
    graph_module = traced(best, SURE)
    for rewrite in (use_topk, reduce_rank):
        run_pass(rewrite, graph_module, Profile().native())
    found = outputs_of(run_on_delegate(graph_module, (SURE,), fp16_driver, tmp_path, enforce_f32=False))
    assert_same(found, evaluate(best, SURE))
