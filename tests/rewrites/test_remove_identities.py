"""Operations that return their input."""

from __future__ import annotations

import pytest
import torch
from passes import RightOnDelegate, count, ops, rewritten, run_pass, traced
from torch import Tensor, nn
from torch.nn import functional as F

from detr2litert.graphs.toolbox import aten
from detr2litert.rewrites.remove_identities import remove_identities

X = torch.randn(1, 4, 6, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize(
    "identity",
    [
        lambda x: x.clone(),
        lambda x: x.detach(),
        lambda x: x.reshape(1, 4, 6),
        lambda x: x.expand(1, 4, 6),
        lambda x: x[:, 0:100],
        lambda x: x.repeat(1, 1, 1),
        lambda x: x.to(torch.float32),
        lambda x: x + 0,
        lambda x: x * 1.0,
        lambda x: x / 1,
        lambda x: F.dropout(x, 0.5, False),
        lambda x: torch.cat([x]),
        lambda x: torch.cat([x, x.new_zeros(0)]),
        lambda x: torch.stack([x, x * 2])[0],
        lambda x: torch.stack([x * 2, x], 2)[:, :, -1],
        lambda x: torch.empty(1, 4, 6).copy_(x),
        lambda x: torch.slice_scatter(x, x, 1, 0, 4),
    ],
)
def test_fires(identity: object) -> None:
    graph_module = traced(lambda x: torch.relu(identity(x)), X)  # type: ignore[operator]
    run_pass(remove_identities, graph_module)
    assert ops(graph_module) == ["relu"]
    assert torch.equal(graph_module(X)[0], torch.relu(X))
    assert run_pass(remove_identities, graph_module) == []


@pytest.mark.parametrize(
    "change",
    [
        lambda x: x.to(torch.float16),
        lambda x: x[:, 1:],
        lambda x: x[:, ::2],
        lambda x: x.reshape(4, 6),
        lambda x: x.expand(2, 4, 6),
        lambda x: x + 1,
        lambda x: x * 0,
        lambda x: 0 - x,
        lambda x: torch.cat([x, x]),
        lambda x: torch.stack([x, x * 2])[:, 0],
        lambda x: x.round().to(torch.int32) / 1,
    ],
)
def test_does_not_fire(change: object) -> None:
    rewritten(remove_identities, lambda x: change(x), X, fires=0)  # type: ignore[operator]


def test_the_exporters_assertions_are_removed() -> None:
    graph_module = traced(lambda x: x.to(torch.float32, copy=True).relu(), X)
    run_pass(remove_identities, graph_module)
    assert count(graph_module, aten._assert_tensor_metadata.default) == 0


@pytest.mark.gpu
def test_delegate(right_on_delegate: RightOnDelegate) -> None:
    class Module(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return torch.relu(torch.stack([x.clone(), x * 2])[0][:, :100]) * 3

    right_on_delegate([remove_identities], Module(), X)
