"""What ends the process that compiles it, on some or all of its forms."""

from __future__ import annotations

from collections.abc import Iterator

from verify.lint.op_support import Rule
from verify.lint.rules.find import Hit
from verify.tflite.graph import Graph, Op


def composite(graph: Graph, op: Op, rule: Rule) -> Iterator[Hit]:
    if op.name.startswith("STABLEHLO_COMPOSITE:"):
        yield Hit(f"composite {op.name.partition(':')[2]} is refused or ends the process", op.outputs)


def same_input(graph: Graph, op: Op, rule: Rule) -> Iterator[Hit]:
    if len(op.inputs) == 2 and op.inputs[0] == op.inputs[1]:
        yield Hit("both inputs are the same tensor", op.inputs[:1])


def runtime_bias(graph: Graph, op: Op, rule: Rule) -> Iterator[Hit]:
    if graph.is_runtime(op.input(2)):
        yield Hit("the bias is computed at run time", (op.input(2),))


def embedding_runtime_table(graph: Graph, op: Op, rule: Rule) -> Iterator[Hit]:
    if graph.is_runtime(op.inputs[1]):
        yield Hit("the table is computed at run time", (op.inputs[1],))
