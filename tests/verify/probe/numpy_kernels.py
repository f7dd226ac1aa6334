"""A few operators in NumPy, written from their definitions, to verify the CPU's kernels."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from detr2litert.host_runtime.tflite.graph import Graph, Op

Array = NDArray[Any]
Kernel = Callable[[Op, list[Array]], Array | tuple[Array, ...]]


def _same_or_valid(op: Op, x: Array, height: int, width: int, fill: float) -> tuple[Array, int, int]:
    """``x`` padded as for SAME, and the step: schema padding 0 is SAME, 1 is VALID."""
    steps = op.options["strideH"], op.options["strideW"]
    dilation = op.options.get("dilationHFactor", 1), op.options.get("dilationWFactor", 1)
    border = [(0, 0)]
    for size, window, step, gap in zip(x.shape[1:3], (height, width), steps, dilation, strict=True):
        reach = (window - 1) * gap + 1
        total = max((-(-size // step) - 1) * step + reach - size, 0) if op.options["padding"] == 0 else 0
        border.append((total // 2, total - total // 2))
    return np.pad(x, [*border, (0, 0)], constant_values=fill), *steps


def _windows(op: Op, x: Array, height: int, width: int, fill: float) -> Array:
    """[B, H, W, kh, kw, C]: the window of each output pixel."""
    padded, down, across = _same_or_valid(op, x, height, width, fill)
    dy, dx = op.options.get("dilationHFactor", 1), op.options.get("dilationWFactor", 1)
    reach = (height - 1) * dy + 1, (width - 1) * dx + 1
    seen = np.lib.stride_tricks.sliding_window_view(padded, reach, axis=(1, 2))[:, ::down, ::across]
    return np.moveaxis(seen[..., ::dy, ::dx], 3, -1)


def _conv(op: Op, given: list[Array]) -> Array:
    x, weights, bias = given
    groups = x.shape[-1] // weights.shape[-1]
    seen = _windows(op, x, *weights.shape[1:3], 0.0)
    inputs, outputs = np.split(seen, groups, axis=-1), np.split(weights, groups, axis=0)
    return np.concatenate(
        [np.einsum("bhwyxi,oyxi->bhwo", i, o) for i, o in zip(inputs, outputs, strict=True)], axis=-1
    ) + bias  # fmt: skip


def _depthwise(op: Op, given: list[Array]) -> Array:
    x, weights, bias = given
    times = op.options["depthMultiplier"]
    return (
        np.einsum("bhwyxc,yxc->bhwc", np.repeat(_windows(op, x, *weights.shape[1:3], 0.0), times, axis=-1), weights[0]) + bias
    )


def _dense(op: Op, given: list[Array]) -> Array:
    x, weights, bias = given
    made = x @ weights.T + (0 if bias is None else bias)
    made = np.maximum(made, 0) if op.options["fusedActivationFunction"] == 1 else made
    return made if op.options["keepNumDims"] else made.reshape(-1, weights.shape[0])


def _matmul(op: Op, given: list[Array]) -> Array:
    left, right = (np.swapaxes(a, -1, -2) if op.options[flip] else a for a, flip in zip(given, ("adjX", "adjY"), strict=True))
    return left @ right


def _average(op: Op, given: list[Array]) -> Array:
    height, width = op.options["filterHeight"], op.options["filterWidth"]
    return np.nanmean(_windows(op, given[0], height, width, np.nan), axis=(3, 4))  # the padding does not count


def _maximum(op: Op, given: list[Array]) -> Array:
    return _windows(op, given[0], op.options["filterHeight"], op.options["filterWidth"], -np.inf).max(axis=(3, 4))


def _softmax(op: Op, given: list[Array]) -> Array:
    powers = np.exp(given[0] - given[0].max(axis=-1, keepdims=True))
    return powers / powers.sum(axis=-1, keepdims=True)


def _pad(op: Op, given: list[Array]) -> Array:
    return np.pad(given[0], given[1], constant_values=given[2].item() if len(given) > 2 else 0)


def _cumsum(op: Op, given: list[Array]) -> Array:
    x, axis = given[0], given[1].item()
    x = np.flip(x, axis) if op.options["reverse"] else x
    total = np.cumsum(x, axis) - (x if op.options["exclusive"] else 0)
    return np.flip(total, axis) if op.options["reverse"] else total


def _top_k(op: Op, given: list[Array]) -> tuple[Array, Array]:
    order = np.argsort(-given[0], axis=-1, kind="stable")[..., : given[1].item()]
    return np.take_along_axis(given[0], order, -1), order


def _split(op: Op, given: list[Array]) -> tuple[Array, ...]:
    if op.name == "SPLIT":
        return tuple(np.split(given[1], op.options["numSplits"], given[0].item()))
    return tuple(np.split(given[0], np.cumsum(given[1])[:-1], given[2].item()))


def _slice(op: Op, given: list[Array]) -> Array:
    x, begin, size = given
    return x[tuple(slice(b, b + s) for b, s in zip(begin, size, strict=True))]


def _space_to_depth(op: Op, given: list[Array]) -> Array:
    size, (b, h, w, c) = op.options["blockSize"], given[0].shape
    parts = given[0].reshape(b, h // size, size, w // size, size, c).transpose(0, 1, 3, 2, 4, 5)
    return parts.reshape(b, h // size, w // size, size * size * c)


def _depth_to_space(op: Op, given: list[Array]) -> Array:
    size, (b, h, w, c) = op.options["blockSize"], given[0].shape
    parts = given[0].reshape(b, h, w, size, size, c // size**2).transpose(0, 1, 3, 2, 4, 5)
    return parts.reshape(b, h * size, w * size, c // size**2)


def _plain(function: Callable[..., Any]) -> Kernel:
    return lambda op, given: function(*given)


def _over(function: Callable[..., Any]) -> Kernel:
    return lambda op, given: function(
        given[0], axis=tuple(np.atleast_1d(given[1]).tolist()), keepdims=bool(op.options["keepDims"])
    )


KERNELS: Mapping[str, Kernel] = {
    **{
        name: _plain(function)
        for name, function in {
            "ADD": np.add, "SUB": np.subtract, "MUL": np.multiply, "DIV": np.divide, "MAXIMUM": np.maximum,
            "MINIMUM": np.minimum, "POW": np.power, "GREATER": np.greater, "LESS": np.less, "EQUAL": np.equal,
            "NOT_EQUAL": np.not_equal, "ABS": np.abs, "NEG": np.negative, "EXP": np.exp, "SQRT": np.sqrt, "SIN": np.sin,
            "COS": np.cos, "TANH": np.tanh, "FLOOR": np.floor, "ROUND": np.round, "SQUARE": np.square, "SIGN": np.sign,
            "LOG": np.log, "FLOOR_DIV": np.floor_divide, "FLOOR_MOD": np.mod, "ATAN2": np.arctan2,
            "RSQRT": lambda x: 1 / np.sqrt(x), "LOGISTIC": lambda x: 1 / (1 + np.exp(-x)), "RELU": lambda x: np.maximum(x, 0),
            "SQUARED_DIFFERENCE": lambda a, b: (a - b) ** 2, "DEQUANTIZE": lambda x: x.astype(np.float32), "TILE": np.tile,
            "TRANSPOSE": np.transpose, "SELECT_V2": np.where, "RELU6": lambda x: np.clip(x, 0, 6),
            "REVERSE_V2": lambda x, axis: np.flip(x, axis.tolist()),
        }.items()
    },
    "SUM": _over(np.sum), "MEAN": _over(np.mean), "REDUCE_MAX": _over(np.max), "REDUCE_MIN": _over(np.min),
    "REDUCE_PROD": _over(np.prod), "CONV_2D": _conv, "DEPTHWISE_CONV_2D": _depthwise, "FULLY_CONNECTED": _dense,
    "BATCH_MATMUL": _matmul, "AVERAGE_POOL_2D": _average, "MAX_POOL_2D": _maximum, "SOFTMAX": _softmax, "PAD": _pad,
    "PADV2": _pad, "RESHAPE": lambda op, given: given[0].reshape(given[1]), "CUMSUM": _cumsum,
    "TOPK_V2": _top_k, "SPLIT": _split, "SPLIT_V": _split, "SLICE": _slice,
    "SPACE_TO_DEPTH": _space_to_depth, "DEPTH_TO_SPACE": _depth_to_space,
    "ARG_MAX": lambda op, given: np.argmax(given[0], given[1].item()),
    "LEAKY_RELU": lambda op, given: np.where(given[0] < 0, op.options["alpha"] * given[0], given[0]),
    "CONCATENATION": lambda op, given: np.concatenate(given, op.options["axis"]),
    "GATHER": lambda op, given: np.take(given[0], given[1], op.options["axis"]),
    "MIRROR_PAD": lambda op, given: np.pad(given[0], given[1], "symmetric" if op.options["mode"] else "reflect"),
}  # fmt: skip


def compute(graph: Graph, given: Mapping[str, Array]) -> dict[str, Array]:
    """The graph's outputs, by signature name; all its operators have to be in ``KERNELS``."""
    values: dict[int, Any] = {tensor.index: tensor.values() for tensor in graph.tensors if tensor.constant}
    values |= {index: given[name] for name, index in graph.signature_inputs.items()} | {-1: None}
    with np.errstate(divide="ignore"):  # the logarithm of 0 is intended
        for op in graph.ops:
            made = KERNELS[op.name](op, [values[index] for index in op.inputs])
            values |= zip(op.outputs, made if isinstance(made, tuple) else (made,), strict=True)
    return {name: values[index] for name, index in graph.signature_outputs.items()}
