"""Writes small .tflite models from a short list of operators.

Used for the models that ask a driver whether it works, and by the tests that hold every lint rule against the real
delegate. It writes what it is told: no shape inference, no validation, so that faulty models can be made as easily as good
ones.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema
from numpy.typing import NDArray

# Operators whose options table is not named after them.
_OPTIONS = {
    "CONV_2D": "Conv2DOptions",
    "DEPTHWISE_CONV_2D": "DepthwiseConv2DOptions",
    "AVERAGE_POOL_2D": "Pool2DOptions",
    "MAX_POOL_2D": "Pool2DOptions",
    "MAXIMUM": "MaximumMinimumOptions",
    "MINIMUM": "MaximumMinimumOptions",
    "SUM": "ReducerOptions",
    "MEAN": "ReducerOptions",
    "REDUCE_MAX": "ReducerOptions",
    "REDUCE_MIN": "ReducerOptions",
    "BATCH_MATMUL": "BatchMatMulOptions",
    "TOPK_V2": "TopKV2Options",
    "PADV2": "PadV2Options",
    "SELECT_V2": "SelectV2Options",
}


class ModelWriter:
    """Collects tensors and operators of one subgraph, then writes the file.

    Tensors are named by strings: ``input`` and ``constant`` make them, ``op`` makes its outputs.
    """

    def __init__(self) -> None:
        self._tensors: dict[str, int] = {}
        self._raw_tensors: list[Any] = []
        self._buffers: list[Any] = [schema.BufferT()]  # buffer 0 is the empty one by convention
        self._codes: dict[tuple[int, int, str], int] = {}
        self._operators: list[Any] = []
        self._inputs: list[str] = []

    def input(self, name: str, shape: Sequence[int], dtype: str = "float32") -> str:
        """Adds a graph input."""
        self._add(name, shape, dtype, 0)
        self._inputs.append(name)
        return name

    def constant(self, name: str, values: NDArray[Any]) -> str:
        """Adds a tensor whose data is in the file."""
        buffer = schema.BufferT()
        buffer.data = np.frombuffer(np.ascontiguousarray(values).tobytes(), np.uint8)
        self._buffers.append(buffer)
        self._add(name, values.shape, values.dtype.name, len(self._buffers) - 1)
        return name

    def op(
        self,
        kind: str,
        inputs: Sequence[str | None],
        outputs: Mapping[str, Sequence[int]],
        *,
        dtype: str = "float32",
        version: int = 1,
        **options: Any,
    ) -> str:
        """Adds an operator.

        Args:
            kind: builtin name, or ``"CUSTOM:<code>"``.
            inputs: tensor names; None for an optional input that is absent.
            outputs: name to shape.
            dtype: type of all outputs.
            version: schema version of the operator.
            options: fields of its options table, by schema name.

        Returns:
            The name of the first output.
        """
        for name, shape in outputs.items():
            self._add(name, shape, dtype, 0)
        builtin, _, custom = kind.partition(":")
        code = self._codes.setdefault((getattr(schema.BuiltinOperator, builtin), version, custom), len(self._codes))
        operator = schema.OperatorT()
        operator.opcodeIndex = code
        operator.inputs = [-1 if name is None else self._tensors[name] for name in inputs]
        operator.outputs = [self._tensors[name] for name in outputs]
        table = _OPTIONS.get(kind, "".join(part.capitalize() for part in kind.split("_")) + "Options")
        if hasattr(schema.BuiltinOptions, table):
            operator.builtinOptionsType = getattr(schema.BuiltinOptions, table)
            operator.builtinOptions = getattr(schema, table + "T")()
            for field, value in options.items():
                setattr(operator.builtinOptions, field, value)
        self._operators.append(operator)
        return next(iter(outputs))

    def write(self, path: Path, outputs: Sequence[str]) -> Path:
        """Writes the model with signature ``serving_default``, whose names are the tensors' own, and returns the path."""
        subgraph = schema.SubGraphT()
        subgraph.name = "main"
        subgraph.tensors = self._raw_tensors
        subgraph.operators = self._operators
        subgraph.inputs = [self._tensors[name] for name in self._inputs]
        subgraph.outputs = [self._tensors[name] for name in outputs]
        signature = schema.SignatureDefT()
        signature.signatureKey = "serving_default"
        signature.inputs = [self._entry(name) for name in self._inputs]
        signature.outputs = [self._entry(name) for name in dict.fromkeys(outputs)]
        model = schema.ModelT()
        model.version = 3
        model.subgraphs = [subgraph]
        model.buffers = self._buffers
        model.signatureDefs = [signature]
        model.operatorCodes = []
        for builtin, version, custom in self._codes:
            code = schema.OperatorCodeT()
            code.builtinCode = builtin
            code.deprecatedBuiltinCode = min(builtin, 127)
            code.version = version
            code.customCode = custom or None
            model.operatorCodes.append(code)
        builder = flatbuffers.Builder(1024)
        builder.Finish(model.Pack(builder), b"TFL3")
        path.write_bytes(bytes(builder.Output()))
        return path

    def _add(self, name: str, shape: Sequence[int], dtype: str, buffer: int) -> None:
        if name in self._tensors:
            raise ValueError(f"tensor {name!r} is defined twice")
        tensor = schema.TensorT()
        tensor.name = name
        tensor.shape = [int(d) for d in shape]
        tensor.type = getattr(schema.TensorType, dtype.upper())
        tensor.buffer = buffer
        self._tensors[name] = len(self._raw_tensors)
        self._raw_tensors.append(tensor)

    def _entry(self, name: str) -> Any:
        entry = schema.TensorMapT()
        entry.name = name
        entry.tensorIndex = self._tensors[name]
        return entry
