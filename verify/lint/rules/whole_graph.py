"""Checks of a graph as a whole."""

from __future__ import annotations

from collections.abc import Iterator

from detr2litert.graphs.delegate import CUSTOM_CODES
from detr2litert.host_runtime.tflite.graph import Graph
from detr2litert.verify.lint.op_support import Rule
from detr2litert.verify.lint.rules.find import Hit, shape_of


def dynamic_shape(graph: Graph, rule: Rule) -> Iterator[Hit]:
    for tensor in graph.inputs:
        if graph.tensors[tensor].dynamic:
            yield Hit(f"input {shape_of(graph, tensor)} has an open dimension", (tensor,))


def token_fan_out(graph: Graph, rule: Rule) -> Iterator[Hit]:
    """Finds token tensors that are computed in the graph and used more than once.

    Exactly: rank 3, ``[1, N, C]`` with N above 1, produced by an operator, with two or more uses. A use is an operator that
    reads it (counted once per operator), or being an output. The smallest graphs, each of two or three operators::

        wrong   x -> MUL -> t;  t -> SIN -> y;                outputs y, t      an output that is read
        wrong   x -> MUL -> t;  t -> SIN -> y;  t -> COS -> z; outputs y, z     two readers
        right   x -> MUL -> t;                                outputs t         a leaf
        right   x -> MUL -> t;  t -> SIN -> y;                outputs y         one reader
        right   x -> SIN -> y;  x -> COS -> z;                outputs y, z      an input, or a constant, fans out
        right   the first two with t of shape [1, H, W, C]

    The first was observed to fail; its reporters name the second as well. The table has the evidence.
    """
    for op in graph.ops:
        for index in op.outputs:
            tensor, readers, is_output = graph.tensors[index], len(graph.consumers(index)), graph.is_output(index)
            tokens = graph.is_runtime(index) and tensor.rank == 3 and tensor.shape[0] == 1 and tensor.shape[1] > 1
            if not tokens or readers + is_output < 2:
                continue
            uses = "is an output and " if is_output else ""
            yield Hit(f"token tensor {list(tensor.shape)} {uses}is read by {readers} operator{'s' * (readers > 1)}", (index,))


def unmeasured_op(graph: Graph, rule: Rule) -> Iterator[Hit]:
    known = rule.parameters["known"]
    first = {op.name: op for op in reversed(graph.ops)}
    for name, count in graph.op_counts().items():
        kind, _, code = name.partition(":")
        refused = kind == "STABLEHLO_COMPOSITE" or (kind == "CUSTOM" and code not in CUSTOM_CODES)  # by rules of their own
        if name not in known and not refused:
            yield Hit(f"{name} ({count} uses) is on no list", op=first[name])
