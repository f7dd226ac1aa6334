"""Checks for operators that the delegate does not accept: the compilation fails, and its log names them."""

from __future__ import annotations

from collections.abc import Iterator

from detr2litert.graphs.delegate import MAX_RANK
from detr2litert.host_runtime.tflite.graph import Graph, Op
from detr2litert.verify.lint.op_support import Rule
from detr2litert.verify.lint.rules.find import Hit, quantised_rows, shape_of


def listed_op(graph: Graph, op: Op, rule: Rule) -> Iterator[Hit]:
    yield Hit(f"{op.name} is {'computed wrong' if rule.severity == 'wrong' else 'refused'}", op.outputs)


def gather_index(graph: Graph, op: Op, rule: Rule) -> Iterator[Hit]:
    if graph.tensors[op.inputs[1]].rank != 1 or op.options.get("batchDims"):
        yield Hit(
            f"indices of shape {shape_of(graph, op.inputs[1])}, batch_dims {op.options.get('batchDims', 0)}", (op.inputs[1],)
        )


def constant_gather(graph: Graph, op: Op, rule: Rule) -> Iterator[Hit]:
    if not graph.is_runtime(op.inputs[1]):
        yield Hit(f"{shape_of(graph, op.inputs[1])} constant indices", op.outputs)


def rank_five(graph: Graph, op: Op, rule: Rule) -> Iterator[Hit]:
    high = [t for t in dict.fromkeys((*op.inputs, *op.outputs)) if t >= 0 and graph.tensors[t].rank > MAX_RANK]
    if high:
        yield Hit(f"rank {graph.tensors[high[0]].rank}: {shape_of(graph, high[0])}", tuple(high))


def int64(graph: Graph, op: Op, rule: Rule) -> Iterator[Hit]:
    wide = tuple(
        t
        for t in dict.fromkeys((*op.inputs, *op.outputs))
        if t >= 0 and graph.tensors[t].dtype == "int64" and graph.is_runtime(t)
    )
    if wide:
        yield Hit("int64 tensor", wide)


def pack_rank(graph: Graph, op: Op, rule: Rule) -> Iterator[Hit]:
    if graph.tensors[op.inputs[0]].rank >= MAX_RANK:
        yield Hit(f"packs tensors of shape {shape_of(graph, op.inputs[0])}", op.inputs[:1])


def strided_slice(graph: Graph, op: Op, rule: Rule) -> Iterator[Hit]:
    for field, name in (("shrinkAxisMask", "shrink_axis_mask"), ("newAxisMask", "new_axis_mask")):
        if op.options.get(field):
            yield Hit(f"{name} is set", op.outputs)
    strides = graph.tensors[op.input(3)].values() if op.input(3) >= 0 else None
    if strides is not None and (strides < 0).any():
        yield Hit(f"reversed slice, strides {strides.tolist()}", op.outputs)


def select_branch(graph: Graph, op: Op, rule: Rule) -> Iterator[Hit]:
    full = shape_of(graph, op.outputs[0])
    for branch in op.inputs[1:]:
        tensor = graph.tensors[branch]
        if shape_of(graph, branch) != full and not (tensor.size == 1 and not graph.is_runtime(branch)):
            yield Hit(f"branch {shape_of(graph, branch)} is broadcast to {full}", (branch,))


def op_version(graph: Graph, op: Op, rule: Rule) -> Iterator[Hit]:
    if op.version > rule.parameters["max_version"]:
        yield Hit(f"version {op.version}, at most {rule.parameters['max_version']} is accepted", op.outputs)


def pad_rank(graph: Graph, op: Op, rule: Rule) -> Iterator[Hit]:
    if graph.tensors[op.inputs[0]].rank in (1, 2):
        yield Hit(f"pads a tensor of shape {shape_of(graph, op.inputs[0])}", op.inputs[:1])


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


def reshape_runtime_shape(graph: Graph, op: Op, rule: Rule) -> Iterator[Hit]:
    if graph.is_runtime(op.input(1)):
        yield Hit("the shape is computed at run time", (op.input(1),))


def dequantize_int8(graph: Graph, op: Op, rule: Rule) -> Iterator[Hit]:
    source = graph.tensors[op.inputs[0]]
    if (
        source.constant
        and source.dtype in ("int8", "uint8", "int4")
        and any(c.name == "FULLY_CONNECTED" for c in graph.consumers(op.outputs[0]))
    ):
        yield Hit(f"{source.dtype} weights are dequantised before a FULLY_CONNECTED", op.inputs[:1])


def int16(graph: Graph, op: Op, rule: Rule) -> Iterator[Hit]:
    wide = [t for t in dict.fromkeys((*op.inputs, *op.outputs)) if t >= 0 and graph.tensors[t].dtype == "int16"]
    if op.name in ("ADD", "MUL"):  # of two runtime tensors alone, they are not what is refused
        wide = [t for t in wide if graph.tensors[t].constant]
    if wide:
        yield Hit(f"{'constant' if graph.tensors[wide[0]].constant else 'activations'} of int16", tuple(wide))


def quantised_dense_rows_of_one(graph: Graph, op: Op, rule: Rule) -> Iterator[Hit]:
    batch, rows = quantised_rows(graph, op)
    if batch == 1 and rows > rule.parameters["rows"]:
        yield Hit(f"int8 weights on {shape_of(graph, op.inputs[0])}, whose {rows} rows become one axis", op.inputs[:2])


def missing_bias(graph: Graph, op: Op, rule: Rule) -> Iterator[Hit]:
    if op.input(2) < 0:
        yield Hit("no bias", op.outputs)


def integer_cumsum(graph: Graph, op: Op, rule: Rule) -> Iterator[Hit]:
    dtype = graph.tensors[op.inputs[0]].dtype
    if not dtype.startswith("float"):
        yield Hit(f"adds up {dtype}", op.inputs[:1])


def constant_start(graph: Graph, op: Op, rule: Rule) -> Iterator[Hit]:
    if not graph.is_runtime(op.inputs[2]):
        yield Hit("the start indices are constant", (op.inputs[2],))


def transpose_rank(graph: Graph, op: Op, rule: Rule) -> Iterator[Hit]:
    if graph.tensors[op.inputs[0]].rank == 1:
        yield Hit(f"transposes a tensor of shape {shape_of(graph, op.inputs[0])}", op.inputs[:1])


def identity_slice(graph: Graph, op: Op, rule: Rule) -> Iterator[Hit]:
    whole = shape_of(graph, op.inputs[0]) == shape_of(graph, op.outputs[0])
    if whole and graph.read_together(op.inputs[0], op.outputs[0]):
        yield Hit("a slice that takes everything, whose reader also reads the tensor itself", (op.inputs[0], *op.outputs))


def select_condition(graph: Graph, op: Op, rule: Rule) -> Iterator[Hit]:
    """A condition whose first dimension is taken for the batch: refused for a batch of 1, computed wrong for a larger one."""
    condition, out = graph.tensors[op.inputs[0]], graph.tensors[op.outputs[0]]
    batch = bool(out.shape) and out.shape[0] > 1
    if 0 < condition.rank < out.rank and condition.shape[0] > 1 and batch == rule.parameters["batch"]:
        yield Hit(f"a condition {list(condition.shape)} for {list(out.shape)}", (condition.index, out.index))
