"""Counts a .tflite graph's operators, arithmetic and memory, by the PyTorch module that each operator came from.

- Operators: all but a DEQUANTIZE of a constant, which the delegate folds into the weight when it compiles.
- MACs: multiply-accumulates of matrix products and convolutions, each output element times the length of its sum. Every other
  operator counts as none.
- Weights: bytes of the constants in the file, each once, with the first operator that reads it.
- Written: bytes of the tensors that the operators write, at the file's types; a delegate that fuses operators writes less, and
  one that computes in fp16 half.

A dynamic dimension counts as the file states it, usually 1.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np

from detr2litert.host_runtime.tflite.graph import Graph, Op, Tensor
from detr2litert.verify.parity.origins import GraphOrigins

UNNAMED = "(unnamed)"
"""Module of the operators whose tensors name none: outputs, which have the signature's names, and files of other converters."""
_ROOT = "(root)"
_LAYER = re.compile(r".*?\.\d+(?=\.|$)")
_NO_NUMPY_TYPE = {"int4": 0.5, "bfloat16": 2.0}
"""Bytes of an element of a type that NumPy lacks."""


@dataclass(frozen=True)
class Cost:
    """The cost of some operators; see the module's docstring.

    Attributes:
        operators: their number.
        macs: multiply-accumulates.
        weight_bytes: of constants.
        written_bytes: of the tensors written.
    """

    operators: int = 0
    macs: int = 0
    weight_bytes: int = 0
    written_bytes: int = 0

    def __add__(self, other: Cost) -> Cost:
        return Cost(
            self.operators + other.operators,
            self.macs + other.macs,
            self.weight_bytes + other.weight_bytes,
            self.written_bytes + other.written_bytes,
        )


@dataclass(frozen=True)
class GraphCost:
    """The cost of a graph.

    Attributes:
        modules: module to its own cost, without its submodules', in the order of execution.
        dequantized: DEQUANTIZE operators of constants, which are not among the operators.
        opaque: operators whose MACs the file does not show, by name: custom operators, composites and control flow.
    """

    modules: Mapping[str, Cost]
    dequantized: int = 0
    opaque: Mapping[str, int] = field(default_factory=dict)

    @property
    def total(self) -> Cost:
        return sum(self.modules.values(), Cost())

    def by_layer(self) -> dict[str, Cost]:
        """Returns the modules with those inside a numbered one (``decoder.layers.0.self_attn``) added to that."""
        found: dict[str, Cost] = {}
        for module, cost in self.modules.items():
            layer = _LAYER.match(module)
            name = layer[0] if layer else module
            found[name] = found.get(name, Cost()) + cost
        return found


def cost_of(graph: Graph) -> GraphCost:
    """Counts the cost of every operator of a graph."""
    modules: dict[str, Cost] = {}
    opaque: dict[str, int] = {}
    read: set[int] = set()
    dequantized = 0
    origins = GraphOrigins.of(graph)
    for op in graph.ops:
        if op.name == "DEQUANTIZE" and not graph.is_runtime(op.inputs[0]):
            dequantized += 1
            continue
        macs = _MACS.get(op.name)
        if op.name.startswith(_OPAQUE):
            opaque[op.name] = opaque.get(op.name, 0) + 1
        cost = Cost(
            operators=1,
            macs=macs(graph, op) if macs else 0,
            weight_bytes=_unread(graph, op, read),
            written_bytes=sum(_bytes(graph.tensors[tensor]) for tensor in op.outputs),
        )
        origin = origins.operators.get(op.index)
        module = UNNAMED if origin is None else origin.module or _ROOT
        modules[module] = modules.get(module, Cost()) + cost
    return GraphCost(modules, dequantized, opaque)


def _unread(graph: Graph, op: Op, read: set[int]) -> int:
    """Returns the bytes of an operator's constants that no operator before it reads, and adds them to ``read``."""
    count = 0
    for tensor in op.inputs:
        source = graph.source(tensor)
        if source is not None and source.data is not None:
            # Tensors may share one buffer of the file.
            place = source.data.__array_interface__["data"][0]
            count += 0 if place in read else source.data.nbytes
            read.add(place)
    return count


def _bytes(tensor: Tensor) -> int:
    try:
        size = float(np.dtype(tensor.dtype).itemsize)
    except TypeError:
        size = _NO_NUMPY_TYPE.get(tensor.dtype, 0.0)
    return int(tensor.size * size)


def _convolution(graph: Graph, op: Op) -> int:
    """Each output element sums a filter: weights [O, …, I], of which I is the channels of one group."""
    return _output(graph, op).size * int(np.prod(graph.tensors[op.inputs[1]].shape[1:], dtype=np.int64))


def _depthwise(graph: Graph, op: Op) -> int:
    """Each output element sums one channel's filter: weights [1, height, width, C]."""
    return _output(graph, op).size * int(np.prod(graph.tensors[op.inputs[1]].shape[1:3], dtype=np.int64))


def _convolution_3d(graph: Graph, op: Op) -> int:
    """Each output element sums a filter: weights [depth, height, width, I, O]."""
    return _output(graph, op).size * int(np.prod(graph.tensors[op.inputs[1]].shape[:4], dtype=np.int64))


def _transposed(graph: Graph, op: Op) -> int:
    """Each input element is multiplied with a filter: inputs are the shape, weights [O, height, width, I], and the map."""
    weights, x = (graph.tensors[op.inputs[position]] for position in (1, 2))
    return x.size * int(np.prod(weights.shape[:3], dtype=np.int64))


def _linear(graph: Graph, op: Op) -> int:
    """Each output element sums a row of the weights [O, I]."""
    return _output(graph, op).size * graph.tensors[op.inputs[1]].shape[-1]


def _matmul(graph: Graph, op: Op) -> int:
    """Each output element sums the first operand's last axis, or its last but one where it is transposed."""
    return _output(graph, op).size * graph.tensors[op.inputs[0]].shape[-2 if op.options.get("adjX") else -1]


def _output(graph: Graph, op: Op) -> Tensor:
    return graph.tensors[op.outputs[0]]


_MACS: Mapping[str, Callable[[Graph, Op], int]] = {
    "CONV_2D": _convolution,
    "DEPTHWISE_CONV_2D": _depthwise,
    "CONV_3D": _convolution_3d,
    "TRANSPOSE_CONV": _transposed,
    "FULLY_CONNECTED": _linear,
    "BATCH_MATMUL": _matmul,
}
_OPAQUE = ("CUSTOM", "STABLEHLO_", "WHILE", "IF", "CALL", "UNIDIRECTIONAL_", "BIDIRECTIONAL_", "LSTM", "RNN", "SVDF")
