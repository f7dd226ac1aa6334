"""The layers of random graphs: products, convolutions and pools, with weights in float32, fp16 or int8."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from detr2litert.verify.fuzz.operator import Drawn, Rng, Writer, broadcast, need, new_seed, new_style, pick
from detr2litert.verify.fuzz.spec import Constant, Operand, Shape


def draw_matmul(rng: Rng, values: Mapping[str, Shape]) -> Drawn | None:
    left = pick(rng, values, lambda shape: len(shape) >= 2)
    if left is None:
        return None
    shape, adj_x, adj_y = values[left], bool(rng.random() < 0.25), bool(rng.random() < 0.4)
    depth = shape[-2] if adj_x else shape[-1]
    runtime = [
        n for n, s in values.items() if n != left and len(s) >= 2 and s[:-2] == shape[:-2] and s[-1 if adj_y else -2] == depth
    ]
    right: Operand
    if runtime and rng.random() < 0.6:
        right = str(rng.choice(runtime))
    else:
        columns = int(rng.choice((1, 2, 3, 4, 5, 8)))
        matrix = (columns, depth) if adj_y else (depth, columns)
        right = Constant(
            (matrix if rng.random() < 0.5 else (*shape[:-2], *matrix)),
            new_seed(rng),
            str(rng.choice(("float", "half"), p=(0.8, 0.2))),
        )
    return (left, right), {"adjX": adj_x, "adjY": adj_y}


def write_matmul(w: Writer, kind: str, operands: tuple[Operand, ...], a: Mapping[str, Any]) -> None:
    left, right = w.shape(operands[0]), w.shape(operands[1])
    need(not isinstance(operands[0], Constant) and len(left) >= 2 and len(right) >= 2 and operands[0] != operands[1])
    rows, depth = left[-2:][::-1] if a["adjX"] else left[-2:]
    inner, columns = right[-2:][::-1] if a["adjY"] else right[-2:]
    need(depth == inner)
    w.op(kind, list(operands), [(*broadcast(left[:-2], right[:-2]), rows, columns)], adjX=a["adjX"], adjY=a["adjY"])


def draw_dense(rng: Rng, values: Mapping[str, Shape]) -> Drawn | None:
    x = pick(rng, values, lambda shape: len(shape) >= 2)
    if x is None:
        return None
    columns = int(rng.choice((1, 2, 3, 4, 5, 8, 12)))
    weights = Constant((columns, values[x][-1]), new_seed(rng), new_style(rng))
    operands: tuple[Operand, ...] = (x, weights)
    if rng.random() < 0.7:
        operands = (*operands, Constant((columns,), new_seed(rng)))
    return operands, {"keepNumDims": bool(rng.random() < 0.7), "relu": bool(rng.random() < 0.2)}


def write_dense(w: Writer, kind: str, operands: tuple[Operand, ...], a: Mapping[str, Any]) -> None:
    shape, weights = w.shape(operands[0]), w.shape(operands[1])
    need(len(shape) >= 2 and len(weights) == 2 and shape[-1] == weights[1])
    need(len(operands) < 3 or w.shape(operands[2]) == weights[:1])
    out = (*shape[:-1], weights[0]) if a["keepNumDims"] else (math.prod(shape[:-1]), weights[0])
    w.op(kind, [*operands, *([None] if len(operands) < 3 else [])], [out], keepNumDims=a["keepNumDims"],
         fusedActivationFunction=int(a["relu"]))  # fmt: skip


def draw_window(rng: Rng) -> dict[str, Any]:
    stride, dilation = int(rng.choice((1, 1, 2, 3))), int(rng.choice((1, 1, 1, 2)))
    return {"stride": stride, "dilation": 1 if stride > 1 else dilation, "padding": int(rng.integers(2))}


def _spatial(shape: Shape, height: int, width: int, a: Mapping[str, Any]) -> tuple[int, int]:
    made = []
    for size, window in zip(shape[1:3], (height, width), strict=True):
        reach = (window - 1) * a.get("dilation", 1) + 1
        need(a["padding"] == 0 or size >= reach)
        made.append(-(-size // a["stride"]) if a["padding"] == 0 else -(-(size - reach + 1) // a["stride"]))
    return made[0], made[1]


def _conv_options(a: Mapping[str, Any]) -> dict[str, Any]:
    return {"strideH": a["stride"], "strideW": a["stride"], "dilationHFactor": a["dilation"], "dilationWFactor": a["dilation"],
            "padding": a["padding"]}  # fmt: skip


def draw_conv(rng: Rng, values: Mapping[str, Shape]) -> Drawn | None:
    x = pick(rng, values, lambda shape: len(shape) == 4)
    if x is None:
        return None
    channels, columns = values[x][-1], int(rng.choice((1, 2, 3, 4, 5, 8)))
    groups = 1
    if rng.random() < 0.15 and channels % 2 == 0 and channels > 2:
        groups, columns = 2, 2 * columns
    window = int(rng.choice((1, 1, 2, 3)))
    weights = Constant((columns, window, int(rng.choice((window, 1))), channels // groups), new_seed(rng), new_style(rng))
    return (x, weights, Constant((columns,), new_seed(rng))), draw_window(rng)


def write_conv(w: Writer, kind: str, operands: tuple[Operand, ...], a: Mapping[str, Any]) -> None:
    shape, weights = w.shape(operands[0]), w.shape(operands[1])
    need(len(shape) == 4 and len(weights) == 4 and shape[-1] % weights[-1] == 0 and w.shape(operands[2]) == weights[:1])
    need(weights[0] % (shape[-1] // weights[-1]) == 0)
    height, width = _spatial(shape, weights[1], weights[2], a)
    w.op(kind, list(operands), [(shape[0], height, width, weights[0])], **_conv_options(a))


def draw_depthwise(rng: Rng, values: Mapping[str, Shape]) -> Drawn | None:
    x = pick(rng, values, lambda shape: len(shape) == 4)
    if x is None:
        return None
    made, window = values[x][-1] * int(rng.choice((1, 1, 2, 3))), int(rng.choice((1, 2, 3)))
    weights = Constant((1, window, window, made), new_seed(rng), new_style(rng))
    return (x, weights, Constant((made,), new_seed(rng))), draw_window(rng)


def write_depthwise(w: Writer, kind: str, operands: tuple[Operand, ...], a: Mapping[str, Any]) -> None:
    shape, weights = w.shape(operands[0]), w.shape(operands[1])
    need(len(shape) == 4 and len(weights) == 4 and weights[-1] % shape[-1] == 0 and w.shape(operands[2]) == weights[-1:])
    height, width = _spatial(shape, weights[1], weights[2], a)
    w.op(kind, list(operands), [(shape[0], height, width, weights[-1])], depthMultiplier=weights[-1] // shape[-1],
         **_conv_options(a))  # fmt: skip


def pool(w: Writer, kind: str, x: Operand, a: Mapping[str, Any]) -> None:
    shape = w.shape(x)
    need(len(shape) == 4)
    height, width = _spatial(shape, a["window"], a["window"], a)
    w.op(kind, [x], [(shape[0], height, width, shape[3])], filterWidth=a["window"], filterHeight=a["window"],
         strideW=a["stride"], strideH=a["stride"], padding=a["padding"])  # fmt: skip
