"""Everything that does not depend on the image is evaluated at compile time."""

from __future__ import annotations

import pytest
import torch
from passes import RightOnDelegate, ops, rewritten, run_pass, traced
from torch import Tensor, nn
from torch.nn import functional as F

from detr2litert.graphs.toolbox import RewriteRefusedError
from detr2litert.rewrites.evaluate_constants import evaluate_constants

X = torch.randn(1, 16, 8, generator=torch.Generator().manual_seed(0))


class Positions(nn.Module):
    """A bicubically resized position table, a grid and a mask: none of it depends on the image."""

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Parameter(torch.randn(1, 8, 3, 3))

    def forward(self, x: Tensor) -> Tensor:
        positions = F.interpolate(self.table, size=(4, 4), mode="bicubic").flatten(2).transpose(1, 2)
        grid = torch.linspace(0, 3, 16)[:, None] / 4
        return x * torch.ones_like(x) + positions + torch.where(grid > 0.5, grid, -grid)


def test_fires() -> None:
    graph_module = rewritten(evaluate_constants, Positions(), X, fires=3)
    assert ops(graph_module) == ["mul", "add", "add"]


@pytest.mark.parametrize(
    "shaped",
    [
        torch.ones_like,
        torch.zeros_like,
        lambda x: torch.full_like(x, 2.5),
        lambda x: x.new_ones(8),
        lambda x: x.new_zeros(1, 1, 8),
        lambda x: x.new_full((8,), 3.0),
    ],
)
def test_an_op_that_depends_on_a_shape_only_is_constant(shaped: object) -> None:
    graph_module = rewritten(evaluate_constants, lambda x: x + shaped(x.relu()), X)  # type: ignore[operator]
    assert ops(graph_module) == ["add"]


def test_does_not_fire_on_what_depends_on_the_image() -> None:
    rewritten(evaluate_constants, lambda x: x.relu() + x.mean(1, keepdim=True), X, fires=0)


def test_constants_of_the_same_name_stay_separate() -> None:
    class Clash(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.b = nn.Module()
            self.b.scale = nn.Parameter(torch.tensor([2.0]))
            self.register_buffer("b_scale", torch.tensor([3.0]))

        def forward(self, x: Tensor) -> Tensor:
            return x * self.b.scale + self.b_scale

    graph_module = traced(Clash(), X)
    assert torch.equal(graph_module(X)[0], X * 2 + 3)


def test_random_numbers_are_refused() -> None:
    graph_module = traced(lambda x: x + torch.rand(8), X)
    with pytest.raises(RewriteRefusedError) as caught:
        run_pass(evaluate_constants, graph_module)
    error = caught.value
    assert (error.op, error.node, error.shape) == ("aten.rand.default", "rand", "[8]")
    assert "random" in str(error) and "eval mode" in error.hint


@pytest.mark.gpu
def test_delegate(right_on_delegate: RightOnDelegate) -> None:
    right_on_delegate([evaluate_constants], Positions(), X)
