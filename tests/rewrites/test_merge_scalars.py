"""Chains of arithmetic with plain numbers."""

from __future__ import annotations

import pytest
import torch
from passes import RightOnDelegate, ops, rewritten

from detr2litert.rewrites.merge_scalars import merge_scalars

X = torch.rand(1, 5, 3, 2, generator=torch.Generator().manual_seed(0))


def coordinates(x: torch.Tensor) -> torch.Tensor:
    """The arithmetic of sampling coordinates: to [-1, 1], selected, and to pixels."""
    grid = (2 * x - 1)[..., 0].transpose(1, 2)
    return ((grid + 1) * 24 - 1) / 2


def test_fires_through_views() -> None:
    graph_module = rewritten(merge_scalars, coordinates, X, tolerance=1e-6)
    assert sorted(ops(graph_module)) == ["add", "mul", "select", "transpose"]


@pytest.mark.parametrize(
    ("chain", "left"),
    [
        (lambda x: (x + 1) + 2, ["add"]),
        (lambda x: (x * 3) / 4, ["mul"]),
        (lambda x: 1 - (1 - x), []),
        (lambda x: (2 - x) * -1.5 + 1, ["add", "mul"]),  # (x - 4/3) * 1.5
        (lambda x: (2 + x) * 1.5 + 1, ["mul", "add"]),
        (lambda x: (x * 0.01 - 1) * 0.5, ["mul", "add"]),  # x - 200 would lose x
        (lambda x: (x - 1) * 0, ["mul"]),
    ],
)
def test_fires(chain: object, left: list[str]) -> None:
    assert ops(rewritten(merge_scalars, lambda x: chain(x.relu()), X, tolerance=1e-6)) == ["relu", *left]  # type: ignore[operator]


@pytest.mark.parametrize(
    "single",
    [
        lambda x: x * 2,
        lambda x: x * 2 + 1,
        lambda x: (x + 1).relu() + 1,
        lambda x: torch.add(torch.add(x, 2, alpha=3), x, alpha=2),
        lambda x: torch.rsub(x, 2, alpha=3) + 1,
        lambda x: x + x * 2,
        lambda x: (x * 10).round().to(torch.int32) / 2 * 2,
    ],
)
def test_does_not_fire(single: object) -> None:
    rewritten(merge_scalars, single, X, fires=0)  # type: ignore[arg-type]


def test_a_shared_step_is_merged_for_both_readers() -> None:
    def shared(x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        grid = 2 * x - 1
        return (grid[..., 0] + 1) * 8, (grid[..., 1] + 1) * 6

    graph_module = rewritten(merge_scalars, shared, X, fires=2, tolerance=1e-6)
    assert sorted(ops(graph_module)) == ["mul", "mul", "select", "select"]


def test_coordinates_stay_precise_in_fp16() -> None:
    """Positions around the centre of 64 columns: rounded after the shift, not before it."""
    x = (torch.rand(1, 64, 1, 2, generator=torch.Generator().manual_seed(1)) * 0.1 + 0.5).half().float()
    graph_module = rewritten(merge_scalars, lambda x: (2 * x - 1) * 32, x, tolerance=1e-6)
    found = graph_module.half()(x.half())[0].float()
    assert float((found - (x - 0.5) * 64).abs().max()) < 1e-2  # scaled first, 0.03


@pytest.mark.gpu
def test_delegate(right_on_delegate: RightOnDelegate) -> None:
    right_on_delegate([merge_scalars], coordinates, X)
