"""Checks for parts of a SPLIT that the delegate fuses with their reader before the other parts exist.

The delegate fuses an elementwise operator into the one that makes its input. A SPLIT has several outputs: the fused operator
then reads a part that is not written yet. Measured for SPLIT and SPLIT_V of every axis; UNPACK and slices are not affected.
"""

from __future__ import annotations

from collections.abc import Iterator

from detr2litert.host_runtime.tflite.graph import Graph, Op
from detr2litert.verify.lint.op_support import Rule
from detr2litert.verify.lint.rules.find import Hit

COMPARISONS = ("EQUAL", "NOT_EQUAL", "GREATER", "GREATER_EQUAL", "LESS", "LESS_EQUAL")
_FIRST_LEADS = (
    "SUB", "DIV", "MAXIMUM", "MINIMUM", "POW", "SQUARED_DIFFERENCE", "FLOOR_DIV", "FLOOR_MOD", "ATAN2", *COMPARISONS
)  # fmt: skip
"""Operators of two inputs that are fused into the maker of the first."""
_UNARY = (
    "ABS", "CEIL", "COS", "ELU", "EXP", "FLOOR", "GELU", "HARD_SWISH", "LEAKY_RELU", "LOG", "LOGISTIC", "NEG", "RELU", "RELU6",
    "RELU_N1_TO_1", "ROUND", "RSQRT", "SIGN", "SIN", "SQRT", "SQUARE", "TANH",
)  # fmt: skip


def split_parts(graph: Graph, op: Op, rule: Rule) -> Iterator[Hit]:
    """Yields the operators that are fused into the SPLIT although they read another of its parts."""
    parts = [part for part in op.outputs if graph.consumers(part)]
    # ADD and CONCATENATION are merged with the SPLIT as a whole if nothing else reads any of its parts.
    readers = list({made.index: made for part in parts for made in graph.consumers(part)}.values())
    if len(readers) == 1 and readers[0].name in ("ADD", "CONCATENATION"):
        joined = readers[0]
        if len(set(joined.inputs)) > 1 and set(joined.inputs) <= set(op.outputs):
            message = f"{joined.name} of the parts of one {op.name}, which nothing else reads"
            yield Hit(message, (*joined.inputs, *joined.outputs))
            return
    # Anything else is fused into the place of the first part, and what reads its result after it.
    carried = op.outputs[0]
    while reader := _only_reader(graph, carried):
        others = [t for t in reader.inputs if t != carried]
        siblings = [t for t in others if t in op.outputs]
        if siblings:
            if _fused(reader, carried, siblings[0], direct=carried == op.outputs[0]):
                yield Hit(f"{reader.name} of the first part of a {op.name} with another of its parts", (carried, *siblings))
            return
        if reader.name not in (*_UNARY, *_FIRST_LEADS, "ADD", "MUL", "PRELU"):
            return
        if reader.name in _FIRST_LEADS and reader.inputs[0] != carried:
            return
        if any(graph.is_runtime(t) and _depends(graph, t, op) for t in others):
            return
        carried = reader.outputs[0]


def _only_reader(graph: Graph, tensor: int) -> Op | None:
    readers = graph.consumers(tensor)
    return readers[0] if len(readers) == 1 and tensor not in graph.outputs else None


def _fused(reader: Op, carried: int, sibling: int, *, direct: bool) -> bool:
    if reader.name == "ADD":
        return not direct
    if reader.name == "MUL":
        return not direct or reader.inputs[1] == carried
    return reader.name in _FIRST_LEADS and reader.inputs[0] == carried


def _depends(graph: Graph, tensor: int, op: Op) -> bool:
    """True if a tensor is computed from the operator's outputs."""
    seen, stack = set(), [tensor]
    while stack:
        maker = graph.producer(stack.pop())
        if maker is None or maker.index in seen or maker.index < op.index:
            continue
        if maker.index == op.index:
            return True
        seen.add(maker.index)
        stack.extend(maker.inputs)
    return False
