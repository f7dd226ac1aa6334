"""Checks for patterns that, in some or all forms, end the process that compiles them."""

from __future__ import annotations

from collections.abc import Iterator

from detr2litert.host_runtime.tflite.graph import Graph, Op
from detr2litert.verify.lint.op_support import Rule
from detr2litert.verify.lint.rules.find import Hit, pads_nothing


def composite(graph: Graph, op: Op, rule: Rule) -> Iterator[Hit]:
    if op.name.startswith("STABLEHLO_COMPOSITE:"):
        yield Hit(f"composite {op.name.partition(':')[2]} is refused or ends the process", op.outputs)


def same_input(graph: Graph, op: Op, rule: Rule) -> Iterator[Hit]:
    if len(op.inputs) == 2 and op.inputs[0] == op.inputs[1]:
        yield Hit("both inputs are the same tensor", op.inputs[:1])


def identity_pad(graph: Graph, op: Op, rule: Rule) -> Iterator[Hit]:
    if pads_nothing(graph, op) and graph.read_together(op.inputs[0], op.outputs[0]):
        yield Hit("a pad by nothing, whose reader also reads the unpadded tensor", (op.inputs[0], *op.outputs))


def runtime_bias(graph: Graph, op: Op, rule: Rule) -> Iterator[Hit]:
    if graph.is_runtime(op.input(2)):
        yield Hit("the bias is computed at run time", (op.input(2),))


def embedding_runtime_table(graph: Graph, op: Op, rule: Rule) -> Iterator[Hit]:
    if graph.is_runtime(op.inputs[1]):
        yield Hit("the table is computed at run time", (op.inputs[1],))
