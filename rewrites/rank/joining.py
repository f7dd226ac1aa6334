"""Slices, splits, concatenations, stacks and repeats on views."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

from torch import Tensor

from detr2litert.graphs.delegate import MAX_RANK
from detr2litert.graphs.toolbox import aten, sizes, value_of
from detr2litert.graphs.views import View
from detr2litert.rewrites.rank.builder import Builder, Value, physical, restored


def slice_along(build: Builder, x: View, dim: int, start: int, end: int, step: int = 1) -> View:
    """Emits ``x[..., start:end:step, ...]`` along ``dim``, in memory order."""
    if start == 0 and end == x.shape[dim] and step == 1:
        return x
    if x.strides[dim] == 0:
        return View(x.node, (*x.shape[:dim], len(range(start, end, step)), *x.shape[dim + 1 :]), x.strides)
    base = x.without_broadcast()
    order = base.memory_order()
    place = order.index(dim)
    extents = sizes(physical(base).shape)
    own = sizes(value_of(x.node).shape)
    if x.shape[dim] > 1 and [size for size in own if size > 1] == [size for size in extents if size > 1]:
        # The node's own shape, which needs no reshape, has the same dimensions but for those of one.
        axis = [d for d, size in enumerate(own) if size > 1][sum(size > 1 for size in extents[:place])]
        node = build.emit(aten.slice.Tensor, x.node, axis, start, end, step)
        extents[place] = len(range(start, end, step))
        return _rebroadcast(x, restored(node, extents, order))
    folded = len(extents) > MAX_RANK
    shape = [prod(extents[:place]), extents[place], prod(extents[place + 1 :])] if folded else list(extents)
    node = build.emit(aten.slice.Tensor, build.reshape(x.node, shape), 1 if folded else place, start, end, step)
    extents[place] = len(range(start, end, step))
    return _rebroadcast(x, restored(node, extents, order))


def select_along(build: Builder, x: View, dim: int, index: int) -> View:
    """Emits ``x[..., index, ...]`` along ``dim``, which is removed."""
    index = index + x.shape[dim] if index < 0 else index
    part = slice_along(build, x, dim, index, index + 1)
    return View(part.node, part.shape[:dim] + part.shape[dim + 1 :], part.strides[:dim] + part.strides[dim + 1 :])


def split_along(build: Builder, x: View, dim: int, parts: Sequence[int]) -> tuple[View, ...]:
    """Emits consecutive slices of the given lengths."""
    ends = [sum(parts[: i + 1]) for i in range(len(parts))]
    return tuple(slice_along(build, x, dim, end - part, end) for part, end in zip(parts, ends, strict=True))


def concatenate(build: Builder, parts: Sequence[Value], dim: int) -> View:
    """Concatenates along ``dim``, in the memory order of the largest part."""
    parts = [part for part in parts if prod(part.shape)]
    views = [part for part in parts if isinstance(part, View)]
    order = max(views, key=lambda v: v.without_broadcast().numel).memory_order()
    ordered = [part.permute(*order) if isinstance(part, Tensor) else part.permuted(order) for part in parts]
    place = order.index(dim)
    extents = sizes(ordered[0].shape)
    shapes = [sizes(part.shape) for part in ordered]
    if len(extents) > MAX_RANK:
        shapes = [[prod(s[:place]), s[place], prod(s[place + 1 :])] for s in shapes]
    axis = place if len(extents) <= MAX_RANK else 1
    nodes = [build.materialise(part, shape) for part, shape in zip(ordered, shapes, strict=True)]
    extents[place] = sum(int(part.shape[place]) for part in ordered)
    return restored(build.emit(aten.cat.default, nodes, axis), extents, order)


def stack(build: Builder, parts: Sequence[Value], dim: int) -> View:
    """Concatenates along a new dimension: PACK accepts inputs of rank three at most."""
    return concatenate(build, [unsqueeze(part, dim) for part in parts], dim)


def unsqueeze(x: Value, dim: int) -> Value:
    """Returns ``x`` with a new dimension of size one."""
    if isinstance(x, Tensor):
        return x.unsqueeze(dim)
    result = x.apply(lambda t: t.unsqueeze(dim))
    assert result is not None
    return result


def repeat(build: Builder, x: View, times: Sequence[int]) -> View:
    """Emits ``x.repeat(times)``: a broadcast of dimensions of one, a concatenation along others."""
    missing = len(times) - len(x.shape)
    x = View(x.node, (1,) * missing + x.shape, (0,) * missing + x.strides)
    result = x.broadcast_to([count if size == 1 else size for size, count in zip(x.shape, times, strict=True)])
    for d, count in enumerate(times):
        if count > 1 and x.shape[d] > 1:
            result = concatenate(build, [result] * count, d)
    return result


def _rebroadcast(original: View, sliced: View) -> View:
    """Restores the broadcast dimensions of the original view in a slice of it."""
    pairs = list(zip(original.shape, original.strides, sliced.shape, sliced.strides, strict=True))
    shape = tuple(size if stride == 0 else new_size for size, stride, new_size, _ in pairs)
    return View(sliced.node, shape, tuple(0 if stride == 0 else new_stride for _, stride, _, new_stride in pairs))
