"""Rank five and above, and views as strides."""

from __future__ import annotations

import pytest
import random_programs
import torch
from passes import RightOnDelegate, assert_same, count, evaluate, ops, run_pass, traced
from torch import Tensor, fx, nn
from torch.nn import functional as F

from detr2litert.graphs.provenance import provenance_of
from detr2litert.graphs.toolbox import RewriteRefusedError, aten, value_of
from detr2litert.rewrites.evaluate_constants import evaluate_constants
from detr2litert.rewrites.reduce_rank import reduce_rank
from detr2litert.rewrites.remove_identities import remove_identities

GENERATOR = torch.Generator().manual_seed(0)
MAP = torch.randn(1, 16, 16, 12, generator=GENERATOR)
TOKENS = torch.randn(1, 6, 12, generator=GENERATOR)


def windows(x: Tensor) -> Tensor:
    """Tokens of a map, cut into 2 x 2 windows that become batches."""
    return x.view(1, 2, 8, 2, 8, 12).transpose(2, 3).reshape(4, 64, 12) * 2


def window_attention(x: Tensor) -> Tensor:
    """Self-attention of three heads in each window, merged back to the map."""
    t = windows(x).view(4, 64, 3, 4).permute(2, 0, 1, 3)
    y = (t @ t.transpose(-1, -2)).softmax(-1) @ t
    y = y.permute(1, 2, 0, 3).reshape(1, 2, 2, 8, 8, 12)
    return y.transpose(2, 3).reshape(1, 16, 16, 12) + x


def sampling_points(x: Tensor) -> Tensor:
    """Six-dimensional offsets with a normaliser of their own per level: [B, Q, heads, levels, points, 2]."""
    offsets = x.view(1, 6, 2, 3, 1, 2) / torch.tensor([[8.0, 6.0], [4.0, 3.0], [2.0, 2.0]])[None, None, None, :, None]
    located = offsets.expand(1, 6, 2, 3, 4, 2) + x[:, :, None, None, None, :2] * 0.5
    return located.flatten(4, 5).transpose(1, 2).reshape(2, 6, 24)


def lowered(module: nn.Module | object, *inputs: Tensor, tolerance: float = 1e-5) -> fx.GraphModule:
    """Reduces a function's ranks and compares up to rounding: reductions may run in another order."""
    graph_module = traced(module, *inputs)  # type: ignore[arg-type]
    before = evaluate(module, *inputs)  # type: ignore[arg-type]
    run_pass(remove_identities, graph_module)
    run_pass(evaluate_constants, graph_module)
    run_pass(reduce_rank, graph_module)
    assert_same(evaluate(graph_module, *inputs), before, tolerance)
    for node in graph_module.graph.nodes:
        if node.op in ("call_function", "get_attr"):
            assert value_of(node).dim() <= 4
    return graph_module


@pytest.mark.parametrize(("function", "x"), [(windows, MAP), (window_attention, MAP), (sampling_points, TOKENS)])
def test_fires_and_a_second_run_changes_nothing(function: object, x: Tensor) -> None:
    graph_module = lowered(function, x, tolerance=1e-6)
    first = list(graph_module.graph.nodes)
    assert run_pass(reduce_rank, graph_module) == [] and list(graph_module.graph.nodes) == first


def test_the_window_partition_is_one_permute() -> None:
    graph_module = lowered(windows, MAP)
    assert count(graph_module, aten.permute.default) == 1
    again = traced(windows, MAP)
    run_pass(remove_identities, again)
    assert {site.node for site in run_pass(reduce_rank, again)} == {"_unsafe_view", "mul"}


def test_does_not_add_anything_to_plain_layers() -> None:
    graph_module = lowered(lambda x: (x.relu() * 2 + 1).exp(), TOKENS)
    assert ops(graph_module) == ["relu", "mul", "add", "exp"]
    assert ops(lowered(lambda x: x.softmax(-1), TOKENS[0])) == ["softmax"]


def test_a_softmax_between_two_products_has_their_shape() -> None:
    graph_module = lowered(lambda q, k, v: (q @ k.transpose(1, 2)).softmax(-1) @ v, *torch.randn(3, 4, 6, 12))
    names = ops(graph_module)
    assert names[names.index("softmax") - 1] == "matmul" and names.count("permute") == 1
    (softmax,) = graph_module.graph.find_nodes(op="call_function", target=aten.softmax.int)
    assert list(value_of(softmax).shape) == [1, 4, 6, 6] and {user.target for user in softmax.users} == {aten.matmul.default}


def test_names_and_modules_are_preserved() -> None:
    class Outer(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(12, 4)

        def forward(self, tokens: Tensor) -> Tensor:
            return self.layer(tokens[None])[0]

    graph_module = lowered(Outer(), TOKENS)
    (linear,) = [n for n in graph_module.graph.nodes if n.target is aten.linear.default]
    assert "layer" in str(linear.meta["nn_module_stack"]) and provenance_of(linear).rewrites[-1] == "reduce_rank"
    assert [n.target for n in graph_module.graph.nodes if n.op == "placeholder"] == ["tokens"]


@pytest.mark.parametrize(
    "function",
    [
        lambda x: x.expand(3, 6, 12).mean((0, 1)) + torch.zeros(12),  # a broadcast is reduced
        lambda x: x[:, :1].expand(1, 6, 12) + torch.ones(1, 6, 12),  # the result is larger than either operand's data
        lambda x: x[:, :, None].expand(1, 6, 5, 12) * x[:, :1, None].expand(1, 6, 5, 12),
        lambda x: torch.maximum(x, torch.tensor(0.5)) - torch.minimum(torch.tensor(0.5), x),
        lambda x: torch.cat([x, x[:, :0], torch.zeros(1, 2, 12)], 1),
        lambda x: x.view(1, 2, 3, 2, 3, 2).amax((1, 3, 5)).relu(),
        lambda x: torch.tensor([[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]]) @ x,
        lambda x: x.expand(2, 6, 12) @ torch.eye(12),
        lambda x: x.view(1, 1, 1, 6, 12)[..., :1, :1].add(torch.tensor([[[[[2.0]]]]]))[0],
        lambda x: x.sum((0, 1, 2)).reshape(1) + 1,
        lambda x: F.avg_pool2d(x[None], 2).flatten(1),
    ],
)
def test_corners(function: object) -> None:
    lowered(function, TOKENS)


@pytest.mark.parametrize("start", range(0, 40, 8))
def test_random_programs_up_to_rank_seven(start: int) -> None:
    refused = 0
    for seed in range(start, start + 8):
        inputs = random_programs.inputs(seed)
        try:
            lowered(lambda x, y, seed=seed: random_programs.run(seed, 10, x, y), *inputs, tolerance=1e-4)
        except RewriteRefusedError as error:
            refused += 1
            assert "separate dimensions" in str(error) or "repeats a tensor" in str(error)
    assert refused <= 1


@pytest.mark.parametrize(
    ("function", "op", "reason"),
    [
        (lambda x: x.cumsum(1), "aten.cumsum.default", "no rewrite supports this op"),
        (lambda x: x.view(1, 2, 3, 2, 6), "aten.view", "an output of rank 5"),
        (lambda x: F.layer_norm(x, [6, 12]), "aten.layer_norm.default", "it normalises 2 dimensions"),
        (lambda x: x.half().relu(), "aten._to_copy.default", "it casts to torch.float16"),
        (lambda x: torch.add(x, x, alpha=2), "aten.add.Tensor", "alpha=2"),
        (lambda x: F.linear(x, x[0]), "aten.linear.default", "computed at run time"),
        (lambda x: F.conv2d(x[None], x[None, :, :1, :1].expand(3, 1, 1, 1)), "aten.conv2d.default", "computed at run time"),
        (lambda x: x @ x[0, 0], "aten.matmul.default", "a product with a vector"),
        (lambda x: torch.cat([x[..., :1].expand(1, 6, 80), x], 2), "aten.cat.default", "it repeats a tensor 80 times"),
        (
            lambda x: x.view(1, 2, 3, 2, 3, 2) * x.view(2, 3, 2, 3, 2)[:, :1, :, :1] * x.view(2, 3, 2, 3, 2)[:1, :, :1, :, :1],
            "aten.mul.Tensor",
            "separate dimensions",
        ),
    ],
)
def test_refusals(function: object, op: str, reason: str) -> None:
    graph_module = traced(function, TOKENS)  # type: ignore[arg-type]
    with pytest.raises(RewriteRefusedError) as caught:
        run_pass(reduce_rank, graph_module)
    error = caught.value
    assert reason in str(error) and (error.op.startswith(op) or op == "aten.view")
    assert error.node and error.shape.startswith("[") and error.hint and error.hint in str(error)


@pytest.mark.gpu
def test_delegate(right_on_delegate: RightOnDelegate) -> None:
    def both(x: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
        return window_attention(x), sampling_points(t)

    right_on_delegate([remove_identities, evaluate_constants], both, MAP, TOKENS)


@pytest.mark.gpu
def test_delegate_on_joins_and_broadcasts(right_on_delegate: RightOnDelegate) -> None:
    def joined(x: Tensor) -> tuple[Tensor, ...]:
        row = torch.arange(6.0)[None, :, None]
        stacked = torch.stack([x, x * 2, x - 1], 2).repeat(1, 1, 1, 2)
        return stacked * 0.5, x[:, :1].expand(1, 6, 12) + row, x[None].expand(2, 1, 6, 12) * torch.ones(2, 1, 1, 12) * 3

    right_on_delegate([remove_identities, evaluate_constants], joined, TOKENS)
