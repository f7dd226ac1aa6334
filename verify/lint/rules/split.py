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
_NOTHING = ("RESHAPE", "SLICE", "STRIDED_SLICE")
"""Operators that the delegate leaves out if they keep the shape."""
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
    carried, direct, moved = op.outputs[0], True, False
    while reader := _only_reader(graph, carried):
        if _changes_nothing(graph, reader):
            carried, moved = reader.outputs[0], True
            continue
        others = [t for t in reader.inputs if t != carried]
        siblings = [t for t in others if _behind(graph, t) in op.outputs]
        if siblings:
            if _fused(reader, carried, direct=direct, moved=moved or siblings[0] not in op.outputs):
                yield Hit(f"{reader.name} of the first part of a {op.name} with another of its parts", (carried, *siblings))
            return
        if reader.name not in (*_UNARY, *_FIRST_LEADS, "ADD", "MUL", "PRELU"):
            return
        if reader.name in _FIRST_LEADS and reader.inputs[0] != carried:
            return
        if any(graph.is_runtime(t) and _depends(graph, t, op) for t in others):
            return
        carried, direct = reader.outputs[0], False


def _only_reader(graph: Graph, tensor: int) -> Op | None:
    readers = graph.consumers(tensor)
    return readers[0] if len(readers) == 1 and tensor not in graph.outputs else None


def _changes_nothing(graph: Graph, op: Op) -> bool:
    """True for an operator that the delegate leaves out, after it has merged sums with the SPLIT and before it fuses."""
    return op.name in _NOTHING and graph.tensors[op.inputs[0]].shape == graph.tensors[op.outputs[0]].shape


def _behind(graph: Graph, tensor: int) -> int:
    """Returns the tensor that a chain of operators without an effect begins with."""
    while (maker := graph.producer(tensor)) is not None and _changes_nothing(graph, maker):
        tensor = maker.inputs[0]
    return tensor


def _fused(reader: Op, carried: int, *, direct: bool, moved: bool) -> bool:
    """Whether an operator of two parts is fused into the place of the first.

    Args:
        reader: the operator.
        carried: what it reads in the first part's place.
        direct: nothing is computed between the parts and it.
        moved: a reshape or slice without an effect lies between.
    """
    if reader.name == "ADD":
        return not direct or (moved and reader.inputs[1] == carried)
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
