"""Elementwise ops on views: they run in memory order, and broadcast without copying."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

from torch import Tensor, fx

from detr2litert.graphs.delegate import MAX_RANK
from detr2litert.graphs.toolbox import RewriteRefusedError, aten, sizes
from detr2litert.graphs.views import View, broadcast_shape
from detr2litert.rewrites.rank.builder import Builder, Value, restored

_COMMUTATIVE = (aten.add.Tensor, aten.mul.Tensor, aten.maximum.default, aten.minimum.default)
_WITH_NUMBER: dict[Any, Any] = {aten.maximum.default: aten.clamp_min.default, aten.minimum.default: aten.clamp_max.default}


def unary(build: Builder, node: fx.Node, x: View) -> View:
    """Emits an op of one tensor in memory order."""
    base = x.without_broadcast()
    result = build.emit(node.target, base.node, *node.args[1:], **node.kwargs)
    return View(result, x.shape, x.strides)


def binary(build: Builder, node: fx.Node, a: Value | float, b: Value | float) -> Value:
    """Emits an op of two operands, of which at least one is a view and either may be a number or a constant."""
    alpha = node.kwargs.get("alpha", 1)
    if alpha != 1:
        raise RewriteRefusedError(node, f"alpha={alpha}", "write the factor as a separate multiplication")
    if not isinstance(a, View | Tensor) or not isinstance(b, View | Tensor):
        return _with_number(build, node, a, b)
    a, b = _as_number(a), _as_number(b)
    if not isinstance(a, View | Tensor) or not isinstance(b, View | Tensor):
        return _with_number(build, node, a, b)
    if _same_layout(a, b):
        assert isinstance(a, View) and isinstance(b, View)
        return View(build.emit(node.target, a.node, build.reshape(b.node, sizes(a.node.meta["val"].shape))), a.shape, a.strides)
    return _broadcast(build, node, a, b)


def _with_number(build: Builder, node: fx.Node, a: Value | float, b: Value | float) -> Value:
    view = a if isinstance(a, View) else b
    assert isinstance(view, View)
    base = view.without_broadcast()
    arguments = (base.node, b) if view is a else (a, base.node)
    if view is b and node.target in _COMMUTATIVE:
        arguments = (base.node, a)
    return View(build.emit(_WITH_NUMBER.get(node.target, node.target), *arguments), view.shape, view.strides)


def _as_number(value: Value) -> Value | float:
    """Converts a constant without dimensions to a number, which needs no tensor and no broadcast."""
    if isinstance(value, Tensor) and value.dim() == 0:
        return float(value)
    return value


def _same_layout(a: Value, b: Value) -> bool:
    if not isinstance(a, View) or not isinstance(b, View):
        return False
    return a.shape == b.shape and not a.is_broadcast and not b.is_broadcast and a.memory_order() == b.memory_order()


def _broadcast(build: Builder, node: fx.Node, a: Value, b: Value) -> Value:
    whole = broadcast_shape(a.shape, b.shape)
    a, b = _aligned(a, len(whole)), _aligned(b, len(whole))
    shape = broadcast_shape(a.shape, b.shape)
    leader = max((v for v in (a, b) if isinstance(v, View)), key=lambda v: v.without_broadcast().numel)
    order = leader.memory_order()
    operands = [_in_order(build, v, order) for v in (a, b)]
    runs = _merged(shape, [tuple(v.shape) for v in operands], order)
    if len(runs) > MAX_RANK:
        raise RewriteRefusedError(
            node, f"its operands broadcast along {len(runs)} separate dimensions", "broadcast one of them beforehand"
        )
    folded = [[_extent(v.shape, run) for run in runs] for v in operands]
    if any(isinstance(v, Tensor) and f[:1] > [1] for v, f in zip(operands, folded, strict=True)):
        # A constant that varies along the leading dimension is applied wrongly to tensors of rank below four (the lint's
        # constant-low-rank).
        folded = [[1] * (MAX_RANK - len(runs)) + f for f in folded]
    folded = [_stripped(f) if isinstance(v, Tensor) else f for v, f in zip(operands, folded, strict=True)]
    nodes = [build.materialise(v, f) for v, f in zip(operands, folded, strict=True)]
    result = build.emit(node.target, *nodes)
    return restored(result, [shape[d] for d in order], order).broadcast_to(whole)


def _aligned(value: Value, rank: int) -> Value:
    """Returns the operand without its broadcasts, with leading dimensions of one up to ``rank``."""
    missing = rank - len(value.shape)
    if isinstance(value, Tensor):
        return _unexpanded(value.reshape((1,) * missing + tuple(value.shape)))
    value = value.without_broadcast()
    lead = prod(value.shape)
    return View(value.node, (1,) * missing + value.shape, (lead,) * missing + value.strides)


def _unexpanded(value: Tensor) -> Tensor:
    """Cuts a constant to size one along every dimension on which it does not vary."""
    for d in range(value.dim()):
        if value.shape[d] > 1:
            first = value.narrow(d, 0, 1)
            if bool((value == first).all()):
                value = first
    return value


def _in_order(build: Builder, value: Value, order: Sequence[int]) -> Value:
    """Permutes the operand's dimensions to ``order``, row-major."""
    if isinstance(value, Tensor):
        return value.permute(*order) if order else value
    return build.contiguous(value.permuted(order))


def _merged(shape: Sequence[int], operands: Sequence[Sequence[int]], order: Sequence[int]) -> list[list[int]]:
    """Groups adjacent dimensions along which the same operands are broadcast.

    The operands' shapes are in ``order`` already. The dimensions of a result of rank four or less are not merged.
    """
    if len(order) <= MAX_RANK:
        return [[d] for d in range(len(order))]
    runs: list[list[int]] = []
    previous: tuple[bool, ...] | None = None
    for d, source in enumerate(order):
        if shape[source] == 1:
            continue
        signature = tuple(s[d] == 1 for s in operands)
        if runs and signature == previous:
            runs[-1].append(d)
        else:
            runs.append([d])
        previous = signature
    return runs


def _stripped(shape: list[int]) -> list[int]:
    """Returns a shape without leading ones, but never empty.

    A constant of lower rank is applied correctly where one of higher rank is not (the lint's ``constant-low-rank``).
    """
    lead = next((d for d, size in enumerate(shape) if size > 1), len(shape) - 1)
    return shape[lead:]


def _extent(shape: Sequence[int], run: Sequence[int]) -> int:
    return prod(int(shape[d]) for d in run)
