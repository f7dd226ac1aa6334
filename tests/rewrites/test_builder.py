"""How the builder materialises views: which permute it chooses, and that every choice is exact."""

from __future__ import annotations

import itertools
import random as standard_random
from collections.abc import Sequence
from math import prod

import pytest
import torch
from passes import evaluate, ops
from torch import Tensor, fx

from detr2litert.graphs.toolbox import aten, sizes, value_of
from detr2litert.graphs.views import View
from detr2litert.rewrites.rank.builder import Builder

Shape = Sequence[int]


def built(start: Shape, steps: Sequence[Shape], target: Shape | None = None) -> tuple[fx.GraphModule, Tensor]:
    """Materialises a tensor after views: reshapes and permutes in turn, of any rank.

    Returns:
        The graph, and what its result must be for a tensor that counts from zero.
    """
    build = Builder()
    x = fx.Graph().placeholder("x")
    x.meta["val"] = torch.empty(tuple(start), device="meta")
    view = build.placeholder(x)
    expected = torch.arange(float(prod(start))).reshape(tuple(start))
    for place, step in enumerate(steps):
        if place % 2 == 0:
            expected = expected.reshape(tuple(step))
            moved = view.apply(lambda t, s=step: t.view(tuple(s)))  # type: ignore[misc]
            view = moved if moved is not None else View.of(build.materialise(view, _small(step)), tuple(step))
        else:
            expected = expected.permute(tuple(step))
            view = view.permuted(list(step))
    target = sizes(expected.shape) if target is None else target
    node = build.materialise(view, target)
    build.graph_module.graph.output((node,))
    build.graph_module.graph.eliminate_dead_code()
    build.graph_module.graph.lint()
    assert sizes(value_of(node).shape) == list(target)
    assert all(value_of(n).dim() <= 4 for n in build.graph_module.graph.nodes if n.op == "call_function")
    build.graph_module.recompile()
    return build.graph_module, expected.reshape(tuple(target))


def _small(shape: Shape) -> list[int]:
    """The shape with its first dimensions joined, so that it has at most four."""
    return list(shape) if len(shape) <= 4 else [prod(shape[:-3]), *shape[-3:]]


def exact(start: Shape, steps: Sequence[Shape], target: Shape | None = None) -> fx.GraphModule:
    graph_module, expected = built(start, steps, target)
    (found,) = evaluate(graph_module, torch.arange(float(prod(start))).reshape(tuple(start)))
    torch.testing.assert_close(found, expected, atol=0, rtol=0)
    return graph_module


def permutes(graph_module: fx.GraphModule) -> list[list[int]]:
    return [list(n.args[1]) for n in graph_module.graph.find_nodes(op="call_function", target=aten.permute.default)]  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("start", "steps", "target", "expected"),
    [
        # [1, N, heads * C] to [1, heads, N, C], as attention does: one reshape and one permute.
        ((1, 40, 96), [(1, 40, 6, 16), (0, 2, 1, 3)], None, ["reshape", "permute"]),
        # The same, read as a product of matrices reads it: no reshape behind the permute.
        ((1, 40, 96), [(40, 6, 16), (1, 0, 2)], (1, 6, 40, 16), ["reshape", "permute"]),
        # And back.
        ((1, 6, 40, 16), [(6, 40, 16), (1, 0, 2)], (1, 40, 96), ["permute", "reshape"]),
        # A transpose of the last two dimensions of what is in shape already: the permute alone.
        ((1, 6, 40, 16), [(1, 6, 40, 16), (0, 1, 3, 2)], None, ["permute"]),
        ((1, 6, 40, 16), [(6, 40, 16), (0, 2, 1)], (1, 6, 16, 40), ["permute"]),
        # A map to channels first and back: dimensions of one do not cost a reshape.
        ((1, 7, 9, 16), [(1, 7, 9, 16), (0, 3, 1, 2)], None, ["permute"]),
        ((1, 1, 9, 16), [(1, 1, 9, 16), (0, 3, 1, 2)], None, ["permute"]),
        # A permute of dimensions of one moves nothing.
        ((1, 5, 1, 3), [(1, 5, 1, 3), (2, 1, 0, 3)], None, []),
        ((1, 5, 1, 3), [(1, 5, 1, 3), (1, 0, 3, 2)], None, ["reshape"]),
    ],
)
def test_as_few_reshapes_as_possible(start: Shape, steps: Sequence[Shape], target: Shape | None, expected: list[str]) -> None:
    assert ops(exact(start, steps, target)) == expected


def test_dimensions_that_stay_adjacent_count_as_one_where_the_rank_requires_it() -> None:
    """The window partition of six dimensions: four blocks."""
    graph_module = exact((1, 16, 16, 12), [(1, 2, 8, 2, 8, 12), (0, 1, 3, 2, 4, 5)], (4, 64, 12))
    assert len(permutes(graph_module)) == 1


def test_five_blocks_are_moved_one_at_a_time() -> None:
    graph_module = exact((2, 3, 4, 30), [(2, 3, 4, 5, 6), (4, 3, 2, 1, 0)], (30, 4, 6))
    assert len(permutes(graph_module)) == 4 and {len(dims) for dims in permutes(graph_module)} == {4}


def random_views(seed: int) -> tuple[Shape, list[Shape], Shape]:
    """A shape, up to three reshapes and permutes, and a target; lengths of one and equal lengths are common."""
    draw = standard_random.Random(seed)
    factors = [draw.choice((1, 1, 2, 2, 3, 5)) for _ in range(draw.randint(2, 6))]

    def grouped(items: list[int], most: int) -> tuple[int, ...]:
        places = range(1, len(items))
        cuts = sorted(draw.sample(places, min(draw.randint(0, most - 1), len(places))))
        edges = [0, *cuts, len(items)]
        return tuple(prod(items[i:j]) for i, j in itertools.pairwise(edges))

    start, steps = grouped(factors, 4), []
    for _ in range(draw.randint(1, 3)):
        shape = grouped(factors, 6)
        order = tuple(draw.sample(range(len(shape)), len(shape)))
        steps += [shape, order]
        factors = [part for d in order for part in [shape[d]]] + [1] * draw.randint(0, 1)
        factors = [prime for number in factors for prime in _primes(number)]
    return start, steps, grouped(factors, 4)


def _primes(number: int) -> list[int]:
    for prime in (2, 3, 5):
        if number % prime == 0:
            return [prime, *_primes(number // prime)] if number > prime else [prime]
    return [number]


def test_exact_on_random_views() -> None:
    counted = [len(permutes(exact(*random_views(seed)))) for seed in range(600)]
    assert counted.count(0) > 30 and counted.count(1) > 200 and max(counted) >= 3


def test_a_broadcast_view_is_permuted_and_repeated() -> None:
    build = Builder()
    x = fx.Graph().placeholder("x")
    x.meta["val"] = torch.empty(1, 5, 4, device="meta")
    view = build.placeholder(x).apply(lambda t: t.transpose(1, 2)[:, None].expand(1, 3, 4, 5))
    assert view is not None
    build.graph_module.graph.output((build.materialise(view, (12, 5)),))
    build.graph_module.recompile()
    data = torch.arange(20.0).reshape(1, 5, 4)
    expected = data.transpose(1, 2)[:, None].expand(1, 3, 4, 5).reshape(12, 5)
    torch.testing.assert_close(evaluate(build.graph_module, data)[0], expected, atol=0, rtol=0)
