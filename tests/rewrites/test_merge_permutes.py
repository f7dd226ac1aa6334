"""Two permutes around a reshape as one."""

from __future__ import annotations

import itertools
import random as standard_random
from collections.abc import Sequence
from math import prod

import pytest
import torch
from passes import Function, RightOnDelegate, assert_same, count, evaluate, ops, rewritten, run_pass
from torch import Tensor, fx, nn

from detr2litert.graphs.toolbox import aten, calls, evaluate_meta, graph_module_of
from detr2litert.rewrites.contract import Miss, Site
from detr2litert.rewrites.driver import apply
from detr2litert.rewrites.merge_permutes import merge_permutes
from detr2litert.rewrites.profile import Profile
from detr2litert.rewrites.remove_identities import remove_identities

Shape = Sequence[int]


def graph_of(start: Shape, *steps: Shape) -> fx.GraphModule:
    """Permutes and reshapes in turn, and a sum, whose result the graph returns; an export would make copies between them."""
    graph = fx.Graph()
    node = graph.placeholder("x")
    node.meta["val"] = torch.empty(tuple(start), device="meta")
    for target, step in zip(itertools.cycle((aten.permute.default, aten.reshape.default)), steps, strict=False):
        node = graph.call_function(target, (node, list(step)))
        node.meta["val"] = evaluate_meta(node)
    total = graph.call_function(aten.add.Tensor, (node, 1.0))
    total.meta["val"] = evaluate_meta(total)
    graph.output((total,))
    return graph_module_of(nn.Module(), graph)


def merged(start: Shape, *steps: Shape, fires: int = 1) -> fx.GraphModule:
    """The graph after the pass, which must fire so often, change no value, and find nothing to do again."""
    graph_module = graph_of(start, *steps)
    x = torch.arange(float(prod(start))).reshape(tuple(start))
    before = evaluate(graph_module, x)
    assert len(run_pass(merge_permutes, graph_module)) == fires
    assert_same(evaluate(graph_module, x), before)
    assert run_pass(merge_permutes, graph_module) == []
    return graph_module


HEADS = ((1, 6, 40, 16), (0, 1, 3, 2), (96, 40), (1, 0))
"""The docstring's example: channels of all heads first, then the tokens moved forward."""


def test_fires() -> None:
    found = merged(*HEADS)
    assert ops(found) == ["permute", "reshape", "add"]
    (permute,) = calls(found, aten.permute.default)
    assert list(permute.args[1]) == [0, 2, 1, 3]


def test_permutes_that_cancel_leave_a_reshape() -> None:
    assert ops(merged((1, 6, 40, 16), (0, 2, 1, 3), (40, 6, 16), (1, 0, 2))) == ["reshape", "add"]


CASES: dict[str, tuple[Shape, ...]] = {
    "the reshape splits": ((4, 6, 10), (2, 0, 1), (5, 2, 24), (2, 0, 1)),
    "the reshape joins": ((4, 6, 5), (0, 2, 1), (20, 6), (1, 0)),
    "it does both": ((4, 6, 10), (1, 0, 2), (12, 2, 10), (2, 0, 1)),
    "ones in between": ((1, 4, 1, 6), (3, 0, 1, 2), (6, 1, 4), (1, 2, 0)),
    "ones at the end": ((4, 6), (1, 0), (6, 4, 1, 1), (3, 1, 2, 0)),
    "equal lengths": ((4, 4, 4), (2, 0, 1), (16, 4), (1, 0)),
    "equal lengths of several": ((1, 4, 4, 4), (0, 3, 1, 2), (1, 16, 4), (0, 2, 1)),
    "four blocks of two": ((6, 20), (1, 0), (4, 5, 2, 3), (3, 1, 2, 0)),
}


@pytest.mark.parametrize("case", CASES)
def test_exact(case: str) -> None:
    assert count(merged(*CASES[case]), aten.permute.default) <= 1


def random_case(seed: int) -> tuple[Shape, ...]:
    """A shape, a permute, a reshape that regroups factors, and another permute; lengths of one and equal lengths are common."""
    draw = standard_random.Random(seed)
    factors = [draw.choice((1, 2, 2, 3, 4)) for _ in range(draw.randint(2, 5))]

    def grouped(items: list[int]) -> tuple[int, ...]:
        cuts = sorted(draw.sample(range(1, len(items)), min(draw.randint(1, 3), len(items) - 1)))
        return tuple(prod(items[i:j]) for i, j in itertools.pairwise([0, *cuts, len(items)]))

    start = grouped(factors)
    first = tuple(draw.sample(range(len(start)), len(start)))
    shape = grouped([f for d in first for f in _prime_factors(start[d])] + [1])
    return start, first, shape, tuple(draw.sample(range(len(shape)), len(shape)))


def _prime_factors(number: int) -> list[int]:
    for prime in (2, 3):
        if number % prime == 0:
            return [prime, *_prime_factors(number // prime)]
    return [number]


def test_exact_on_random_shapes() -> None:
    fired = 0
    for seed in range(500):
        case = random_case(seed)
        fires = sum(isinstance(found, Site) for found in apply(merge_permutes, graph_of(*case), Profile()))
        merged(*case, fires=fires)
        fired += fires
    assert fired > 300


@pytest.mark.parametrize("place", [0, 1])
def test_does_not_fire_if_another_op_reads_a_value_between(place: int) -> None:
    graph_module = graph_of(*HEADS)
    output = next(iter(graph_module.graph.find_nodes(op="output")))
    between = [n for n in graph_module.graph.nodes if n.op == "call_function"][place]
    output.args = ((*output.args[0], between),)
    (miss,) = apply(merge_permutes, graph_module, Profile())
    assert isinstance(miss, Miss) and "another op reads" in miss.reason


@pytest.mark.parametrize(
    "case",
    [((6, 7, 20), (2, 1, 0), (4, 35, 2, 3), (3, 2, 1, 0)), ((6, 2), (1, 0), (3, 4), (1, 0))],
    ids=["five blocks", "a reshape that cuts through lengths"],
)
def test_does_not_fire_where_one_permute_cannot_have_the_effect(case: tuple[Shape, ...]) -> None:
    merged(*case, fires=0)
    (miss,) = apply(merge_permutes, graph_of(*case), Profile())
    assert isinstance(miss, Miss) and miss.reason


@pytest.mark.parametrize("function", [lambda x: x.permute(0, 2, 3, 1) * 2, lambda x: x.reshape(96, 40).permute(1, 0) * 2])
def test_does_not_fire_elsewhere(function: Function) -> None:
    rewritten(merge_permutes, function, torch.randn(1, 6, 40, 16), fires=0)


@pytest.mark.gpu
def test_delegate(right_on_delegate: RightOnDelegate) -> None:
    def moved(x: Tensor) -> tuple[Tensor, Tensor]:
        joined = x.permute(0, 1, 3, 2).reshape(96, 40).permute(1, 0)
        return joined * 2, (x * 3).permute(0, 2, 3, 1).reshape(40, 96).permute(1, 0) + 1

    right_on_delegate([remove_identities, merge_permutes], moved, torch.randn(1, 6, 40, 16))
