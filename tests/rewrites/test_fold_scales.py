"""Scales into linear layers, and norms' affine parts into the layers after them."""

from __future__ import annotations

import pytest
import torch
from passes import RightOnDelegate, ops, rewritten
from torch import Tensor, nn
from torch.nn import functional as F

from detr2litert.graphs.toolbox import aten, calls
from detr2litert.rewrites.fold_scales import fold_scales

X = torch.randn(1, 5, 8, generator=torch.Generator().manual_seed(0))


class Block(nn.Module):
    """Norm, two layers over it, layer scale on one, attention's scale behind views on the other."""

    def __init__(self, bias: bool = True) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(8, bias=bias)
        self.a, self.b = nn.Linear(8, 6, bias=bias), nn.Linear(8, 6, bias=bias)
        self.scale = nn.Parameter(torch.rand(6) + 0.5)
        for parameter in self.norm.parameters():
            parameter.data = torch.rand(8) + 0.5

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        n = self.norm(x)
        return self.a(n) * self.scale, self.b(n).view(1, 5, 2, 3).transpose(1, 2) * 0.5


@pytest.mark.parametrize("bias", [True, False])
def test_fires(bias: bool) -> None:
    graph_module = rewritten(fold_scales, Block(bias), X, fires=3, tolerance=1e-6)
    assert sorted(ops(graph_module)) == ["layer_norm", "linear", "linear", "reshape", "transpose"]
    (norm,) = calls(graph_module, aten.layer_norm.default)
    assert list(norm.args[2:4]) == [None, None]


def test_a_division_is_a_scale_and_two_scales_fold_one_after_the_other() -> None:
    class Divided(Block):
        def forward(self, x: Tensor) -> Tensor:
            return self.a(x) / 4 * self.scale

    assert ops(rewritten(fold_scales, Divided(), X, fires=2, tolerance=1e-6)) == ["linear"]


class Cases(Block):
    def __init__(self, forward: object) -> None:
        super().__init__()
        self._forward = forward

    def forward(self, x: Tensor) -> Tensor:
        return self._forward(self, x)  # type: ignore[operator, no-any-return]


@pytest.mark.parametrize(
    "case",
    [
        lambda m, x: (lambda y: y * m.scale + y)(m.a(x)),  # the layer has another reader
        lambda m, x: (lambda y: y.relu() * y[..., :1] * 2)(m.a(x)),
        lambda m, x: m.a(x).transpose(1, 2) * torch.ones(6)[:, None],  # a value per channel, behind a view
        lambda m, x: m.a(x) * torch.arange(5.0)[:, None],  # one value per token
        lambda m, x: m.a(x) * torch.full((1, 1, 1, 1), 2.0),  # changes the rank
        lambda m, x: m.a(x) * torch.ones(2, 1, 1, 6),
        lambda m, x: F.linear(x, m.a.weight, x.mean((0, 1))[:6]) * 2,  # a bias computed at run time
        lambda m, x: (lambda n: m.a(n)[..., :4] + n[..., :4])(m.norm(x)),  # the norm has a reader that is not a layer
        lambda m, x: m.a(F.layer_norm(x, [8], m.norm.weight, x.mean((0, 1)))),
        lambda m, x: F.linear(m.a.weight, m.norm(x)[0]),  # the norm is the weight
    ],
)
def test_does_not_fire(case: object) -> None:
    rewritten(fold_scales, Cases(case), X, fires=0)


@pytest.mark.gpu
def test_delegate(right_on_delegate: RightOnDelegate) -> None:
    right_on_delegate([fold_scales], Block(), X)
