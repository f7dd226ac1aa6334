"""Shared by the checks: the type of a hit, and helpers for an operator's operands."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from detr2litert.host_runtime.tflite.graph import Graph, Op, Tensor
from detr2litert.verify.lint.op_support import Rule


@dataclass(frozen=True)
class Hit:
    """One hit of a check.

    Attributes:
        message: describes it.
        tensors: indices of the tensors involved.
        op: the operator involved, for a check of the whole graph; None for the producer of the first tensor.
    """

    message: str
    tensors: tuple[int, ...] = ()
    op: Op | None = None


OpCheck = Callable[[Graph, Op, Rule], Iterator[Hit]]
GraphCheck = Callable[[Graph, Rule], Iterator[Hit]]


def shape_of(graph: Graph, tensor: int) -> list[int]:
    return list(graph.tensors[tensor].shape)


def only_consumer(graph: Graph, tensor: int) -> Op | None:
    readers = graph.consumers(tensor)
    return readers[0] if len(readers) == 1 else None


def constant_operand(graph: Graph, op: Op) -> tuple[Tensor, Tensor] | None:
    """Returns (runtime tensor, constant's own tensor) of a binary operator with one constant."""
    if len(op.inputs) != 2:
        return None
    for runtime, constant in (op.inputs, op.inputs[::-1]):
        if graph.is_runtime(runtime) and not graph.is_runtime(constant) and constant >= 0:
            return graph.tensors[runtime], graph.tensors[constant]
    return None


def both_runtime(graph: Graph, op: Op) -> bool:
    return len(op.inputs) == 2 and all(graph.is_runtime(t) for t in op.inputs)


def pad_value(graph: Graph, op: Op) -> float:
    values = graph.tensors[op.inputs[2]].values() if op.name == "PADV2" else None
    return float(values.ravel()[0]) if values is not None and values.size else 0.0


def quantised_rows(graph: Graph, op: Op) -> tuple[int, int]:
    """Returns (batch, rows of each) of an int8 linear layer whose rows all become one axis; (1, 1) for any other layer."""
    x, weights = (graph.tensors[t] for t in op.inputs[:2])
    if weights.dtype != "int8" or x.dtype != "float32" or x.rank < 3 or op.options.get("keepNumDims"):
        return 1, 1
    return x.shape[0], math.prod(x.shape[1:-1])


def pads_nothing(graph: Graph, op: Op) -> bool:
    """True for a pad whose amounts are known and all zero."""
    amounts = graph.tensors[op.inputs[1]].values()
    return amounts is not None and not amounts.any()
