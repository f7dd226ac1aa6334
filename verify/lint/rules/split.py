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


_LONGEST, _MOST = 64, 256
"""Operators in a row that are followed (the longest measured has three), and operators that are searched for a dependency.

A graph may have as many SPLITs as operators that each of them would have to look at.
"""


def split_parts(graph: Graph, op: Op, rule: Rule) -> Iterator[Hit]:
    """Yields the operators that are fused into the SPLIT although they read another of its parts."""
    own = frozenset(op.outputs)
    parts = [part for part in op.outputs if graph.consumers(part)]
    # ADD and CONCATENATION are merged with the SPLIT as a whole if nothing else reads any of its parts.
    readers = {reader.index: reader for part in parts for reader in graph.consumers(part)}
    joined = next(iter(readers.values())) if len(readers) == 1 else None
    merged = joined is not None and joined.name in ("ADD", "CONCATENATION") and all(t in own for t in joined.inputs)
    if joined is not None and merged and len(set(joined.inputs)) > 1:
        message = f"{joined.name} of the parts of one {op.name}, which nothing else reads"
        yield Hit(message, (*joined.inputs, *joined.outputs))
        return
    # Anything else is fused into the place of the first part, and what reads its result after it.
    carried, direct, moved = op.outputs[0], True, False
    independent: set[int] = set()
    for _ in range(_LONGEST):
        reader = _only_reader(graph, carried)
        if reader is None:
            return
        if _changes_nothing(graph, reader):
            carried, moved = reader.outputs[0], True
            continue
        if reader.name not in (*_UNARY, *_FIRST_LEADS, "ADD", "MUL", "PRELU"):
            return
        others = [t for t in reader.inputs if t != carried]
        siblings = [t for t in others if _behind(graph, t) in own]
        if siblings:
            if _fused(reader, carried, direct=direct, moved=moved or siblings[0] not in own):
                yield Hit(f"{reader.name} of the first part of a {op.name} with another of its parts", (carried, *siblings))
            return
        if reader.name in _FIRST_LEADS and reader.inputs[0] != carried:
            return
        if any(graph.is_runtime(t) and _depends(graph, t, op, independent) for t in others):
            return
        carried, direct = reader.outputs[0], False


def _only_reader(graph: Graph, tensor: int) -> Op | None:
    readers = graph.consumers(tensor)
    return readers[0] if len(readers) == 1 and not graph.is_output(tensor) else None


def _changes_nothing(graph: Graph, op: Op) -> bool:
    """True for an operator that the delegate leaves out, after it has merged sums with the SPLIT and before it fuses."""
    return op.name in _NOTHING and graph.tensors[op.inputs[0]].shape == graph.tensors[op.outputs[0]].shape


def _behind(graph: Graph, tensor: int) -> int:
    """Returns the tensor that a chain of operators without an effect begins with."""
    for _ in range(_LONGEST):
        maker = graph.producer(tensor)
        if maker is None or not _changes_nothing(graph, maker):
            break
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


def _depends(graph: Graph, tensor: int, op: Op, independent: set[int]) -> bool:
    """Returns whether a tensor is computed from the operator's outputs, True where that takes too long.

    Adds the operators that are not to ``independent``.
    """
    stack = [tensor]
    while stack:
        maker = graph.producer(stack.pop())
        if maker is None or maker.index in independent or maker.index < op.index:
            continue
        if maker.index == op.index:
            return True
        independent.add(maker.index)
        if len(independent) > _MOST:
            return True
        stack.extend(maker.inputs)
    return False
