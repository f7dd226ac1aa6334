"""Read, change and write a .tflite file through the schema's object API."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema
from numpy.typing import NDArray

from detr2litert.host_runtime.tflite.container import builtin, operator_code, pack_model, parse_model, text


class FlatbufferEditor:
    """One model's first subgraph, open for changes.

    Attributes:
        model: the schema's ``ModelT``.
        subgraph: its first ``SubGraphT``.
    """

    def __init__(self, path: Path) -> None:
        self.model: Any = parse_model(path.read_bytes())
        self.subgraph: Any = self.model.subgraphs[0]

    def save(self, path: Path) -> None:
        """Write the model."""
        path.write_bytes(pack_model(self.model))

    def opcode(self, operator: Any) -> int:
        """The ``BuiltinOperator`` of an operator."""
        return builtin(self.model.operatorCodes[operator.opcodeIndex])

    def shape(self, tensor: int) -> list[int]:
        """Static shape of a tensor."""
        shape = self.subgraph.tensors[tensor].shape
        return [] if shape is None else [int(s) for s in shape]

    def is_constant(self, tensor: int) -> bool:
        """True if the file holds the tensor's data."""
        data = self.model.buffers[self.subgraph.tensors[tensor].buffer].data
        return data is not None and len(data) > 0

    def consumers(self, tensor: int) -> list[Any]:
        """Operators that read a tensor."""
        return [op for op in self.subgraph.operators if tensor in list(op.inputs)]

    def producer(self, tensor: int) -> Any | None:
        """The operator that writes a tensor, or None for an input or a constant."""
        return next((op for op in self.subgraph.operators if tensor in list(op.outputs)), None)

    def add_tensor(self, like: int, shape: Sequence[int], suffix: str) -> int:
        """A new runtime tensor of another's type and name, with another shape."""
        origin = self.subgraph.tensors[like]
        tensor = schema.TensorT()
        tensor.name = text(origin.name) + suffix
        tensor.type = origin.type
        tensor.shape = np.asarray(shape, np.int32)
        tensor.buffer = 0
        self.subgraph.tensors.append(tensor)
        return len(self.subgraph.tensors) - 1

    def add_constant(self, value: NDArray[Any], name: str) -> int:
        """A new int32 or float32 constant."""
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
        """A RESHAPE from one tensor to another, next to an operator."""
        shape = self.add_constant(np.asarray(self.shape(target), np.int32), text(self.subgraph.tensors[target].name) + "_shape")
        operator = schema.OperatorT()
        operator.opcodeIndex = self._opcode_index(schema.BuiltinOperator.RESHAPE)
        operator.inputs = np.asarray([source, shape], np.int32)
        operator.outputs = np.asarray([target], np.int32)
        operator.builtinOptionsType = schema.BuiltinOptions.ReshapeOptions
        operator.builtinOptions = schema.ReshapeOptionsT()
        operator.builtinOptions.newShape = np.asarray(self.shape(target), np.int32)
        operators = self.subgraph.operators
        at = operators.index(before) if before is not None else operators.index(after) + 1
        operators.insert(at, operator)

    def _opcode_index(self, operator: int) -> int:
        for index, code in enumerate(self.model.operatorCodes):
            if builtin(code) == operator:
                return index
        self.model.operatorCodes.append(operator_code(operator))
        return len(self.model.operatorCodes) - 1
