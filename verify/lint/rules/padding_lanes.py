"""Checks for the padding of the channels: the delegate stores them in fours, and some operators read what fills the rest.

A tensor of 6 channels occupies 8; the last two hold zeros at first, and an elementwise operator computes on them as well: 0 / 0
or 1 / sqrt(0) leaves NaN or infinity there. A product multiplies them by weights of zero, which gives NaN, and a sum masks them
in the same way. So the value in the padding is computed here along with the graph, one number for each tensor.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping

import numpy as np

from detr2litert.graphs.delegate import LANES
from detr2litert.host_runtime.tflite.graph import Graph, Op
from detr2litert.verify.lint.op_support import Rule
from detr2litert.verify.lint.rules.find import Hit

_UNKNOWN = 1.0  # stands for a finite number other than 0


def _divided(a: float, b: float) -> float:
    with np.errstate(all="ignore"):
        return float(np.float32(a) / np.float32(b))


def _numpy(function: Callable[..., object]) -> Callable[..., float]:
    def compute(*values: float) -> float:
        with np.errstate(all="ignore"):
            return float(np.asarray(function(*(np.float64(v) for v in values))))

    return compute


def _within(low: float, high: float) -> Callable[[float], float]:
    """A clamp, which replaces NaN by a bound."""
    return lambda v: min(max(v, low), high) if not math.isnan(v) else max(low, min(0.0, high))


_ONE: Mapping[str, Callable[[float], float]] = {
    "ABS": abs, "NEG": lambda v: -v, "SQUARE": _numpy(np.square), "SQRT": _numpy(np.sqrt), "EXP": _numpy(np.exp),
    "SIN": _numpy(np.sin), "COS": _numpy(np.cos), "FLOOR": lambda v: v, "CEIL": lambda v: v, "ROUND": lambda v: v,
    "ELU": lambda v: v, "HARD_SWISH": lambda v: v, "GELU": lambda v: v, "RSQRT": lambda v: _divided(1.0, _numpy(np.sqrt)(v)),
    # SwiftShader's logarithm of 0 is -88, and that of NaN is a number; lavapipe's is -infinity.
    "LOG": lambda v: v if v == math.inf else (-88.0 if not v > 0 else math.log(v)),
    "RELU": _within(0.0, math.inf), "LEAKY_RELU": _within(0.0, math.inf), "PRELU": _within(0.0, math.inf),
    "RELU6": _within(0.0, 6.0), "RELU_N1_TO_1": _within(-1.0, 1.0), "TANH": lambda v: 0.0, "LOGISTIC": lambda v: 0.5,
    "SIGN": lambda v: 0.0,
}  # fmt: skip
_TWO: Mapping[str, Callable[[float, float], float]] = {
    "ADD": _numpy(np.add), "SUB": _numpy(np.subtract), "MUL": _numpy(np.multiply), "DIV": _divided,
    "FLOOR_DIV": _divided, "FLOOR_MOD": lambda a, b: math.nan if b == 0 else 0.0,
    "SQUARED_DIFFERENCE": _numpy(lambda a, b: (a - b) ** 2),
    "MAXIMUM": _numpy(np.fmax), "MINIMUM": _numpy(np.fmin),
}  # fmt: skip
_KEEPS = (
    "STRIDED_SLICE", "SPLIT", "SPLIT_V", "PAD", "PADV2", "MIRROR_PAD", "GATHER", "REVERSE_V2", "RESIZE_BILINEAR",
    "RESIZE_NEAREST_NEIGHBOR", "AVERAGE_POOL_2D", "CUMSUM", "SLICE", "TRANSPOSE", "CONCATENATION",
    "DEPTHWISE_CONV_2D", "SUM", "MEAN", "REDUCE_MAX", "REDUCE_MIN",
)  # fmt: skip
"""Operators that copy the padding along with the channels, if they leave those as they are."""
_PRODUCTS = ("FULLY_CONNECTED", "CONV_2D", "TRANSPOSE_CONV", "BATCH_MATMUL")
_SUMS = ("SUM", "MEAN", "REDUCE_PROD")


def nonfinite_padding(graph: Graph, rule: Rule) -> Iterator[Hit]:
    values: dict[int, float] = {}
    for op in graph.ops:
        read = op.inputs[2] if op.name == "TRANSPOSE_CONV" else op.input(1 if op.name == "SPLIT" else 0)
        held = values.get(read, 0.0)
        if not math.isfinite(held) and _reads_padding(graph, op, read):
            tensor = graph.tensors[read]
            yield Hit(f"{tensor.shape[-1]} channels, whose padding to {_padded(tensor.shape[-1])} holds {held:g}", (read,), op)
        for output in op.outputs:
            if _lanes(graph, output):
                values[output] = _value(graph, op, output, values)


def last_axis_padding(graph: Graph, op: Op, rule: Rule) -> Iterator[Hit]:
    """ARG_MAX, REVERSE_V2 and TOPK_V2 along channels that are no multiple of 4."""
    tensor = graph.tensors[op.inputs[0]]
    if not tensor.shape or tensor.shape[-1] % LANES == 0:
        return
    if op.name in ("ARG_MAX", "REVERSE_V2"):
        axis = graph.tensors[op.inputs[1]].values()
        maker = graph.producer(op.inputs[0])
        last = axis is None or int(axis.ravel()[0]) in (-1, tensor.rank - 1)
        # A softmax is never below the zeros in its padding.
        if last and tensor.rank > 1 and (op.name == "REVERSE_V2" or maker is None or maker.name != "SOFTMAX"):
            yield Hit(f"the padding of {tensor.shape[-1]} channels takes part", (tensor.index,))
        return
    ends = ": the process ends" if tensor.shape[-1] < LANES else ""
    yield Hit(f"rows of {tensor.shape[-1]}{ends}", (tensor.index,))


def _padded(channels: int) -> int:
    return -(-channels // LANES) * LANES


def _lanes(graph: Graph, tensor: int) -> bool:
    """True for a tensor with padding in its last dimension; a tensor of rank 1 has another layout."""
    made = graph.tensors[tensor]
    return made.rank > 1 and made.shape[-1] % LANES != 0 and made.dtype in ("float32", "float16")


def _reads_padding(graph: Graph, op: Op, read: int) -> bool:
    rank = graph.tensors[read].rank
    if op.name == "BATCH_MATMUL":
        return not op.options.get("adjX")
    if op.name in _SUMS:
        axes = graph.tensors[op.inputs[1]].values()
        return axes is None or bool({-1, rank - 1} & {int(a) for a in axes.ravel()})
    return op.name in _PRODUCTS


def _value(graph: Graph, op: Op, output: int, values: Mapping[int, float]) -> float:
    """Returns what an operator leaves in the padding of an output."""
    channels = graph.tensors[output].shape[-1]
    if op.name in _ONE:
        return _ONE[op.name](values.get(op.inputs[0], 0.0))
    if op.name in _TWO:
        return _TWO[op.name](*(_operand(graph, t, channels, values) for t in op.inputs[:2]))
    if op.name == "POW":
        return 0.0  # the delegate's power of 0 is finite
    if op.name not in _KEEPS:
        return 0.0
    source = op.inputs[1] if op.name == "SPLIT" else op.inputs[0]
    if not _same_channels(graph, op, source, output):
        return 0.0
    held = values.get(source, 0.0)
    if op.name == "CONCATENATION":
        return next((values[t] for t in op.inputs if not math.isfinite(values.get(t, 0.0))), held)
    return held


def _operand(graph: Graph, tensor: int, channels: int, values: Mapping[int, float]) -> float:
    """Returns an operand's value in the padding: its own, or the number that is broadcast along the channels."""
    operand = graph.tensors[tensor]
    if operand.rank and operand.shape[-1] == channels and channels > 1:
        return values.get(tensor, 0.0)
    constant = graph.source(tensor)
    numbers = constant.values() if constant is not None else None
    if numbers is not None and numbers.size:
        return float(numbers.ravel()[0])
    if channels == 1 and operand.rank and operand.shape[-1] == 1:
        return values.get(tensor, 0.0)
    return _UNKNOWN


def _same_channels(graph: Graph, op: Op, source: int, output: int) -> bool:
    before, after = graph.tensors[source], graph.tensors[output]
    if op.name == "TRANSPOSE":
        order = graph.tensors[op.inputs[1]].values()
        return order is not None and int(order.ravel()[-1]) == before.rank - 1
    if op.name == "SLICE":
        begin = graph.tensors[op.inputs[1]].values()
        return begin is not None and int(begin.ravel()[-1]) == 0
    if before.rank != after.rank or before.shape[-1] != after.shape[-1]:
        return op.name in ("SUM", "MEAN", "REDUCE_MAX", "REDUCE_MIN") and before.shape[-1] == after.shape[-1]
    if op.name == "CONCATENATION":
        return int(op.options.get("axis", 0)) % after.rank != after.rank - 1
    if op.name == "DEPTHWISE_CONV_2D":
        return int(op.options.get("depthMultiplier", 1)) == 1
    return True
