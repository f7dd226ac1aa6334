"""Builds a graph of at most four dimensions: emits nodes and constants, and materialises lazy views."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

import torch
from torch import Tensor, fx, nn

from detr2litert.graphs.delegate import MAX_RANK
from detr2litert.graphs.provenance import inherit
from detr2litert.graphs.toolbox import RewriteRefusedError, add_constant, aten, evaluate_meta, sizes, value_of
from detr2litert.graphs.views import View, contiguous_strides, inverse, merged_runs

Value = View | Tensor
"""A logical tensor: a view of an emitted node, or a constant that is not emitted yet."""

_MAX_COPIES = 64


class Builder:
    """Emits a new graph in which no tensor has more than four dimensions.

    Attributes:
        graph_module: the graph being built.
        source: the original node that is being translated; emitted nodes inherit its module stack.
    """

    def __init__(self) -> None:
        self.graph_module = fx.GraphModule(nn.Module(), fx.Graph())
        self.source: fx.Node | None = None
        self._emitted: dict[object, fx.Node] = {}
        self._names: dict[int, str] = {}
        self._referenced: list[Tensor] = []  # keeps the ids in the dictionaries valid

    def placeholder(self, node: fx.Node) -> View:
        """Adds an input with the original's name and shape."""
        copy = self.graph_module.graph.placeholder(str(node.target))
        copy.meta = {"val": value_of(node)}
        return View.of(copy)

    def name_constant(self, value: Tensor, name: str) -> None:
        """Sets the name of the buffer that a constant is emitted as."""
        self._referenced.append(value)
        self._names[id(value)] = name

    def emit(self, target: Any, *args: Any, **kwargs: Any) -> fx.Node:
        """Emits an op once: the same op on the same arguments returns the same node.

        Raises:
            RewriteRefusedError: the result would have more than four dimensions.
        """
        key = _frozen((target, args, tuple(sorted(kwargs.items()))))
        if key in self._emitted:
            return self._emitted[key]
        node = self.graph_module.graph.call_function(target, args, kwargs)
        node.meta["val"] = evaluate_meta(node)
        if self.source is not None:
            inherit(node, self.source, origin=self.source.name)
            if value_of(node).dim() > MAX_RANK:
                raise RewriteRefusedError(self.source, f"it needs a tensor of rank {value_of(node).dim()}", _RANK_HINT)
        self._emitted[key] = node
        return node

    def constant(self, value: Tensor, shape: Sequence[int] | None = None) -> fx.Node:
        """Emits a constant, once per tensor and shape; booleans and integers become float32."""
        shape = tuple(sizes(value.shape if shape is None else shape))
        key = ("constant", id(value), shape)
        if key not in self._emitted:
            data = value.reshape(shape)
            data = data if data.dtype == torch.float32 else data.to(torch.float32)
            self._referenced.append(value)
            self._emitted[key] = add_constant(self.graph_module, data, self._names.get(id(value), "constant"))
        return self._emitted[key]

    def materialise(self, value: Value, shape: Sequence[int] | None = None) -> fx.Node:
        """Emits ``value`` in logical row-major order, in its own shape or another of the same size.

        Raises:
            RewriteRefusedError: the value has more than four dimensions and no shape to fold it into is given.
        """
        shape = tuple(sizes(value.shape if shape is None else shape))
        if isinstance(value, Tensor):
            return self.constant(value, shape)
        return self.reshape(self._expanded(value, shape), shape)

    def contiguous(self, value: View) -> View:
        """Returns the same logical tensor in row-major order."""
        if value.is_contiguous:
            return View.of(value.node, value.shape)
        return View.of(self._expanded(value), value.shape)

    def reshape(self, node: fx.Node, shape: Sequence[int]) -> fx.Node:
        """Returns a node of the same row-major data in another shape."""
        shape = sizes(shape)
        if sizes(value_of(node).shape) == shape:
            return node
        while node.target is aten.reshape.default:
            node = node.args[0]  # type: ignore[assignment]
            if sizes(value_of(node).shape) == shape:
                return node
        return self.emit(aten.reshape.default, node, shape)

    def _expanded(self, view: View, target: Sequence[int] | None = None) -> fx.Node:
        """Emits the row-major data of a view, in any shape of at most four dimensions; broadcasts become concatenations.

        Args:
            view: to emit.
            target: the shape in which the data is read, if it is known: a permute may give it at once.
        """
        whole = target if target is not None and not view.is_broadcast else view.shape
        node = self._permuted(view.without_broadcast(), whole)
        if not view.is_broadcast:
            return node
        shape = [1 if stride == 0 else size for size, stride in zip(view.shape, view.strides, strict=True)]
        for d, (size, stride) in enumerate(zip(view.shape, view.strides, strict=True)):
            if size > 1 and stride == 0:
                node = self._repeated(node, prod(shape[:d]), size, prod(shape[d:]))
                shape[d] = size
        return node

    def _repeated(self, node: fx.Node, outer: int, times: int, inner: int) -> fx.Node:
        """Emits ``[outer, inner] -> [outer, times, inner]`` by concatenation: the delegate refuses BROADCAST_TO."""
        if times > _MAX_COPIES:
            assert self.source is not None
            raise RewriteRefusedError(
                self.source, f"it repeats a tensor {times} times", "broadcast it inside the op that reads it"
            )
        block = self.reshape(node, [1, outer, 1, inner])
        return self.emit(aten.cat.default, [block] * times, 2)

    def _permuted(self, view: View, target: Sequence[int]) -> fx.Node:
        """Emits the row-major data of a view without broadcasts, with permutes of at most four dimensions.

        Dimensions that stay adjacent count as one, unless a permute of each by itself needs fewer reshapes to ``target``.
        """
        memory = [d for d in view.memory_order() if view.shape[d] > 1]
        order = [memory.index(d) for d in sorted(memory)]
        runs = merged_runs(order)
        extents = [prod(view.shape[memory[p]] for p in run) for run in runs]
        # Blocks in memory order, identified by their target position.
        blocks = sorted(range(len(runs)), key=lambda i: runs[i][0])
        if blocks == list(range(len(runs))):
            return view.node
        node_shape = sizes(value_of(view.node).shape)
        plans = [_Permute.plan(node_shape, [view.shape[d] for d in memory], order, target)] if len(memory) <= MAX_RANK else []
        if len(runs) <= MAX_RANK:
            plans.append(_Permute.plan(node_shape, [extents[i] for i in blocks], list(inverse(blocks)), target))
        if not plans:
            return self._moved_blocks(view.node, blocks, extents)
        best = min(plans, key=lambda plan: plan.reshapes)
        return self.emit(aten.permute.default, self.reshape(view.node, best.source), best.dims)

    def _moved_blocks(self, node: fx.Node, blocks: list[int], extents: list[int]) -> fx.Node:
        """Permutes five or more blocks by moving one at a time to its place: each move is ``[a, b, c, d] -> [a, c, b, d]``."""
        blocks = list(blocks)
        for place in range(len(blocks)):
            at = blocks.index(place)
            if at == place:
                continue
            parts = [blocks[:place], blocks[place:at], blocks[at : at + 1], blocks[at + 1 :]]
            shape = [prod(extents[b] for b in part) for part in parts]
            node = self.emit(aten.permute.default, self.reshape(node, shape), [0, 2, 1, 3])
            blocks = parts[0] + parts[2] + parts[1] + parts[3]
        return node


@dataclass(frozen=True)
class _Permute:
    """A permute and the shape of its operand; ``reshapes`` counts those before it and after it."""

    source: list[int]
    dims: list[int]
    reshapes: int

    @classmethod
    def plan(cls, node_shape: list[int], extents: list[int], order: Sequence[int], target: Sequence[int]) -> _Permute:
        """Places dimensions of one so that the operand has the node's shape, or the result the target's, if that is possible.

        Args:
            node_shape: of the operand's node.
            extents: of the dimensions to permute, all above one, in memory order.
            order: ``order[i]`` is the place in ``extents`` of the result's dimension i.
            target: shape in which the result is read.
        """
        result = [extents[p] for p in order]
        fits = _without_ones(target) == result and len(target) <= MAX_RANK
        if _without_ones(node_shape) == extents and (not fits or len(target) == len(node_shape)):
            source = list(node_shape)
        else:
            rank = len(target) if fits else len(extents)
            source = [1] * (rank - len(extents)) + list(extents)
        shape = list(target) if fits else [1] * (len(source) - len(result)) + result
        ones = iter([d for d, size in enumerate(source) if size == 1])
        moved = iter([[d for d, size in enumerate(source) if size > 1][p] for p in order])
        dims = [next(ones) if size == 1 else next(moved) for size in shape]
        return cls(source, dims, (source != node_shape) + (shape != list(target)))


def _without_ones(shape: Sequence[int]) -> list[int]:
    return [size for size in shape if size > 1]


_RANK_HINT = "the GPU delegate accepts at most four dimensions; split the op or fold adjacent dimensions"


def physical(view: View) -> View:
    """Returns the view with its dimensions in memory order; contiguous unless it is broadcast."""
    return view.permuted(view.memory_order())


def restored(node: fx.Node, shape_in_memory: Sequence[int], order: Sequence[int]) -> View:
    """Returns the logical view of a node whose data is in ``order``: the inverse of ``physical``."""
    strides = contiguous_strides(sizes(shape_in_memory))
    back = inverse(order)
    return View(node, tuple(int(shape_in_memory[p]) for p in back), tuple(strides[p] for p in back))


def _frozen(value: Any) -> Any:
    """Converts nested lists to tuples, for use as a dictionary key."""
    return tuple(_frozen(v) for v in value) if isinstance(value, list | tuple) else value
