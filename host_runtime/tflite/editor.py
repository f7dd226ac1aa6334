"""Edits a .tflite file through the schema's object API."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema
from numpy.typing import NDArray

from detr2litert.host_runtime.tflite.container import builtin, operator_code, pack_model, parse_model, text
from detr2litert.host_runtime.tflite.graph import Graph, graph_of


class FlatbufferEditor:
    """An editor of a model's first subgraph.

    Attributes:
        model: the schema's ``ModelT``.
        subgraph: its first ``SubGraphT``.
    """

    def __init__(self, path: Path) -> None:
        self.model: Any = parse_model(path.read_bytes())
        self.subgraph: Any = self.model.subgraphs[0]

    def save(self, path: Path) -> None:
        """Writes the model."""
        path.write_bytes(pack_model(self.model))

    def graph(self) -> Graph:
        """Returns a typed view of the subgraph as it is now."""
        return graph_of(self.model)

    def opcode(self, operator: Any) -> int:
        """Returns the ``BuiltinOperator`` of an operator."""
        return builtin(self.model.operatorCodes[operator.opcodeIndex])

    def name(self, tensor: int) -> str:
        """Returns the name of a tensor."""
        return text(self.subgraph.tensors[tensor].name)

    def shape(self, tensor: int) -> list[int]:
        """Returns the static shape of a tensor."""
        shape = self.subgraph.tensors[tensor].shape
        return [] if shape is None else [int(s) for s in shape]

    def consumers(self, tensor: int) -> list[Any]:
        """Returns the operators that read a tensor."""
        return [op for op in self.subgraph.operators if tensor in list(op.inputs)]

    def producer(self, tensor: int) -> Any | None:
        """Returns the operator that writes a tensor, or None for an input or a constant."""
        return next((op for op in self.subgraph.operators if tensor in list(op.outputs)), None)

    def add_tensor(self, like: int, shape: Sequence[int], name: str) -> int:
        """Adds a runtime tensor of another's type; returns its index."""
        tensor = schema.TensorT()
        tensor.name = name
        tensor.type = self.subgraph.tensors[like].type
        tensor.shape = np.asarray(shape, np.int32)
        tensor.buffer = 0
        self.subgraph.tensors.append(tensor)
        return len(self.subgraph.tensors) - 1

    def add_constant(self, value: NDArray[Any], name: str) -> int:
        """Adds an int32 or float32 constant; returns its index."""
        buffer = schema.BufferT()
        buffer.data = np.frombuffer(value.tobytes(), np.uint8)
        self.model.buffers.append(buffer)
        tensor = schema.TensorT()
        tensor.name = name
        tensor.type = schema.TensorType.INT32 if value.dtype == np.int32 else schema.TensorType.FLOAT32
        tensor.shape = np.asarray(value.shape, np.int32)
        tensor.buffer = len(self.model.buffers) - 1
        self.subgraph.tensors.append(tensor)
        return len(self.subgraph.tensors) - 1

    def insert_reshape(self, source: int, target: int, before: Any | None = None, after: Any | None = None) -> None:
        """Inserts a RESHAPE from one tensor to another, next to an operator."""
        new_shape = np.asarray(self.shape(target), np.int32)
        shape = self.add_constant(new_shape, self.name(target) + "_shape")
        options = schema.ReshapeOptionsT()
        options.newShape = new_shape
        operators = self.subgraph.operators
        at = operators.index(before) if before is not None else operators.index(after) + 1
        self.insert_operator(at, schema.BuiltinOperator.RESHAPE, [source, shape], target, options)

    def insert_operator(self, at: int, code: int, inputs: Sequence[int], output: int, options: Any) -> None:
        """Inserts an operator at a position in execution order.

        Args:
            at: the position.
            code: the ``BuiltinOperator``.
            inputs, output: tensor indices.
            options: its options table, ``schema.…OptionsT``.
        """
        operator = schema.OperatorT()
        operator.opcodeIndex = self._opcode_index(code)
        operator.inputs = np.asarray(inputs, np.int32)
        operator.outputs = np.asarray([output], np.int32)
        operator.builtinOptionsType = getattr(schema.BuiltinOptions, type(options).__name__.removesuffix("T"))
        operator.builtinOptions = options
        self.subgraph.operators.insert(at, operator)

    def _opcode_index(self, operator: int) -> int:
        for index, code in enumerate(self.model.operatorCodes):
            if builtin(code) == operator:
                return index
        self.model.operatorCodes.append(operator_code(operator))
        return len(self.model.operatorCodes) - 1
