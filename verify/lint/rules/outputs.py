"""Checks for fusions that lose a graph output (LiteRT #8599 and its family)."""

from __future__ import annotations

from collections.abc import Iterator

from detr2litert.host_runtime.tflite.graph import Graph, Op
from detr2litert.verify.lint.op_support import Rule
from detr2litert.verify.lint.rules.find import Hit, both_runtime, constant_operand, only_consumer, shape_of

_CONVOLUTIONS = ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED")
_POOLS = ("AVERAGE_POOL_2D", "MAX_POOL_2D")
_REDUCTIONS = ("SUM", "MEAN", "REDUCE_MAX", "REDUCE_MIN", "REDUCE_PROD")


def output_and_reduced(graph: Graph, op: Op, rule: Rule) -> Iterator[Hit]:
    reader = only_consumer(graph, op.outputs[0])
    if not graph.is_output(op.outputs[0]) or reader is None or not both_runtime(graph, op):
        return
    if reader.name in _REDUCTIONS:
        yield Hit(f"a sum is an output and is reduced by one {reader.name}", op.outputs)


def output_fused_forward(graph: Graph, op: Op, rule: Rule) -> Iterator[Hit]:
    reader = only_consumer(graph, op.outputs[0])
    if not graph.is_output(op.outputs[0]) or reader is None or constant_operand(graph, op) is None:
        return
    if reader.name in _CONVOLUTIONS and reader.inputs[0] == op.outputs[0]:
        yield Hit(f"{op.name} with a constant is an output and is fused into one {reader.name}", op.outputs)


def output_fused_backward(graph: Graph, op: Op, rule: Rule) -> Iterator[Hit]:
    reader = only_consumer(graph, op.outputs[0])
    if (
        graph.is_output(op.outputs[0])
        and reader is not None
        and reader.name in ("ADD", "MUL")
        and constant_operand(graph, reader)
    ):
        yield Hit(f"{op.name} is an output and one {reader.name} with a constant is fused into it", op.outputs)


def output_pad(graph: Graph, op: Op, rule: Rule) -> Iterator[Hit]:
    reader = only_consumer(graph, op.outputs[0])
    amounts = graph.tensors[op.inputs[1]].values()
    if not graph.is_output(op.outputs[0]) or reader is None or amounts is None or amounts.ravel()[-2:].any():
        return
    if reader.name in (*_CONVOLUTIONS, *_POOLS) and reader.inputs[0] == op.outputs[0]:
        yield Hit(f"a pad is an output and is fused into one {reader.name}", op.outputs)


def output_whole_slice(graph: Graph, op: Op, rule: Rule) -> Iterator[Hit]:
    """A slice of everything is left out, and its output takes the place of its input: two outputs become one, parts move."""
    source, made = op.inputs[0], op.outputs[0]
    read = bool(graph.consumers(made))
    if (read and not graph.is_output(made)) or shape_of(graph, source) != shape_of(graph, made):
        return
    maker = graph.producer(source)
    if graph.is_output(source):
        yield Hit("a slice that takes everything of another output", (source, made))
    elif maker is not None and maker.name in ("SPLIT", "SPLIT_V") and source != maker.outputs[-1]:
        yield Hit(f"a slice that takes everything of a {maker.name}'s part, not the last", (source, made))


def input_is_output(graph: Graph, rule: Rule) -> Iterator[Hit]:
    for tensor in set(graph.inputs) & set(graph.outputs):
        yield Hit("a graph input is also a graph output", (tensor,))
