"""Writes small .tflite models from a short list of operators.

Used for the models that test a driver, and for the probes that compare every lint rule with the real delegate. Without shape
inference and validation, so that invalid models can be written too.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import flatbuffers.flexbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema
from numpy.typing import NDArray

from detr2litert.host_runtime.tflite.container import operator_code, pack_model

# Operators whose options table has another name.
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
    "REDUCE_PROD": "ReducerOptions",
    "REDUCE_ANY": "ReducerOptions",
    "L2_NORMALIZATION": "L2NormOptions",
    "CONV_3D": "Conv3DOptions",
    "ATAN2": "ATan2Options",
    "STABLEHLO_COMPOSITE": "StableHLOCompositeOptions",
    "BATCH_MATMUL": "BatchMatMulOptions",
    "TOPK_V2": "TopKV2Options",
    "PADV2": "PadV2Options",
    "SELECT_V2": "SelectV2Options",
}


class ModelWriter:
    """Collects tensors and operators of the main subgraph, then writes the file.

    Tensors are identified by name: ``input`` and ``constant`` add them, ``op`` and ``composite`` add their outputs.
    """

    def __init__(self) -> None:
        self._tensors: dict[str, int] = {}
        self._raw_tensors: list[Any] = []
        self._buffers: list[Any] = [schema.BufferT()]  # buffer 0 is the empty one by convention
        self._codes: dict[tuple[int, int, str], int] = {}
        self._operators: list[Any] = []
        self._inputs: list[str] = []
        self._bodies: list[Any] = []

    def input(self, name: str, shape: Sequence[int], dtype: str = "float32", signature: Sequence[int] | None = None) -> str:
        """Adds a graph input; ``signature`` is its shape with -1 for a dynamic dimension."""
        self._add(name, shape, dtype, 0)
        if signature is not None:
            self._raw_tensors[-1].shapeSignature = list(signature)
        self._inputs.append(name)
        return name

    def constant(self, name: str, values: NDArray[Any], *, scales: Sequence[float] = (), axis: int = 0) -> str:
        """Adds a constant; ``scales`` quantise it symmetrically, with one scale or one per index along ``axis``."""
        buffer = schema.BufferT()
        buffer.data = np.frombuffer(np.ascontiguousarray(values).tobytes(), np.uint8)
        self._buffers.append(buffer)
        self._add(name, values.shape, values.dtype.name, len(self._buffers) - 1)
        if scales:
            self.quantize(name, scales, axis=axis)
        return name

    def constant_int4(self, name: str, codes: NDArray[np.int8], scales: Sequence[float]) -> str:
        """Adds a constant of four-bit codes (-8 to 7), two in a byte, the first in its lower half, quantised symmetrically."""
        flat = np.resize(codes.reshape(-1), codes.size + codes.size % 2).astype(np.uint8) & 0xF
        buffer = schema.BufferT()
        buffer.data = flat[0::2] | flat[1::2] << 4
        self._buffers.append(buffer)
        self._add(name, codes.shape, "int4", len(self._buffers) - 1)
        return self.quantize(name, scales)

    def quantize(self, name: str, scales: Sequence[float], *, zero: int = 0, axis: int = 0) -> str:
        """Sets the scales and the zero point of an integer tensor."""
        quantization = schema.QuantizationParametersT()
        quantization.scale = [float(scale) for scale in scales]
        quantization.zeroPoint = [zero] * len(scales)
        quantization.quantizedDimension = axis
        self._raw_tensors[self._tensors[name]].quantization = quantization
        return name

    def op(
        self,
        kind: str,
        inputs: Sequence[str | None],
        outputs: Mapping[str, Sequence[int]],
        *,
        dtype: str | Sequence[str] = "float32",
        version: int = 1,
        **options: Any,
    ) -> str:
        """Adds an operator.

        Args:
            kind: builtin name, or ``"CUSTOM:<code>"``.
            inputs: tensor names; None for an optional input that is absent.
            outputs: name to shape.
            dtype: type of all outputs, or one per output.
            version: schema version of the operator.
            options: fields of its options table, by schema name.

        Returns:
            The name of the first output.
        """
        dtypes = [dtype] * len(outputs) if isinstance(dtype, str) else dtype
        for (name, shape), each in zip(outputs.items(), dtypes, strict=True):
            self._add(name, shape, each, 0)
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
        elif hasattr(schema.BuiltinOptions2, table):
            operator.builtinOptions2Type = getattr(schema.BuiltinOptions2, table)
            operator.builtinOptions2 = getattr(schema, table + "T")()
            for field, value in options.items():
                setattr(operator.builtinOptions2, field, value)
        self._operators.append(operator)
        return next(iter(outputs))

    def custom(
        self,
        code: str,
        inputs: Sequence[str | None],
        outputs: Mapping[str, Sequence[int]],
        options: Mapping[str, Any] | bytes | None = None,
        *,
        dtype: str | Sequence[str] = "float32",
    ) -> str:
        """Adds a custom operator and returns the name of its first output.

        Args:
            code: the custom code, such as ``"Resampler"``.
            inputs, outputs, dtype: as for ``op``.
            options: a mapping is packed as a flexbuffer map, bytes are written as they are; None for no options at all.
        """
        first = self.op(f"CUSTOM:{code}", inputs, outputs, dtype=dtype)
        if options is not None:
            packed = options if isinstance(options, bytes) else bytes(flatbuffers.flexbuffers.Dumps(dict(options)))
            self._operators[-1].customOptions = np.frombuffer(packed, np.uint8)
        return first

    def composite(
        self,
        name: str,
        inputs: Sequence[str],
        outputs: Mapping[str, Sequence[int]],
        body: Callable[[ModelWriter], Sequence[str]],
        **attributes: Any,
    ) -> str:
        """Adds a STABLEHLO_COMPOSITE.

        Args:
            name: of the composite, such as ``"odml.rms_norm"``.
            inputs, outputs: as for ``op``.
            body: writes the decomposition, with inputs in the same order, and returns the names of its outputs.
            attributes: of the composite.
        """
        inner = ModelWriter()
        inner._buffers, inner._codes, inner._bodies = self._buffers, self._codes, self._bodies
        self._bodies.append(inner._subgraph(f"{name}_{len(self._bodies)}", body(inner)))
        packed = np.frombuffer(bytes(flatbuffers.flexbuffers.Dumps(attributes)), np.uint8)
        return self.op(
            "STABLEHLO_COMPOSITE",
            inputs,
            outputs,
            name=name,
            decompositionSubgraphIndex=len(self._bodies),
            compositeAttributes=packed,
        )

    def _subgraph(self, name: str, outputs: Sequence[str]) -> Any:
        subgraph = schema.SubGraphT()
        subgraph.name = name
        subgraph.tensors = self._raw_tensors
        subgraph.operators = self._operators
        subgraph.inputs = [self._tensors[each] for each in self._inputs]
        subgraph.outputs = [self._tensors[each] for each in outputs]
        return subgraph

    def write(self, path: Path, outputs: Sequence[str]) -> Path:
        """Writes the model with signature ``serving_default``, whose names are the tensors' own, and returns the path."""
        signature = schema.SignatureDefT()
        signature.signatureKey = "serving_default"
        signature.inputs = [self._entry(name) for name in self._inputs]
        signature.outputs = [self._entry(name) for name in dict.fromkeys(outputs)]
        model = schema.ModelT()
        model.version = 3
        model.subgraphs = [self._subgraph("main", outputs), *self._bodies]
        model.buffers = self._buffers
        model.signatureDefs = [signature]
        model.operatorCodes = [operator_code(*code) for code in self._codes]
        path.write_bytes(pack_model(model))
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
