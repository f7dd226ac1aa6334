"""The checks behind the rows of op_support.json: each looks at one operator, or at the whole graph, and yields what it finds.

The conditions are those measured on the delegate; each row of the table carries its evidence. ``W1`` … ``W10`` are the
names of the faults in which the delegate accepts a model and computes something else.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from verify.lint.op_support import Rule
from verify.tflite.graph import Graph, Op, Tensor

_CONVOLUTIONS = ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED")
_POOLS = ("AVERAGE_POOL_2D", "MAX_POOL_2D")
_REDUCTIONS = ("SUM", "MEAN", "REDUCE_MAX", "REDUCE_MIN", "REDUCE_PROD")
_LOWEST = -3.0e38  # a max pool pads with the lowest float, so a pad at or below this is what it would do itself


@dataclass(frozen=True)
class Hit:
    """One find: the sentence, and the tensors it is about."""

    message: str
    tensors: tuple[int, ...] = ()


OpCheck = Callable[[Graph, Op, Rule], Iterator[Hit]]
GraphCheck = Callable[[Graph, Rule], Iterator[Hit]]


def _shape(graph: Graph, tensor: int) -> list[int]:
    return list(graph.tensors[tensor].shape)


def _only_consumer(graph: Graph, tensor: int) -> Op | None:
    readers = graph.consumers(tensor)
    return readers[0] if len(readers) == 1 else None


def _constant_operand(graph: Graph, op: Op) -> tuple[Tensor, Tensor] | None:
    """(runtime tensor, constant's own tensor) of a binary operator with one constant."""
    if len(op.inputs) != 2:
        return None
    for runtime, constant in (op.inputs, op.inputs[::-1]):
        if graph.is_runtime(runtime) and not graph.is_runtime(constant) and constant >= 0:
            return graph.tensors[runtime], graph.tensors[constant]
    return None


def _both_runtime(graph: Graph, op: Op) -> bool:
    return len(op.inputs) == 2 and all(graph.is_runtime(t) for t in op.inputs)


def _pad_value(graph: Graph, op: Op) -> float:
    values = graph.tensors[op.inputs[2]].values() if op.name == "PADV2" else None
    return float(values.ravel()[0]) if values is not None and values.size else 0.0


def listed_op(graph: Graph, op: Op, rule: Rule) -> Iterator[Hit]:
    yield Hit(f"{op.name} is refused", op.outputs)


def composite(graph: Graph, op: Op, rule: Rule) -> Iterator[Hit]:
    if op.name.startswith("STABLEHLO_COMPOSITE:"):
        yield Hit(f"composite {op.name.partition(':')[2]} is refused or ends the process", op.outputs)


def gather_index(graph: Graph, op: Op, rule: Rule) -> Iterator[Hit]:
    if graph.tensors[op.inputs[1]].rank != 1 or op.options.get("batchDims"):
        yield Hit(
            f"indices of shape {_shape(graph, op.inputs[1])}, batch_dims {op.options.get('batchDims', 0)}", (op.inputs[1],)
        )


def rank_five(graph: Graph, op: Op, rule: Rule) -> Iterator[Hit]:
    high = [
        t for t in dict.fromkeys((*op.inputs, *op.outputs)) if t >= 0 and graph.tensors[t].rank > rule.parameters["max_rank"]
    ]
    if high:
        yield Hit(f"rank {graph.tensors[high[0]].rank}: {_shape(graph, high[0])}", tuple(high))


def int64(graph: Graph, op: Op, rule: Rule) -> Iterator[Hit]:
    wide = tuple(
        t for t in dict.fromkeys((*op.inputs, *op.outputs)) if graph.is_runtime(t) and graph.tensors[t].dtype == "int64"
    )
    if wide:
        yield Hit("int64 tensor", wide)


def pack_rank(graph: Graph, op: Op, rule: Rule) -> Iterator[Hit]:
    if graph.tensors[op.inputs[0]].rank > rule.parameters["max_rank"]:
        yield Hit(f"packs tensors of shape {_shape(graph, op.inputs[0])}", op.inputs[:1])


def strided_slice(graph: Graph, op: Op, rule: Rule) -> Iterator[Hit]:
    for field, name in (("shrinkAxisMask", "shrink_axis_mask"), ("newAxisMask", "new_axis_mask")):
        if op.options.get(field):
            yield Hit(f"{name} is set", op.outputs)
    strides = graph.tensors[op.input(3)].values() if op.input(3) >= 0 else None
    if strides is not None and (strides < 0).any():
        yield Hit(f"reversed slice, strides {strides.tolist()}", op.outputs)


def select_branch(graph: Graph, op: Op, rule: Rule) -> Iterator[Hit]:
    full = _shape(graph, op.outputs[0])
    for branch in op.inputs[1:]:
        tensor = graph.tensors[branch]
        if _shape(graph, branch) != full and not (tensor.size == 1 and not graph.is_runtime(branch)):
            yield Hit(f"branch {_shape(graph, branch)} is broadcast to {full}", (branch,))


def op_version(graph: Graph, op: Op, rule: Rule) -> Iterator[Hit]:
    if op.version > rule.parameters["max_version"]:
        yield Hit(f"version {op.version}, at most {rule.parameters['max_version']} is taken", op.outputs)


def same_input(graph: Graph, op: Op, rule: Rule) -> Iterator[Hit]:
    if len(op.inputs) == 2 and op.inputs[0] == op.inputs[1]:
        yield Hit("both inputs are the same tensor", op.inputs[:1])


def pad_rank(graph: Graph, op: Op, rule: Rule) -> Iterator[Hit]:
    if graph.tensors[op.inputs[0]].rank in (1, 2):
        yield Hit(f"pads a tensor of shape {_shape(graph, op.inputs[0])}", op.inputs[:1])


def mirror_pad(graph: Graph, op: Op, rule: Rule) -> Iterator[Hit]:
    if op.options.get("mode", 0) != 0:
        yield Hit(f"mode {op.options['mode']}", op.outputs)


def softmax_beta(graph: Graph, op: Op, rule: Rule) -> Iterator[Hit]:
    if op.options.get("beta", 1.0) != 1.0:
        yield Hit(f"beta {op.options['beta']:g}", op.outputs)


def add_n(graph: Graph, op: Op, rule: Rule) -> Iterator[Hit]:
    if len(op.inputs) != 2:
        yield Hit(f"{len(op.inputs)} inputs", op.outputs)


def matmul_constant_lhs(graph: Graph, op: Op, rule: Rule) -> Iterator[Hit]:
    if not graph.is_runtime(op.inputs[0]):
        yield Hit("the left operand is constant", op.inputs[:1])


def runtime_bias(graph: Graph, op: Op, rule: Rule) -> Iterator[Hit]:
    if graph.is_runtime(op.input(2)):
        yield Hit("the bias is computed at run time", (op.input(2),))


def embedding_runtime_table(graph: Graph, op: Op, rule: Rule) -> Iterator[Hit]:
    if graph.is_runtime(op.inputs[1]):
        yield Hit("the table is computed at run time", (op.inputs[1],))


def reshape_runtime_shape(graph: Graph, op: Op, rule: Rule) -> Iterator[Hit]:
    if graph.is_runtime(op.input(1)):
        yield Hit("the shape is computed at run time", (op.input(1),))


def dequantize_int8(graph: Graph, op: Op, rule: Rule) -> Iterator[Hit]:
    source = graph.tensors[op.inputs[0]]
    if (
        source.constant
        and source.dtype in ("int8", "uint8")
        and any(c.name == "FULLY_CONNECTED" for c in graph.consumers(op.outputs[0]))
    ):
        yield Hit(f"{source.dtype} weights are dequantised in front of a FULLY_CONNECTED", op.inputs[:1])


def constant_low_rank(graph: Graph, op: Op, rule: Rule) -> Iterator[Hit]:
    if (operands := _constant_operand(graph, op)) is None:
        return
    runtime, constant = operands
    if runtime.rank >= 4:
        return
    varies = constant.rank >= max(runtime.rank, 1) and constant.shape[0] > 1
    lifted = constant.rank > runtime.rank and runtime.rank > 0 and runtime.shape[0] > 1
    if varies or lifted:
        yield Hit(f"runtime {list(runtime.shape)} with constant {list(constant.shape)}", (runtime.index, constant.index))


def pad_rank_three(graph: Graph, op: Op, rule: Rule) -> Iterator[Hit]:
    tensor, amounts = graph.tensors[op.inputs[0]], graph.tensors[op.inputs[1]].values()
    if tensor.rank == 3 and (tensor.shape[0] > 1 or (amounts is not None and amounts[0].any())):
        yield Hit(f"pads {list(tensor.shape)} by {amounts.tolist() if amounts is not None else '?'}", op.inputs[:1])


def pad_into_pool(graph: Graph, op: Op, rule: Rule) -> Iterator[Hit]:
    value, reader = _pad_value(graph, op), _only_consumer(graph, op.outputs[0])
    if reader is None or op.outputs[0] in graph.outputs:
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
    reader = _only_consumer(graph, op.outputs[0])
    if reader is None or reader.name not in ("MAX_POOL_2D", "AVERAGE_POOL_2D") or op.outputs[0] in graph.outputs:
        return
    constants = [tensor for t in op.inputs if (tensor := graph.source(t)) is not None and tensor.values() is not None]
    if any(not np.any(tensor.values()) for tensor in constants):
        yield Hit(f"zeros are joined to what the {reader.name} after it reads", op.outputs)


def add_into_reduce(graph: Graph, op: Op, rule: Rule) -> Iterator[Hit]:
    maker = graph.producer(op.inputs[0])
    if maker is not None and maker.name == "ADD" and _both_runtime(graph, maker) and _only_consumer(graph, op.inputs[0]) is op:
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
    if max(width, height) > rule.parameters["limit"]:
        yield Hit(
            f"{list(left.shape)} times {list(right.shape)} needs a {width} x {height} texture, "
            f"the limit is {rule.parameters['limit']}",
            op.inputs,
        )


def grouped_conv(graph: Graph, op: Op, rule: Rule) -> Iterator[Hit]:
    channels, per_group = graph.tensors[op.inputs[0]].shape[-1], graph.tensors[op.inputs[1]].shape[-1]
    outputs = graph.tensors[op.inputs[1]].shape[0]
    depthwise = per_group == 1 and outputs == channels
    if per_group < channels and not depthwise and per_group % 4:
        yield Hit(f"{channels // per_group} groups of {per_group} channels", op.inputs[:1])


def runtime_weights_bias(graph: Graph, op: Op, rule: Rule) -> Iterator[Hit]:
    if graph.is_runtime(op.inputs[1]) and op.input(2) >= 0 and not graph.is_runtime(op.input(2)):
        yield Hit("weights computed at run time with a constant bias", op.inputs[1:3])


def softmax_rank_one(graph: Graph, op: Op, rule: Rule) -> Iterator[Hit]:
    if graph.tensors[op.inputs[0]].rank == 1:
        yield Hit(f"shape {_shape(graph, op.inputs[0])}", op.inputs[:1])


def pow_constant_base(graph: Graph, op: Op, rule: Rule) -> Iterator[Hit]:
    base = graph.source(op.inputs[0])
    values = base.values() if base is not None else None
    if values is not None and values.size == 1 and float(values.ravel()[0]) in rule.parameters["bases"]:
        yield Hit(f"constant base {values.ravel()[0]:g}", op.inputs[:1])


def pad_infinite(graph: Graph, op: Op, rule: Rule) -> Iterator[Hit]:
    pooled = (
        all(reader.name == "MAX_POOL_2D" for reader in graph.consumers(op.outputs[0])) and op.outputs[0] not in graph.outputs
    )
    if np.isinf(_pad_value(graph, op)) and not pooled:
        yield Hit("pads with infinity", op.outputs)


def output_and_reduced(graph: Graph, op: Op, rule: Rule) -> Iterator[Hit]:
    reader = _only_consumer(graph, op.outputs[0])
    if op.outputs[0] not in graph.outputs or reader is None or not _both_runtime(graph, op):
        return
    if reader.name in _REDUCTIONS:
        yield Hit(f"a sum is an output and is reduced by one {reader.name}", op.outputs)


def output_fused_forward(graph: Graph, op: Op, rule: Rule) -> Iterator[Hit]:
    reader = _only_consumer(graph, op.outputs[0])
    if op.outputs[0] not in graph.outputs or reader is None or _constant_operand(graph, op) is None:
        return
    if reader.name in _CONVOLUTIONS and reader.inputs[0] == op.outputs[0]:
        yield Hit(f"{op.name} with a constant is an output and is fused into one {reader.name}", op.outputs)


def output_fused_backward(graph: Graph, op: Op, rule: Rule) -> Iterator[Hit]:
    reader = _only_consumer(graph, op.outputs[0])
    if (
        op.outputs[0] in graph.outputs
        and reader is not None
        and reader.name in ("ADD", "MUL")
        and _constant_operand(graph, reader)
    ):
        yield Hit(f"{op.name} is an output and one {reader.name} with a constant is fused into it", op.outputs)


def input_is_output(graph: Graph, rule: Rule) -> Iterator[Hit]:
    for tensor in set(graph.inputs) & set(graph.outputs):
        yield Hit("a graph input is also a graph output", (tensor,))


def dynamic_shape(graph: Graph, rule: Rule) -> Iterator[Hit]:
    for tensor in graph.inputs:
        if graph.tensors[tensor].dynamic:
            yield Hit(f"input {_shape(graph, tensor)} has an open dimension", (tensor,))


def token_fan_out(graph: Graph, rule: Rule) -> Iterator[Hit]:
    """A token tensor that is made in the graph and used more than once.

    Exactly: rank 3, ``[1, N, C]`` with N above 1, made by an operator, with two uses or more. A use is an operator that reads
    it (once, however often it names it), or its being an output. The smallest graphs, each of two or three operators::

        wrong   x -> MUL -> t;  t -> SIN -> y;                outputs y, t      an output that is read
        wrong   x -> MUL -> t;  t -> SIN -> y;  t -> COS -> z; outputs y, z     two readers
        right   x -> MUL -> t;                                outputs t         a leaf
        right   x -> MUL -> t;  t -> SIN -> y;                outputs y         one reader
        right   x -> SIN -> y;  x -> COS -> z;                outputs y, z      an input, or a constant, fans out
        right   the first two with t of shape [1, H, W, C]

    The first is what was seen to fail; the second is what its finders name with it. The table has the evidence.
    """
    for op in graph.ops:
        for index in op.outputs:
            tensor, readers, is_output = graph.tensors[index], len(graph.consumers(index)), index in graph.outputs
            tokens = graph.is_runtime(index) and tensor.rank == 3 and tensor.shape[0] == 1 and tensor.shape[1] > 1
            if not tokens or readers + is_output < 2:
                continue
            uses = "is an output and " if is_output else ""
            yield Hit(f"token tensor {list(tensor.shape)} {uses}is read by {readers} operator{'s' * (readers > 1)}", (index,))


def unmeasured_op(graph: Graph, rule: Rule) -> Iterator[Hit]:
    known = rule.parameters["known"]
    for name, count in graph.op_counts().items():
        if name not in known and not name.startswith("STABLEHLO_COMPOSITE:"):
            yield Hit(f"{name} ({count} uses) is on no list")


OP_CHECKS: Mapping[str, OpCheck] = {
    check.__name__: check
    for check in (
        listed_op,
        composite,
        gather_index,
        rank_five,
        int64,
        pack_rank,
        strided_slice,
        select_branch,
        op_version,
        same_input,
        pad_rank,
        mirror_pad,
        softmax_beta,
        add_n,
        matmul_constant_lhs,
        runtime_bias,
        embedding_runtime_table,
        reshape_runtime_shape,
        dequantize_int8,
        constant_low_rank,
        pad_rank_three,
        pad_into_pool,
        zeros_into_pool,
        add_into_reduce,
        matmul_broadcast_batch,
        matmul_texture_limit,
        grouped_conv,
        runtime_weights_bias,
        softmax_rank_one,
        pow_constant_base,
        pad_infinite,
        output_and_reduced,
        output_fused_forward,
        output_fused_backward,
    )
}
GRAPH_CHECKS: Mapping[str, GraphCheck] = {
    check.__name__: check for check in (input_is_output, dynamic_shape, token_fan_out, unmeasured_op)
}
