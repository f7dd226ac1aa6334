"""Constants are clamped to the range of fp16."""

from __future__ import annotations

from math import inf

import pytest
import torch
from passes import RightOnDelegate, run_pass, traced

from detr2litert.rewrites.bound_constants import bound_constants
from detr2litert.rewrites.remove_identities import remove_identities

X = torch.randn(1, 3, 4, generator=torch.Generator().manual_seed(0))
ANCHORS = torch.tensor([0.5, torch.finfo(torch.float32).max, -inf, -2.0])


def test_fires() -> None:
    graph_module = traced(lambda x: x + ANCHORS, X)
    (site,) = run_pass(bound_constants, graph_module)
    assert "2 of 4" in site.detail and "10000" in site.detail
    assert torch.equal(graph_module(X)[0], X + torch.tensor([0.5, 1e4, -1e4, -2.0]))
    assert run_pass(bound_constants, graph_module) == []
    assert ANCHORS.isinf().any()  # the model's own tensor is unchanged


def test_does_not_fire_inside_the_limit_nor_on_integers() -> None:
    large = torch.tensor([10**6, 1, 2, 3])
    graph_module = traced(lambda x: x * torch.tensor([1e4, -1e4, 0.0, 1.0]) + large, X)
    assert run_pass(bound_constants, graph_module) == []


@pytest.mark.gpu
def test_delegate(right_on_delegate: RightOnDelegate) -> None:
    anchors = ANCHORS.clamp(-1e4, 1e4)
    right_on_delegate([remove_identities, bound_constants], lambda x: (x.relu() + anchors).sigmoid(), X)
