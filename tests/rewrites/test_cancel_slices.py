"""Slices of concatenations, and concatenations of slices."""

from __future__ import annotations

import pytest
import torch
from passes import RightOnDelegate, count, evaluate, ops, rewritten, run_pass, traced
from torch import Tensor

from detr2litert.graphs.toolbox import aten
from detr2litert.rewrites.cancel_slices import cancel_slices

GENERATOR = torch.Generator().manual_seed(0)
X = torch.randn(1, 12, 8, generator=GENERATOR)
TOKEN = torch.randn(1, 1, 8, generator=GENERATOR)
POSITIONS = torch.randn(1, 13, 8, generator=GENERATOR)
MAP = torch.randn(1, 8, 4, 6, generator=GENERATOR)


def tokens(x: Tensor) -> tuple[Tensor, ...]:
    """A constant token that gets its position with the others, and is taken apart from them again."""
    whole = torch.cat([TOKEN, x.relu()], 1) + POSITIONS
    return whole[:, :1] * x, whole[:, 1:]


def box(x: Tensor) -> tuple[Tensor, ...]:
    """A joined box that is read whole and in parts."""
    joined = torch.cat([x.sigmoid(), x.relu()], -1)
    return joined, joined[..., 8:] * 2, joined[..., :8] + 1, joined[..., 8:] - 1


def bottleneck(x: Tensor) -> Tensor:
    """Both halves of a split, of which one is read elsewhere, joined with what is made of it."""
    one, two = x.relu().split(4, 1)
    return torch.cat([one, two, two.sigmoid()], 1)


def test_a_constant_part_is_a_constant_and_takes_no_op() -> None:
    found = rewritten(cancel_slices, tokens, X, fires=2)
    assert ops(found) == ["relu", "mul", "add"]


def test_parts_of_a_box_are_read_where_they_were_made() -> None:
    found = rewritten(cancel_slices, box, X, fires=3)
    assert count(found, aten.slice.Tensor) == 0 and count(found, aten.cat.default) == 1


def test_both_halves_are_the_whole() -> None:
    found = rewritten(cancel_slices, bottleneck, MAP)
    (joined,) = (node for node in found.graph.nodes if node.target is aten.cat.default)
    assert [part.target for part in joined.args[0]] == [aten.relu.default, aten.sigmoid.default]


@pytest.mark.parametrize(
    ("function", "fires"),
    [
        (lambda x: torch.cat([x[:, :3], x[:, 3:]], 1).sin(), 1),
        (lambda x: torch.cat([x[:, 1:3], x[:, 3:7], x[:, 9:]], 1), 1),
        (lambda x: torch.cat([x.split(4, 1)[0], x.split(4, 1)[1]], 1), 1),
        (lambda x: torch.cat([x[:, 3:], x[:, :3]], 1), 0),
        (lambda x: torch.cat([x[..., :3], x[..., 3:]], 1)[..., :2] if x.shape[-1] == 6 else x, 0),
        (lambda x: torch.cat([part := x[:, :3], rest := x[:, 3:]], 1) * 2 + torch.cat([part.sin(), rest.sin()], 1), 0),
        (lambda x: torch.cat([x.sin(), x.cos()], 1)[:, 1:12], 0),
        (lambda x: torch.cat([x.sin(), x.cos()], 1)[:, :12, :4], 1),
        (lambda x: torch.cat([x.sin(), x.cos()], 1)[:, :, :4], 0),
        (lambda x: (y := torch.cat([x.sin(), x.cos()], 1) * 2)[:, :12] + y.sum(), 0),
        (lambda x: (torch.cat([x.sin(), x.cos()], 1) * 2).exp()[:, :12], 0),
        (lambda x: torch.cat([TOKEN, x, TOKEN * 2], 1)[:, 13:] * 1 + x, 1),
    ],
    ids=[
        "two slices are the whole",
        "two slices are one",
        "two splits",
        "another order",
        "another dimension",
        "read elsewhere",
        "across parts",
        "sliced again",
        "sliced along another dimension",
        "the op between is read",
        "two ops between",
        "the last part",
    ],
)
def test_fires_only_where_it_saves(function: object, fires: int) -> None:
    rewritten(cancel_slices, function, X, fires=fires)  # type: ignore[arg-type]


def test_slices_within_slices() -> None:
    def nested(x: Tensor) -> Tensor:
        inner = torch.cat([x.sin(), x.cos()], 1)
        return torch.cat([inner[:, :12], x], 1)[:, :12] * 2

    found = rewritten(cancel_slices, nested, X, fires=2)
    assert ops(found) == ["sin", "mul"]


def test_reports_what_it_leaves() -> None:
    graph_module = traced(lambda x: (y := torch.cat([x.sin(), x.cos()], 1) * 2)[:, :12] + y.sum(), X)
    before = evaluate(graph_module, X)
    assert run_pass(cancel_slices, graph_module) == []
    assert torch.equal(evaluate(graph_module, X)[0], before[0])


@pytest.mark.gpu
@pytest.mark.parametrize("function", [tokens, box], ids=["tokens", "box"])
def test_delegate(function: object, right_on_delegate: RightOnDelegate) -> None:
    right_on_delegate([cancel_slices], function, X)


@pytest.mark.gpu
def test_delegate_halves(right_on_delegate: RightOnDelegate) -> None:
    right_on_delegate([cancel_slices], bottleneck, MAP)
