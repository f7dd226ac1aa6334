"""The shape that an op gives, from its inputs' shapes and its attributes: one function for each rule in `host_ops.json`.

Dtypes and ranks have been checked before (`host_table.OpRule.result`). Each raises ValueError for what the op cannot compute.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from math import prod
from typing import Any

from detr2litert.host_runtime.tensor_spec import Shape

AttributeValue = int | float | str | tuple[int, ...]
Attributes = Mapping[str, AttributeValue]
Rule = Callable[[Sequence[Shape], Mapping[str, Any]], Shape]


def front_axis(axis: int, rank: int) -> int:
    """The axis counted from the front; raises ValueError where the rank has no such axis."""
    if not -rank <= axis < rank:
        raise ValueError(f"axis = {axis} is not one of rank {rank}")
    return axis % rank


def _same(shapes: Sequence[Shape], _attributes: Mapping[str, Any]) -> Shape:
    return shapes[0]


def _clamp(shapes: Sequence[Shape], attributes: Mapping[str, Any]) -> Shape:
    if not attributes:
        raise ValueError("it has neither min nor max")
    return shapes[0]


def _broadcast(shapes: Sequence[Shape], _attributes: Mapping[str, Any]) -> Shape:
    """NumPy's: aligned at the last axis, extents equal or 1."""
    rank = max(map(len, shapes))
    padded = [(1,) * (rank - len(shape)) + shape for shape in shapes]
    result = tuple(max(extents) for extents in zip(*padded, strict=True))
    if any(extent not in (1, whole) for shape in padded for extent, whole in zip(shape, result, strict=True)):
        raise ValueError(f"shapes {' and '.join(str(list(shape)) for shape in shapes)} do not broadcast")
    return result


def _topk(shapes: Sequence[Shape], attributes: Mapping[str, Any]) -> Shape:
    (x,), k = shapes, attributes["k"]
    axis = front_axis(attributes["axis"], len(x))
    if k > x[axis]:
        raise ValueError(f"cannot take the {k} largest of {x[axis]}")
    return _replaced(x, axis, k)


def _gather(shapes: Sequence[Shape], attributes: Mapping[str, Any]) -> Shape:
    x, indices = shapes
    axis = front_axis(attributes["axis"], len(x))
    if len(indices) == 2 and (axis == 0 or indices[0] != x[0]):
        raise ValueError(f"indices of shape {list(indices)} do not index axis {axis} of {list(x)}")
    return _replaced(x, axis, indices[-1])


def _linear(shapes: Sequence[Shape], _attributes: Mapping[str, Any]) -> Shape:
    x, weight, *bias = shapes
    if x[-1] != weight[1] or (bias and bias[0] != weight[:1]):
        raise ValueError(f"x {list(x)} does not fit the weight {list(weight)}" + (f" and bias {list(bias[0])}" if bias else ""))
    return (*x[:-1], weight[0])


def _layer_norm(shapes: Sequence[Shape], _attributes: Mapping[str, Any]) -> Shape:
    x, *scales = shapes
    if any(scale != x[-1:] for scale in scales):
        raise ValueError(f"{list(x)} has no {' and '.join(str(list(scale)) for scale in scales)} for its last axis")
    return x


def _slice(shapes: Sequence[Shape], attributes: Mapping[str, Any]) -> Shape:
    (x,) = shapes
    axis = front_axis(attributes["axis"], len(x))
    count = len(range(*slice(attributes["start"], attributes["end"]).indices(x[axis])))
    if count == 0:
        raise ValueError(f"nothing of {x[axis]} lies from {attributes['start']} to {attributes['end']}")
    return _replaced(x, axis, count)


def _concat(shapes: Sequence[Shape], attributes: Mapping[str, Any]) -> Shape:
    axis = front_axis(attributes["axis"], len(shapes[0]))
    if any(len(x) != len(shapes[0]) or _replaced(x, axis, 0) != _replaced(shapes[0], axis, 0) for x in shapes):
        raise ValueError(f"shapes differ elsewhere than along axis {axis}")
    return _replaced(shapes[0], axis, sum(x[axis] for x in shapes))


def _reshape(shapes: Sequence[Shape], attributes: Mapping[str, Any]) -> Shape:
    size, wanted = prod(shapes[0]), attributes["shape"]
    known, free = prod(extent for extent in wanted if extent != -1), wanted.count(-1)
    if free > 1 or known == 0 or size % known or (free == 0 and known != size):
        raise ValueError(f"{size} elements do not fill {list(wanted)}")
    return tuple(size // known if extent == -1 else extent for extent in wanted)


def _replaced(shape: Shape, axis: int, extent: int) -> Shape:
    return (*shape[:axis], extent, *shape[axis + 1 :])


SHAPES: Mapping[str, Rule] = {
    "same": _same,
    "clamp": _clamp,
    "broadcast": _broadcast,
    "topk": _topk,
    "gather": _gather,
    "linear": _linear,
    "layer_norm": _layer_norm,
    "slice": _slice,
    "concat": _concat,
    "reshape": _reshape,
}
"""By the name that `host_ops.json` gives an op's output."""
