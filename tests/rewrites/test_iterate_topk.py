"""The k largest values by maximum and mask."""

from __future__ import annotations

import pytest
import torch
from passes import RightOnDelegate, count, rewritten, run_pass, traced
from torch import Tensor

from detr2litert.graphs.toolbox import RewriteRefusedError, aten
from detr2litert.rewrites.iterate_topk import iterate_topk

# Whole numbers between -3 and 3: nearly every row has ties among its largest.
TIED = torch.randint(-3, 4, (1, 6, 9), generator=torch.Generator().manual_seed(0)).float()
APART = torch.randn(1, 6, 9, generator=torch.Generator().manual_seed(1)) * 1000


@pytest.mark.parametrize("x", [TIED, APART, torch.zeros(2, 5), torch.tensor([3.0, 3.0, -1.0, 3.0, 2.0])])
@pytest.mark.parametrize("k", [1, 2, 4])
def test_fires(x: Tensor, k: int) -> None:
    graph_module = rewritten(iterate_topk, lambda x: x.topk(k, -1)[0], x)
    assert count(graph_module, aten.topk.default) == 0


def test_within_the_limit_of_each_other_it_is_exact() -> None:
    rewritten(iterate_topk, lambda x: x.topk(3)[0], torch.tensor([[4900.0, -5000.0, 4900.0, -4999.0]]))


@pytest.mark.parametrize(
    "other",
    [
        lambda x: x.topk(2, -1)[1],
        lambda x: tuple(x.topk(2, -1)),
        lambda x: x.topk(2, 1)[0],
    ],
)
def test_does_not_fire(other: object) -> None:
    rewritten(iterate_topk, other, TIED, fires=0)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("function", "shape", "reason"),
    [
        (lambda x: x.topk(17)[0], (1, 40), "the 17 largest of 40 values"),
        (lambda x: x.topk(2, largest=False)[0], (1, 40), "the 2 smallest of 40 values"),
        (lambda x: x.topk(2)[0], (1, 1025), "the 2 largest of 1025 values"),
    ],
)
def test_refusals(function: object, shape: tuple[int, ...], reason: str) -> None:
    graph_module = traced(function, torch.zeros(shape))  # type: ignore[arg-type]
    with pytest.raises(RewriteRefusedError, match=reason) as caught:
        run_pass(iterate_topk, graph_module)
    assert caught.value.op == "aten.topk.default" and caught.value.node == "topk" and "at most 16" in caught.value.hint


@pytest.mark.gpu
def test_delegate_with_ties(right_on_delegate: RightOnDelegate) -> None:
    right_on_delegate([iterate_topk], lambda x: x.topk(4, -1)[0], TIED)
