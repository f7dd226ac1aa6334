"""The operators that random graphs are made of: how each is drawn, and how it is written, with the shape of its result.

They are those of the lint's table that compute with floats. ``write`` raises ``IllFormedError`` where the operands do not fit;
the minimiser relies on it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from detr2litert.verify.fuzz.layers import (
    draw_conv,
    draw_dense,
    draw_depthwise,
    draw_matmul,
    draw_window,
    pool,
    write_conv,
    write_dense,
    write_depthwise,
    write_matmul,
)
from detr2litert.verify.fuzz.operator import Drawn, Operator, Rng, Writer, broadcast, need, new_seed, one_value, pick, unary
from detr2litert.verify.fuzz.spec import Constant, IllFormedError, Operand, Shape


def _draw_binary(rng: Rng, values: Mapping[str, Shape]) -> Drawn | None:
    first = pick(rng, values)
    if first is None:
        return None
    shape = values[first]
    how = rng.integers(5)
    if how == 0:
        other: Operand = str(rng.choice([name for name, s in values.items() if s == shape]))
        if other == first:
            other = Constant(shape, new_seed(rng))
    elif how == 1:
        fitting = [n for n, s in values.items() if s != shape and broadcast(shape, s) == shape]
        other = str(rng.choice(fitting)) if fitting else Constant((), new_seed(rng))
    elif how == 2:
        other = Constant((), new_seed(rng))
    else:
        reduced = tuple(1 if rng.random() < 0.4 else d for d in shape)
        cut = int(rng.integers(len(shape) + 1))
        reduced = reduced[cut:] if rng.random() < 0.7 else (1,) * int(rng.integers(5 - len(shape))) + reduced
        other = Constant(reduced, new_seed(rng), str(rng.choice(("float", "half"), p=(0.8, 0.2))))
    return ((first, other) if rng.random() < 0.7 else (other, first)), {}


def _write_binary(w: Writer, kind: str, operands: tuple[Operand, ...], attributes: Mapping[str, Any]) -> None:
    need(not all(isinstance(operand, Constant) for operand in operands) and operands[0] != operands[1])
    w.op(kind, list(operands), [broadcast(w.shape(operands[0]), w.shape(operands[1]))])


def _draw_binary_safe(rng: Rng, values: Mapping[str, Shape]) -> Drawn | None:
    try:
        return _draw_binary(rng, values)
    except IllFormedError:
        return None


def _draw_alike(rng: Rng, values: Mapping[str, Shape]) -> Drawn | None:
    """Two operands of one shape: the CPU's ATAN2 broadcasts nothing, and reads past the end where it should."""
    first = pick(rng, values)
    return None if first is None else ((first, Constant(values[first], new_seed(rng))), {})


def _write_alike(w: Writer, kind: str, operands: tuple[Operand, ...], attributes: Mapping[str, Any]) -> None:
    need(w.shape(operands[0]) == w.shape(operands[1]))
    w.op(kind, list(operands), [w.shape(operands[0])])


_BINARY = Operator(_draw_binary_safe, _write_binary)


def _draw_compare(rng: Rng, values: Mapping[str, Shape]) -> Drawn | None:
    return _draw_binary_safe(rng, values)


def _write_compare(w: Writer, kind: str, operands: tuple[Operand, ...], attributes: Mapping[str, Any]) -> None:
    """A comparison, cast to float."""
    need(not all(isinstance(operand, Constant) for operand in operands) and operands[0] != operands[1])
    w.op(kind, list(operands), [broadcast(w.shape(operands[0]), w.shape(operands[1]))], cast=True)


def _reduced(w: Writer, kind: str, x: Operand, a: Mapping[str, Any]) -> None:
    shape = w.shape(x)
    need(all(axis < len(shape) for axis in a["axes"]))
    kept = tuple(1 if i in a["axes"] else d for i, d in enumerate(shape) if a["keep"] or i not in a["axes"])
    w.op(kind, [x, w.whole(*a["axes"])], [kept], keepDims=a["keep"])


def _draw_reduced(rng: Rng, shape: Shape) -> dict[str, Any] | None:
    count = int(rng.integers(1, min(2, len(shape)) + 1))
    keep = bool(rng.random() < 0.5) or count == len(shape)
    return {"axes": tuple(sorted(int(i) for i in rng.choice(len(shape), count, replace=False))), "keep": keep}


def _axis(rng: Rng, shape: Shape) -> dict[str, Any]:
    return {"axis": int(rng.integers(len(shape)))}


def _cumsum(w: Writer, kind: str, x: Operand, a: Mapping[str, Any]) -> None:
    need(a["axis"] < len(w.shape(x)))
    w.op(kind, [x, w.whole(a["axis"], scalar=True)], [w.shape(x)], exclusive=a["exclusive"], reverse=a["reverse"])


def _padded(w: Writer, kind: str, x: Operand, a: Mapping[str, Any]) -> None:
    shape, amounts = w.shape(x), a["amounts"]
    need(len(amounts) == len(shape) and any(map(any, amounts)))
    need(kind != "MIRROR_PAD" or all(max(pair) < size for pair, size in zip(amounts, shape, strict=True)))
    out = tuple(size + sum(pair) for size, pair in zip(shape, amounts, strict=True))
    operands: list[Operand | None] = [x, w.whole(*amounts)]
    if kind == "PADV2":
        operands.append(w.number(a["value"]))
    w.op(kind, operands, [out], **({"mode": 0} if kind == "MIRROR_PAD" else {}))


def _draw_padded(rng: Rng, shape: Shape) -> dict[str, Any] | None:
    amounts = tuple((int(rng.integers(3)), int(rng.integers(3))) if rng.random() < 0.5 else (0, 0) for _ in shape)
    return {"amounts": amounts, "value": float(rng.choice((0.0, 1.5, -3.4e38)))} if any(map(any, amounts)) else None


def _factors(rng: Rng, size: int, rank: int) -> Shape:
    shape = []
    for _ in range(rank - 1):
        divisors = [d for d in range(1, size + 1) if size % d == 0]
        shape.append(int(rng.choice(divisors)))
        size //= shape[-1]
    return (*shape, size)


def _reshaped(w: Writer, kind: str, x: Operand, a: Mapping[str, Any]) -> None:
    need(math.prod(a["shape"]) == math.prod(w.shape(x)))
    w.op(kind, [x, w.whole(*a["shape"])], [a["shape"]], newShape=list(a["shape"]))


def _transposed(w: Writer, kind: str, x: Operand, a: Mapping[str, Any]) -> None:
    shape = w.shape(x)
    need(sorted(a["order"]) == list(range(len(shape))))
    w.op(kind, [x, w.whole(*a["order"])], [tuple(shape[i] for i in a["order"])])


def _sliced(w: Writer, kind: str, x: Operand, a: Mapping[str, Any]) -> None:
    shape = w.shape(x)
    need(len(a["begin"]) == len(shape) and all(b + s <= d for b, s, d in zip(a["begin"], a["size"], shape, strict=True)))
    if kind == "SLICE":
        w.op(kind, [x, w.whole(*a["begin"]), w.whole(*a["size"])], [a["size"]])
        return
    ends = [b + s for b, s in zip(a["begin"], a["size"], strict=True)]
    out = tuple(-(-s // step) for s, step in zip(a["size"], a["steps"], strict=True))
    w.op(kind, [x, w.whole(*a["begin"]), w.whole(*ends), w.whole(*a["steps"])], [out])


def _draw_sliced(rng: Rng, shape: Shape) -> dict[str, Any] | None:
    begin = tuple(int(rng.integers(d)) if rng.random() < 0.5 else 0 for d in shape)
    size = tuple(int(rng.integers(1, d - b + 1)) if rng.random() < 0.5 else d - b for d, b in zip(shape, begin, strict=True))
    return {"begin": begin, "size": size, "steps": tuple(int(rng.choice((1, 1, 2))) for _ in shape)}


def _split(w: Writer, kind: str, x: Operand, a: Mapping[str, Any]) -> None:
    shape, axis, parts = w.shape(x), a["axis"], a["parts"]
    need(axis < len(shape) and shape[axis] % parts == 0)
    part = tuple(d // parts if i == axis else d for i, d in enumerate(shape))
    if kind == "SPLIT":
        w.op(kind, [w.whole(axis, scalar=True), x], [part] * parts, numSplits=parts)
    elif kind == "SPLIT_V":
        w.op(kind, [x, w.whole(*[part[axis]] * parts), w.whole(axis, scalar=True)], [part] * parts, numSplits=parts)
    else:
        need(shape[axis] == parts and len(shape) > 1)
        w.op(kind, [x], [shape[:axis] + shape[axis + 1 :]] * parts, num=parts, axis=axis)


def _draw_split(rng: Rng, shape: Shape) -> dict[str, Any] | None:
    choices = [(axis, parts) for axis, d in enumerate(shape) for parts in (2, 3, 4) if d % parts == 0]
    axis, parts = choices[int(rng.integers(len(choices)))] if choices else (0, 0)
    return {"axis": axis, "parts": parts} if choices else None


def _draw_unpack(rng: Rng, shape: Shape) -> dict[str, Any] | None:
    axes = [axis for axis, d in enumerate(shape) if 1 < d <= 4]
    axis = int(rng.choice(axes)) if axes and len(shape) > 1 else -1
    return {"axis": axis, "parts": shape[axis]} if axis >= 0 else None


def _draw_joined(rng: Rng, values: Mapping[str, Shape]) -> Drawn | None:
    first = pick(rng, values)
    if first is None:
        return None
    shape, axis = values[first], int(rng.integers(len(values[first])))
    alike = [
        n for n, s in values.items() if len(s) == len(shape) and s[:axis] + s[axis + 1 :] == shape[:axis] + shape[axis + 1 :]
    ]
    others: list[Operand] = [str(n) for n in rng.choice(alike, min(len(alike), 2), replace=False)]
    if rng.random() < 0.3:
        others.append(Constant(shape, new_seed(rng)))
    return tuple(dict.fromkeys((first, *others))), {"axis": axis}


def _joined(w: Writer, kind: str, operands: tuple[Operand, ...], a: Mapping[str, Any]) -> None:
    shapes, axis = [w.shape(operand) for operand in operands], a["axis"]
    rest = {shape[:axis] + shape[axis + 1 :] for shape in shapes}
    need(len(operands) > 1 and axis < len(shapes[0]) and len(rest) == 1 and len({len(s) for s in shapes}) == 1)
    out = (*shapes[0][:axis], sum(shape[axis] for shape in shapes), *shapes[0][axis + 1 :])
    w.op(kind, list(operands), [out], axis=axis)


def _gathered(w: Writer, kind: str, x: Operand, a: Mapping[str, Any]) -> None:
    shape, axis = w.shape(x), a["axis"]
    need(axis < len(shape) and max(a["indices"]) < shape[axis])
    w.op(kind, [x, w.whole(*a["indices"])], [(*shape[:axis], len(a["indices"]), *shape[axis + 1 :])], axis=axis)


def _draw_gathered(rng: Rng, shape: Shape) -> dict[str, Any] | None:
    axis = int(rng.integers(len(shape)))
    return {"axis": axis, "indices": tuple(int(i) for i in rng.integers(0, shape[axis], int(rng.integers(1, 5))))}


def _tiled(w: Writer, kind: str, x: Operand, a: Mapping[str, Any]) -> None:
    need(len(a["times"]) == len(w.shape(x)))
    w.op(kind, [x, w.whole(*a["times"])], [tuple(d * t for d, t in zip(w.shape(x), a["times"], strict=True))])


def _top_k(w: Writer, kind: str, x: Operand, a: Mapping[str, Any]) -> None:
    shape = w.shape(x)
    need(a["k"] <= shape[-1])
    out = (*shape[:-1], a["k"])
    w.op(kind, [x, w.whole(a["k"], scalar=True)], [out, out], dtype=("float32", "int32"))


def _arg_max(w: Writer, kind: str, x: Operand, a: Mapping[str, Any]) -> None:
    shape, axis = w.shape(x), a["axis"]
    need(axis < len(shape) and len(shape) > 1)
    w.op(kind, [x, w.whole(axis, scalar=True)], [shape[:axis] + shape[axis + 1 :]], dtype="int32", outputType=2)


def _resized(w: Writer, kind: str, x: Operand, a: Mapping[str, Any]) -> None:
    shape = w.shape(x)
    need(len(shape) == 4)
    w.op(kind, [x, w.whole(*a["size"])], [(shape[0], *a["size"], shape[3])], halfPixelCenters=a["half"])


def _blocks(w: Writer, kind: str, x: Operand, a: Mapping[str, Any]) -> None:
    shape = w.shape(x)
    need(len(shape) == 4)
    b, height, width, channels = shape
    if kind == "SPACE_TO_DEPTH":
        need(height % 2 == 0 and width % 2 == 0)
        out = (b, height // 2, width // 2, channels * 4)
    else:
        need(channels % 4 == 0)
        out = (b, height * 2, width * 2, channels // 4)
    w.op(kind, [x], [out], blockSize=2)


def _prelu(w: Writer, kind: str, operands: tuple[Operand, ...], a: Mapping[str, Any]) -> None:
    shape = w.shape(operands[0])
    need(len(shape) == 4 and w.shape(operands[1]) == (1, 1, shape[-1]))
    w.op(kind, list(operands), [shape])


def _draw_prelu(rng: Rng, values: Mapping[str, Shape]) -> Drawn | None:
    x = pick(rng, values, lambda shape: len(shape) == 4)
    return None if x is None else ((x, Constant((1, 1, values[x][-1]), new_seed(rng))), {})


def _map(shape: Shape) -> bool:
    return len(shape) == 4


def _draw_flags(rng: Rng, shape: Shape) -> dict[str, Any]:
    return {**_axis(rng, shape), "exclusive": bool(rng.random() < 0.2), "reverse": bool(rng.random() < 0.2)}


def _reversed(w: Writer, kind: str, x: Operand, a: Mapping[str, Any]) -> None:
    need(a["axis"] < len(w.shape(x)))
    w.op(kind, [x, w.whole(a["axis"])], [w.shape(x)])


OPERATORS: Mapping[str, Operator] = {
    **{kind: unary() for kind in (
        "ABS", "NEG", "SQUARE", "SQRT", "EXP", "LOG", "SIN", "COS", "FLOOR", "CEIL", "ROUND", "SIGN", "TANH", "LOGISTIC",
        "RELU", "RELU6", "RELU_N1_TO_1", "ELU", "HARD_SWISH", "GELU", "RSQRT",
    )},
    **dict.fromkeys((
        "ADD", "SUB", "MUL", "DIV", "MAXIMUM", "MINIMUM", "SQUARED_DIFFERENCE", "FLOOR_DIV", "FLOOR_MOD",
    ), _BINARY),
    "ATAN2": Operator(_draw_alike, _write_alike),
    **{kind: Operator(_draw_compare, _write_compare) for kind in ("GREATER", "LESS_EQUAL", "EQUAL")},
    **{kind: one_value(_reduced, _draw_reduced) for kind in ("SUM", "MEAN", "REDUCE_MAX", "REDUCE_MIN", "REDUCE_PROD")},
    **{kind: one_value(pool, lambda rng, shape: {**draw_window(rng), "dilation": 1, "window": int(rng.integers(1, 4))}, _map)
       for kind in ("AVERAGE_POOL_2D", "MAX_POOL_2D")},
    **{kind: one_value(_padded, _draw_padded) for kind in ("PAD", "PADV2", "MIRROR_PAD")},
    **{kind: one_value(_sliced, _draw_sliced) for kind in ("SLICE", "STRIDED_SLICE")},
    **{kind: one_value(_split, _draw_split) for kind in ("SPLIT", "SPLIT_V")},
    "UNPACK": one_value(_split, _draw_unpack),
    **{kind: one_value(_resized, lambda rng, shape: {"size": (int(rng.integers(1, 9)), int(rng.integers(1, 9))),
                                                "half": bool(rng.random() < 0.5)}, _map)
       for kind in ("RESIZE_BILINEAR", "RESIZE_NEAREST_NEIGHBOR")},
    **{kind: one_value(_blocks, lambda rng, shape: {}, _map) for kind in ("SPACE_TO_DEPTH", "DEPTH_TO_SPACE")},
    "BATCH_MATMUL": Operator(draw_matmul, write_matmul),
    "FULLY_CONNECTED": Operator(draw_dense, write_dense),
    "CONV_2D": Operator(draw_conv, write_conv),
    "DEPTHWISE_CONV_2D": Operator(draw_depthwise, write_depthwise),
    "SOFTMAX": unary(beta=1.0),
    "LEAKY_RELU": one_value(lambda w, kind, x, a: w.op(kind, [x], [w.shape(x)], alpha=a["alpha"]),
                       lambda rng, shape: {"alpha": float(rng.choice((0.0, 0.1, 0.5, 1.0, 2.0, -0.5)))}),
    "PRELU": Operator(_draw_prelu, _prelu),
    "CUMSUM": one_value(_cumsum, _draw_flags),
    "RESHAPE": one_value(_reshaped, lambda rng, shape: {"shape": _factors(rng, math.prod(shape), int(rng.integers(1, 5)))}),
    "TRANSPOSE": one_value(_transposed, lambda rng, shape: {"order": tuple(int(i) for i in rng.permutation(len(shape)))}),
    "CONCATENATION": Operator(_draw_joined, _joined),
    "GATHER": one_value(_gathered, _draw_gathered),
    "TILE": one_value(_tiled, lambda rng, shape: {"times": tuple(int(rng.choice((1, 1, 2))) for _ in shape)}),
    "TOPK_V2": one_value(_top_k, lambda rng, shape: {"k": int(rng.integers(1, min(shape[-1], 4) + 1))}),
    "ARG_MAX": one_value(_arg_max, _axis, lambda shape: len(shape) > 1),
    "REVERSE_V2": one_value(_reversed, _axis),
}  # fmt: skip
