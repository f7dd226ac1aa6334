"""Sums of two convolutions of one map."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from passes import RightOnDelegate, ops, rewritten
from torch import Tensor, nn

from detr2litert.rewrites.merge_convolutions import merge_convolutions

X = torch.randn(1, 8, 9, 12, generator=torch.Generator().manual_seed(0))


def conv(kernel: Any, padding: Any = 0, **options: Any) -> nn.Conv2d:
    return nn.Conv2d(8, 8, kernel, padding=padding, **options)


class Branches(nn.Module):
    """Two branches, their sum, and what reads it."""

    def __init__(self, first: nn.Module, second: nn.Module) -> None:
        super().__init__()
        torch.manual_seed(1)
        for branch in (first, second):
            for value in branch.parameters():
                nn.init.normal_(value, std=0.3)
        self.first, self.second = first, second

    def forward(self, x: Tensor) -> Tensor:
        return nn.functional.silu(self.first(x) + self.second(x))


class Shared(Branches):
    """The first branch is read once more."""

    def forward(self, x: Tensor) -> Tensor:
        y = self.first(x)
        return (y + self.second(x)).relu() + y


class Weighted(Branches):
    def forward(self, x: Tensor) -> Tensor:
        return torch.add(self.first(x), self.second(x), alpha=2)


class All(nn.Module):
    """Several pairs of branches of one map."""

    def __init__(self, *pairs: Branches) -> None:
        super().__init__()
        self.pairs = nn.ModuleList(pairs)

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        return tuple(pair(x) for pair in self.pairs)


def test_two_convolutions_of_one_map_become_one() -> None:
    pairs = [
        Branches(conv(3, 1), conv(1)),
        Branches(conv(1), conv(3, 1)),
        Branches(conv(3, 1, bias=False), conv(1)),
        Branches(conv(3, 1, bias=False), conv(1, bias=False)),
        Branches(conv(3, 1), conv(3, 1)),
        Branches(conv(5, 2, stride=2), conv(3, 1, stride=2)),
        Branches(conv((3, 5), (1, 2)), conv((1, 3), (0, 1))),
        Branches(conv(3, 1, groups=8), conv(1, groups=8)),
        Branches(conv(3, 2, dilation=2), conv(1, dilation=2)),
    ]
    merged = rewritten(merge_convolutions, All(*pairs), X, fires=len(pairs), tolerance=1e-5)
    assert ops(merged) == ["conv2d", "silu"] * len(pairs)


def test_does_not_fire_where_they_differ_in_more_than_the_kernel() -> None:
    pairs = [
        Branches(conv((3, 1), (1, 0)), conv((1, 3), (0, 1))),  # neither kernel contains the other
        Branches(conv(3, 1, groups=2), conv(1)),
        Branches(conv(3, 1), conv(3, 2, dilation=2)),
        Branches(conv(3, 1), nn.Sequential(nn.ReLU(), conv(1))),  # of another map
    ]
    rewritten(merge_convolutions, All(*pairs), X, fires=0)


@pytest.mark.parametrize("kind", [Shared, Weighted])
def test_does_not_fire_on_a_branch_that_is_needed_otherwise(kind: type[Branches]) -> None:
    rewritten(merge_convolutions, kind(conv(3, 1), conv(1)), X, fires=0)


def test_does_not_fire_on_a_kernel_computed_at_run_time() -> None:
    fixed = conv(1)
    rewritten(
        merge_convolutions, lambda x: torch.conv2d(x, x[:, :, :8, :1].transpose(0, 2)) + fixed(x), X[:, :, :8, :8], fires=0
    )


@pytest.mark.gpu
def test_delegate(right_on_delegate: RightOnDelegate) -> None:
    right_on_delegate([merge_convolutions], Branches(conv(3, 1), conv(1)), X)
