"""Reductions, softmax and layer norm on views."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

from torch import fx

from rewrites.base import RewriteRefusedError, aten, sizes
from rewrites.rank.builder import Builder, physical, restored
from rewrites.rank.views import MAX_RANK, View

REDUCTIONS = (
    aten.sum.dim_IntList,
    aten.mean.dim,
    aten.amax.default,
    aten.amin.default,
)


def reduce(build: Builder, node: fx.Node, x: View, dims: Sequence[int], keepdim: bool) -> View:
    """Reduce over dimensions that are neighbours in memory.

    Raises:
        RewriteRefusedError: the dimensions are apart, or the value is broadcast along one of them.
    """
    base = build.contiguous(x) if x.is_broadcast else x
    order = base.memory_order()
    places = sorted(order.index(d) for d in dims)
    extents = sizes(physical(base).shape)
    if len(extents) > MAX_RANK:
        if places != list(range(places[0], places[-1] + 1)):
            raise RewriteRefusedError(node, f"it reduces dimensions {list(dims)}, which are apart", "reduce one after the other")
        low, high = places[0], places[-1] + 1
        folded, axes = [prod(extents[:low]), prod(extents[low:high]), prod(extents[high:])], [1]
    else:
        folded, axes = extents, places
    result = build.emit(node.target, build.reshape(base.node, folded), axes, True)
    kept = restored(result, [1 if p in places else e for p, e in enumerate(extents)], order)
    if keepdim:
        return kept
    remaining = [d for d in range(len(x.shape)) if d not in dims]
    return View(kept.node, tuple(kept.shape[d] for d in remaining), tuple(kept.strides[d] for d in remaining))


def softmax(build: Builder, x: View, dim: int) -> View:
    """Softmax over ``dim``, which is brought to the end of memory first: SOFTMAX works on the last dimension only."""
    order = [d for d in x.memory_order() if d != dim] + [dim]
    view = build.contiguous(x.permuted(order))
    shape = sizes(view.shape)
    # A rank-one softmax is all ones on the delegate (W8).
    folded = shape if 2 <= len(shape) <= MAX_RANK else [1, prod(shape[:-1]), shape[-1]]
    result = build.emit(aten.softmax.int, build.materialise(view, folded), -1)
    return restored(result, shape, order)


def layer_norm(build: Builder, node: fx.Node, x: View, arguments: Sequence[object]) -> View:
    """Layer norm over the last dimension, wherever the others lie."""
    last = len(x.shape) - 1
    order = [d for d in x.memory_order() if d != last] + [last]
    view = build.contiguous(x.permuted(order))
    shape = sizes(view.shape)
    folded = shape if len(shape) <= MAX_RANK else [1, prod(shape[:-1]), shape[-1]]
    result = build.emit(node.target, build.materialise(view, folded), *arguments)
    return restored(result, shape, order)
