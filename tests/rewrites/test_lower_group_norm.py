"""Group norms."""

from __future__ import annotations

import pytest
import torch
from passes import RightOnDelegate, ops, rewritten, run_pass, traced
from torch import nn

from detr2litert.graphs.toolbox import RewriteRefusedError
from detr2litert.rewrites.lower_group_norm import lower_group_norm

GENERATOR = torch.Generator().manual_seed(0)
X = torch.randn(1, 24, 6, 10, generator=GENERATOR) * 3 + torch.linspace(-4, 4, 24)[:, None, None]


def norm(groups: int, affine: bool = True, eps: float = 1e-5) -> nn.GroupNorm:
    layer = nn.GroupNorm(groups, 24, eps=eps, affine=affine)
    for parameter in layer.parameters():
        parameter.data = torch.rand(24, generator=GENERATOR) + 0.5
    return layer


@pytest.mark.parametrize("affine", [True, False])
@pytest.mark.parametrize("groups", [1, 4, 8, 24])
def test_fires_and_keeps_the_values(groups: int, affine: bool) -> None:
    graph_module = rewritten(lower_group_norm, norm(groups, affine), X, tolerance=1e-5)
    names = ops(graph_module)
    assert "group_norm" not in names and names.count("conv2d") == 2
    assert all(node.meta["val"].dim() <= 4 for node in graph_module.graph.nodes if "val" in node.meta)


def test_epsilon_matters() -> None:
    rewritten(lower_group_norm, norm(8, eps=1e-1), X * 0.1, tolerance=1e-5)


def test_does_not_fire_on_other_norms() -> None:
    rewritten(lower_group_norm, nn.LayerNorm(10), X, fires=0)


def test_refuses_tokens() -> None:
    with pytest.raises(RewriteRefusedError, match="rank 3"):
        run_pass(lower_group_norm, traced(nn.GroupNorm(4, 24), X.flatten(2)))


@pytest.mark.gpu
def test_delegate(right_on_delegate: RightOnDelegate) -> None:
    right_on_delegate([lower_group_norm], nn.Sequential(norm(8), nn.ReLU()), X)
