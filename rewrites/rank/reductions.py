"""Reductions, softmax and layer norm on views."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

from torch import fx

from detr2litert.graphs.delegate import MAX_RANK
from detr2litert.graphs.toolbox import aten, sizes, value_of
from detr2litert.graphs.views import View
from detr2litert.rewrites.rank.builder import Builder, restored


def reduce(build: Builder, node: fx.Node, x: View, dims: Sequence[int], keepdim: bool) -> View:
    """Reduces over ``dims`` in memory order; with more than four dimensions, ``dims`` that are not adjacent are moved last."""
    base = build.contiguous(x) if x.is_broadcast else x
    order = base.memory_order()
    places = sorted(order.index(d) for d in dims)
    if len(order) > MAX_RANK and places[-1] - places[0] >= len(places):
        order = (*(d for d in order if d not in dims), *(d for d in order if d in dims))
        places = list(range(len(order) - len(dims), len(order)))
        moved = build.contiguous(base.permuted(order))
        base = restored(moved.node, moved.shape, order)
    extents = [base.shape[d] for d in order]
    if len(extents) > MAX_RANK:
        low, high = places[0], places[-1] + 1
        folded, axes = [prod(extents[:low]), prod(extents[low:high]), prod(extents[high:])], [1]
    else:
        folded, axes = extents, places
    result = build.emit(node.target, build.reshape(base.node, folded), axes, True)
    reduced = restored(result, [1 if p in places else e for p, e in enumerate(extents)], order)
    if keepdim:
        return reduced
    remaining = [d for d in range(len(x.shape)) if d not in dims]
    return View(reduced.node, tuple(reduced.shape[d] for d in remaining), tuple(reduced.strides[d] for d in remaining))


def softmax(build: Builder, x: View, dim: int) -> View:
    """Emits softmax over ``dim``, which is made the last in memory: SOFTMAX works on the last dimension only."""
    order = [d for d in x.memory_order() if d != dim] + [dim]
    view = build.contiguous(x.permuted(order))
    shape = sizes(view.shape)
    own = sizes(value_of(view.node).shape)
    if own[-1] == shape[-1] and len(own) >= 2:
        folded = own
    else:
        # A rank-one softmax is all ones on the delegate (the lint's softmax-rank-1).
        folded = shape if len(shape) == 2 else [1, prod(shape[:-2]), *shape[-2:]] if len(shape) > 2 else [1, 1, *shape]
    result = build.emit(aten.softmax.int, build.materialise(view, folded), -1)
    return restored(result, shape, order)


def layer_norm(build: Builder, node: fx.Node, x: View, arguments: Sequence[object]) -> View:
    """Emits layer norm over the last dimension, with the others in memory order."""
    last = len(x.shape) - 1
    order = [d for d in x.memory_order() if d != last] + [last]
    view = build.contiguous(x.permuted(order))
    shape = sizes(view.shape)
    folded = shape if len(shape) <= MAX_RANK else [1, prod(shape[:-1]), shape[-1]]
    result = build.emit(node.target, build.materialise(view, folded), *arguments)
    return restored(result, shape, order)
