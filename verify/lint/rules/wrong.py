"""Checks for what the delegate accepts and computes wrong: ``W1`` … ``W10`` name the faults that were found first."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from detr2litert.graphs.delegate import MAX_SIDE, misapplies_constant
from detr2litert.host_runtime.tflite.graph import Graph, Op
from detr2litert.verify.lint.op_support import Rule
from detr2litert.verify.lint.rules.find import (
    Hit,
    both_runtime,
    constant_operand,
    only_consumer,
    pad_value,
    quantised_rows,
    shape_of,
)

_LOWEST = -3.0e38  # a max pool pads with the lowest float, so a pad at or below this changes nothing


def constant_low_rank(graph: Graph, op: Op, rule: Rule) -> Iterator[Hit]:
    if (operands := constant_operand(graph, op)) is None:
        return
    runtime, constant = operands
    if misapplies_constant(runtime.shape, constant.shape):
        yield Hit(f"runtime {list(runtime.shape)} with constant {list(constant.shape)}", (runtime.index, constant.index))


def pad_rank_three(graph: Graph, op: Op, rule: Rule) -> Iterator[Hit]:
    tensor, amounts = graph.tensors[op.inputs[0]], graph.tensors[op.inputs[1]].values()
    if tensor.rank == 3 and (tensor.shape[0] > 1 or (amounts is not None and amounts[0].any())):
        yield Hit(f"pads {list(tensor.shape)} by {amounts.tolist() if amounts is not None else '?'}", op.inputs[:1])


def pad_into_pool(graph: Graph, op: Op, rule: Rule) -> Iterator[Hit]:
    value, reader = pad_value(graph, op), only_consumer(graph, op.outputs[0])
    if reader is None or graph.is_output(op.outputs[0]):
        return
    fused = {
        "AVERAGE_POOL_2D": True,
        "MAX_POOL_2D": value > _LOWEST,
        "CONV_2D": value != 0,
        "DEPTHWISE_CONV_2D": value != 0,
    }
    if fused.get(reader.name, False) and reader.inputs[0] == op.outputs[0]:
        yield Hit(f"a pad with {value:g} is fused into the {reader.name} after it", op.outputs)


def zeros_into_pool(graph: Graph, op: Op, rule: Rule) -> Iterator[Hit]:
    reader = only_consumer(graph, op.outputs[0])
    if reader is None or reader.name not in ("MAX_POOL_2D", "AVERAGE_POOL_2D") or graph.is_output(op.outputs[0]):
        return
    if any((tensor := graph.source(t)) is not None and tensor.all_zero for t in op.inputs):
        yield Hit(f"zeros are concatenated to the input of the {reader.name} after it", op.outputs)


def add_into_reduce(graph: Graph, op: Op, rule: Rule) -> Iterator[Hit]:
    maker = graph.producer(op.inputs[0])
    if maker is not None and maker.name == "ADD" and both_runtime(graph, maker) and only_consumer(graph, op.inputs[0]) is op:
        yield Hit("reduces the sum of two runtime tensors", op.inputs[:1])


def matmul_broadcast_batch(graph: Graph, op: Op, rule: Rule) -> Iterator[Hit]:
    left, right = (graph.tensors[t] for t in op.inputs[:2])
    if right.rank == 2 and not graph.is_runtime(right.index):
        return
    batches = [tensor.shape[:-2] for tensor in (left, right)]
    if math.prod(batches[0]) != math.prod(batches[1]):
        yield Hit(f"{list(left.shape)} times {list(right.shape)}", (left.index, right.index))


def matmul_texture_limit(graph: Graph, op: Op, rule: Rule) -> Iterator[Hit]:
    left, right = (graph.tensors[t] for t in op.inputs[:2])
    if left.rank < 2 or right.rank < 2 or (right.rank == 2 and not graph.is_runtime(right.index)):
        return
    adj_x, adj_y = bool(op.options.get("adjX")), bool(op.options.get("adjY"))
    rows = left.shape[-1 if adj_x else -2]
    depth, columns = right.shape[-2:][::-1] if adj_y else right.shape[-2:]
    for row in rule.parameters["exempt"]:
        limits = (("max_m", rows), ("max_k", depth), ("max_n", columns))
        if row.get("adj_y", adj_y) == adj_y and all(value <= row.get(name, value) for name, value in limits):
            return
    width, height = 2 * -(-columns // 8), math.prod(right.shape[:-2]) * -(-depth // 4)
    if max(width, height) > MAX_SIDE:
        yield Hit(
            f"{list(left.shape)} times {list(right.shape)} needs a {width} x {height} texture, the limit is {MAX_SIDE}",
            op.inputs,
        )


def grouped_conv(graph: Graph, op: Op, rule: Rule) -> Iterator[Hit]:
    channels, per_group = graph.tensors[op.inputs[0]].shape[-1], graph.tensors[op.inputs[1]].shape[-1]
    outputs = graph.tensors[op.inputs[1]].shape[0]
    depthwise = per_group == 1 and outputs == channels
    if 0 < per_group < channels and not depthwise:
        groups = channels // per_group
        if per_group % 4 or outputs // groups % 4:
            yield Hit(f"{groups} groups of {per_group} channels and {outputs // groups} outputs", op.inputs[:1])


def quantised_dense_rows(graph: Graph, op: Op, rule: Rule) -> Iterator[Hit]:
    batch, rows = quantised_rows(graph, op)
    if rows > 1 and (batch > 1 or rows <= rule.parameters["rows"]):
        yield Hit(
            f"int8 weights on {shape_of(graph, op.inputs[0])}, whose {rows} rows of a batch become one axis", op.inputs[:2]
        )


def runtime_weights_bias(graph: Graph, op: Op, rule: Rule) -> Iterator[Hit]:
    if graph.is_runtime(op.inputs[1]) and op.input(2) >= 0 and not graph.is_runtime(op.input(2)):
        yield Hit("weights computed at run time with a constant bias", op.inputs[1:3])


def softmax_rank_one(graph: Graph, op: Op, rule: Rule) -> Iterator[Hit]:
    if graph.tensors[op.inputs[0]].rank == 1:
        yield Hit(f"shape {shape_of(graph, op.inputs[0])}", op.inputs[:1])


def pow_constant_base(graph: Graph, op: Op, rule: Rule) -> Iterator[Hit]:
    base = graph.source(op.inputs[0])
    values = base.values() if base is not None else None
    if values is not None and values.size == 1 and float(values.ravel()[0]) in rule.parameters["bases"]:
        yield Hit(f"constant base {values.ravel()[0]:g}", op.inputs[:1])


def pad_infinite(graph: Graph, op: Op, rule: Rule) -> Iterator[Hit]:
    pooled = all(reader.name == "MAX_POOL_2D" for reader in graph.consumers(op.outputs[0])) and not graph.is_output(
        op.outputs[0]
    )
    if np.isinf(pad_value(graph, op)) and not pooled:
        yield Hit("pads with infinity", op.outputs)


def matmul_constant_transposed(graph: Graph, op: Op, rule: Rule) -> Iterator[Hit]:
    right = graph.tensors[op.inputs[1]]
    flips = [name for name in ("adjX", "adjY") if op.options.get(name)]
    if flips and right.rank == 2 and not graph.is_runtime(right.index):
        yield Hit(f"{' and '.join(flips)} with a constant right operand {list(right.shape)}", (op.inputs[0], right.index))


def cumsum(graph: Graph, op: Op, rule: Rule) -> Iterator[Hit]:
    tensor, axes = graph.tensors[op.inputs[0]], graph.tensors[op.inputs[1]].values()
    axis = int(axes.ravel()[0]) if axes is not None and axes.size else None
    if axis is None:
        return
    if axis < 0:
        yield Hit(f"axis {axis} is counted from the end", op.outputs)
        return
    size, exclusive = tensor.shape[axis], bool(op.options.get("exclusive"))
    # Of rank 4 the first axis is the batch, and one image gives zeros; of a lower rank it is laid out as another axis.
    # Nothing is written there: where zeros would be right, they may be found or not.
    first = axis == 0 and (size == 1 if tensor.rank == 4 else size > 1)
    if first:
        yield Hit(f"along the first axis of {list(tensor.shape)}", op.outputs)
    elif exclusive:
        yield Hit("exclusive is ignored", op.outputs)
    elif op.options.get("reverse") and size > 1:
        yield Hit("reverse is ignored", op.outputs)


def leaky_relu_slope(graph: Graph, op: Op, rule: Rule) -> Iterator[Hit]:
    slope = float(op.options.get("alpha", 0.0))
    if not 0.0 <= slope <= 1.0:
        yield Hit(f"slope {slope:g}", op.outputs)


def pad_first_axis(graph: Graph, op: Op, rule: Rule) -> Iterator[Hit]:
    tensor, amounts = graph.tensors[op.inputs[0]], graph.tensors[op.inputs[1]].values()
    if tensor.rank == 4 and tensor.shape[0] == 1 and amounts is not None and amounts[0].any():
        yield Hit(f"pads the first axis of {list(tensor.shape)} by {amounts[0].tolist()}", op.inputs[:1])


def depthwise_pointwise(graph: Graph, op: Op, rule: Rule) -> Iterator[Hit]:
    window, channels = graph.tensors[op.inputs[1]].shape[1:3], graph.tensors[op.inputs[0]].shape[-1]
    times = graph.tensors[op.outputs[0]].shape[-1] // max(channels, 1)
    if tuple(window) == (1, 1) and channels > 1 and times > 1:
        yield Hit(f"1x1, {times} outputs for each of {channels} channels", op.inputs[:1])


def blocks_of_a_batch(graph: Graph, op: Op, rule: Rule) -> Iterator[Hit]:
    shape = graph.tensors[op.inputs[0]].shape
    if shape and shape[0] > 1:
        yield Hit(f"a batch of {shape[0]}", op.inputs[:1])
