"""Hoisting the selection's gathers to the leaves."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from detectors import CHANNELS, TOKENS, TwoStage, image, normalised
from torch import Tensor, fx, nn
from torch.nn import functional as F

from detr2litert.graphs.hoist_gather import HoistedSelection, hoist_gather
from detr2litert.graphs.selection import find_selection
from detr2litert.graphs.toolbox import constant_of

GENERATOR = torch.Generator().manual_seed(0)
X = torch.randn(1, TOKENS, CHANNELS, generator=GENERATOR)
WEIGHT = torch.randn(CHANNELS, CHANNELS, generator=GENERATOR)
VARYING = torch.randn(1, TOKENS, CHANNELS, generator=GENERATOR)
UNIFORM = torch.randn(1, 1, CHANNELS, generator=GENERATOR).expand(1, TOKENS, CHANNELS)


class Tail(nn.Module):
    """``gather(f(tokens), topk)`` for one or several functions of the tokens."""

    def __init__(self, *functions: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self._functions = functions

    def forward(self, tokens: Tensor) -> tuple[Tensor, ...]:
        memory = tokens.flip(1)
        index = memory.sum(-1).topk(4)[1].unsqueeze(-1)
        results = []
        for function in self._functions:
            value = function(memory)
            results.append(torch.gather(value, 1, index.expand(-1, -1, value.shape[2])) * 2)
        return tuple(results)


def hoisted(*functions: Callable[[Tensor], Tensor]) -> tuple[fx.GraphModule, HoistedSelection]:
    module = Tail(*functions)
    graph_module = normalised(module, X)
    result = hoist_gather(graph_module, find_selection(graph_module))
    graph_module.graph.lint()
    graph_module.recompile()
    for found, expected in zip(graph_module(X), module(X), strict=True):
        # A layer over fewer rows may sum in another order.
        torch.testing.assert_close(found, expected, atol=2e-6, rtol=0)
    return graph_module, result


def tail_ops(result: HoistedSelection) -> list[str]:
    return [str(node.target).split(".")[1] for node in result.tail]


@pytest.mark.parametrize(
    ("function", "ops"),
    [
        (lambda m: m, []),
        (lambda m: F.linear(m, WEIGHT, WEIGHT[0]).relu(), ["linear", "relu"]),
        (lambda m: F.layer_norm(m, [CHANNELS], WEIGHT[0], WEIGHT[1]), ["layer_norm"]),
        (lambda m: torch.cat([m.sigmoid(), m[..., :2] * 3], -1), ["sigmoid", "slice", "mul", "cat"]),
        (lambda m: m + VARYING, ["add"]),
        (lambda m: m * UNIFORM - 1, ["mul", "sub"]),
        (lambda m: torch.cat([m, UNIFORM], -1), ["cat"]),
        (lambda m: (m + VARYING).exp() * (m * VARYING), ["add", "exp", "mul", "mul"]),
        (lambda m: m * WEIGHT[:1, None], ["mul"]),
    ],
)
def test_per_token_functions_run_after_the_gather(function: Callable[[Tensor], Tensor], ops: list[str]) -> None:
    _, result = hoisted(function)
    assert sorted(tail_ops(result)) == sorted(ops)


@pytest.mark.parametrize(
    "function",
    [
        lambda m: m.softmax(1),
        lambda m: F.layer_norm(m, [TOKENS, CHANNELS]),
        lambda m: torch.cat([m[:, 1:], m[:, :1]], 1),
        lambda m: m.flip(1),
        lambda m: m.transpose(1, 2).reshape(1, TOKENS, CHANNELS),
        lambda m: (m @ m.transpose(1, 2)) @ m,
    ],
)
def test_what_mixes_tokens_stays_before_the_gather(function: Callable[[Tensor], Tensor]) -> None:
    _, result = hoisted(function)
    assert len(result.gathers) == 1 and all("relu" not in op for op in tail_ops(result))
    assert result.gathers[0].args[0].op == "call_function"  # type: ignore[union-attr]


def test_a_token_mixing_op_inside_a_per_token_function_is_a_leaf() -> None:
    _, result = hoisted(lambda m: m - m.mean(1, keepdim=True).expand(1, TOKENS, CHANNELS))
    assert len(result.gathers) == 2 and tail_ops(result) == ["sub"]


def test_one_leaf_is_gathered_once() -> None:
    _, result = hoisted(lambda m: m.relu(), lambda m: m.sigmoid() + m, lambda m: m)
    assert len(result.gathers) == 1


def test_an_equal_constant_is_gathered_once_and_a_uniform_one_not_at_all() -> None:
    graph_module, result = hoisted(lambda m: m + VARYING, lambda m: m * VARYING.clone(), lambda m: m - UNIFORM)
    constants = [g for g in result.gathers if constant_of(graph_module, g.args[0]) is not None]
    assert len(result.gathers) == 2 and len(constants) == 1


def test_a_gathered_constant_alone() -> None:
    hoisted(lambda m: VARYING * 1, lambda m: UNIFORM * 1, lambda m: m)


def test_a_tensor_that_is_read_whole_is_gathered_in_place() -> None:
    class ReadWhole(Tail):
        def forward(self, tokens: Tensor) -> tuple[Tensor, ...]:
            memory = (tokens * 1.5).relu()
            index = memory.sum(-1).topk(4)[1].unsqueeze(-1)
            return torch.gather(memory + 1, 1, index.expand(-1, -1, CHANNELS)), memory.sum(1)

    graph_module = normalised(ReadWhole(), X)
    result = hoist_gather(graph_module, find_selection(graph_module))
    assert tail_ops(result) == ["add"] and "relu" in str(result.gathers[0].args[0])


def test_on_a_detector_the_memory_is_the_only_leaf() -> None:
    graph_module = normalised(TwoStage(), image())
    result = hoist_gather(graph_module, find_selection(graph_module))
    leaves = [g.args[0] for g in result.gathers if constant_of(graph_module, g.args[0]) is None]
    assert len(leaves) == 1 and {"linear", "layer_norm", "relu", "add"} <= set(tail_ops(result))
