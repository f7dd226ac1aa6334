"""Constant masks."""

from __future__ import annotations

from math import inf

import pytest
import torch
from passes import RightOnDelegate, ops, rewritten, run_pass, traced

from detr2litert.rewrites.evaluate_constants import evaluate_constants
from detr2litert.rewrites.fold_masks import fold_masks

X = torch.randn(1, 6, 4, generator=torch.Generator().manual_seed(0))
MIXED = torch.tensor([True, False, True, False, False, False])[None, :, None]
NONE = torch.zeros(1, 6, 1, dtype=torch.bool)
ALL = torch.ones(1, 6, 1, dtype=torch.bool)


def folded(function: object, *inputs: torch.Tensor, fires: int = 1) -> list[str]:
    graph_module = traced(function, *inputs)  # type: ignore[arg-type]
    run_pass(evaluate_constants, graph_module)
    assert len(run_pass(fold_masks, graph_module)) == fires
    assert torch.equal(graph_module(*inputs)[0], function(*inputs))  # type: ignore[operator]
    assert run_pass(fold_masks, graph_module) == []
    return ops(graph_module)


def test_an_empty_mask_is_removed() -> None:
    assert folded(lambda x: x.relu().masked_fill(NONE, -inf), X) == ["relu"]
    assert folded(lambda x: torch.where(NONE, 0.0, x.relu()), X) == ["relu"]
    assert folded(lambda x: torch.where(ALL, x.relu(), torch.zeros(())), X) == ["relu"]


def test_an_empty_mask_of_a_larger_shape_still_broadcasts() -> None:
    assert folded(lambda x: x[:, :1].masked_fill(NONE, 0.0), X) == ["slice", "expand"]


def test_a_full_mask_is_the_fill() -> None:
    assert folded(lambda x: x.masked_fill(ALL, 2.0) * x, X) == ["mul"]


def test_a_mixed_mask_is_a_product_and_a_sum() -> None:
    assert folded(lambda x: x.masked_fill(MIXED, 0.0), X) == ["mul"]
    assert folded(lambda x: x.masked_fill(MIXED, -7.0), X) == ["mul", "add"]
    assert folded(lambda x: torch.where(MIXED, x, torch.full((4,), 3.0)), X) == ["mul", "add"]
    assert folded(lambda x: torch.where(MIXED, 5.0, x), X) == ["mul", "add"]


def test_an_infinite_fill_is_clamped_to_the_limit() -> None:
    graph_module = traced(lambda x: x.masked_fill(MIXED, -inf), X)
    run_pass(fold_masks, graph_module)
    assert torch.equal(graph_module(X)[0], X.masked_fill(MIXED, -1e4))


def test_does_not_fire_on_a_mask_or_a_fill_that_depends_on_the_image() -> None:
    rewritten(fold_masks, lambda x: x.masked_fill(x > 0, -1.0), X, fires=0)
    rewritten(fold_masks, lambda x: torch.where(MIXED, x, x * 2), X, fires=0)


def test_does_not_fire_on_integers() -> None:
    rewritten(fold_masks, lambda x: x.round().to(torch.int32).masked_fill(MIXED, 3), X, fires=0)


@pytest.mark.gpu
def test_delegate(right_on_delegate: RightOnDelegate) -> None:
    right_on_delegate([fold_masks], lambda x: x.relu().masked_fill(MIXED, -7.0), X)
