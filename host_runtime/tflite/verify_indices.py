"""Checks that everything a .tflite file refers to exists, and that tensors and buffers agree.

Reads tables only, never weights: some milliseconds for a file of any size. Works on unverified bytes: Python's reader raises
for an offset outside of the file, and all loops are bounded by a ``_Budget``. The checks are those of TensorFlow's own verifier
(tensorflow/lite/core/tools/verifier.cc), which no Python package brings, and bounds for what would take LiteRT without end.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema
from numpy.typing import NDArray

from detr2litert.host_runtime.tflite.container import open_model, operator_label, text
from detr2litert.host_runtime.tflite.operands import OPERANDS

LARGEST = 2**31 - 1
"""Bytes of a file or a tensor: a flatbuffer's offsets reach no further."""
_SCHEMA_VERSION = 3
_EXTERNAL_DATA = 1  # Buffer.offset above this: the data is after the flatbuffer (schema.fbs, Buffer)
_RANK = 8  # litert/core/model/model.h, LITERT_TENSOR_MAX_RANK: a tensor of more is refused
_BITS = {
    **dict.fromkeys(("INT2",), 2),
    **dict.fromkeys(("INT4", "UINT4"), 4),
    **dict.fromkeys(("UINT8", "BOOL", "INT8", "FLOAT8_E4M3FN", "FLOAT8_E5M2"), 8),
    **dict.fromkeys(("FLOAT16", "INT16", "UINT16", "BFLOAT16"), 16),
    **dict.fromkeys(("FLOAT32", "INT32", "UINT32"), 32),
    **dict.fromkeys(("INT64", "COMPLEX64", "FLOAT64", "UINT64"), 64),
    **dict.fromkeys(("COMPLEX128",), 128),
    **dict.fromkeys(("STRING", "RESOURCE", "VARIANT"), 0),  # of no fixed size
}
_TYPE_BITS = {getattr(schema.TensorType, name): bits for name, bits in _BITS.items() if hasattr(schema.TensorType, name)}
_BODIES: dict[int, tuple[Any, tuple[str, ...]]] = {
    schema.BuiltinOptions.CallOptions: (schema.CallOptions, ("Subgraph",)),
    schema.BuiltinOptions.CallOnceOptions: (schema.CallOnceOptions, ("InitSubgraphIndex",)),
    schema.BuiltinOptions.IfOptions: (schema.IfOptions, ("ThenSubgraphIndex", "ElseSubgraphIndex")),
    schema.BuiltinOptions.WhileOptions: (schema.WhileOptions, ("CondSubgraphIndex", "BodySubgraphIndex")),
}
"""Options of builtins that run another subgraph, and the accessors of its index."""


class DamagedError(ValueError):
    """A file contradicts itself; the message has the place and the fact."""


class _Budget:
    """Bounds the elements that are read: tables and vectors may be shared, so that a small file has any number of them."""

    def __init__(self, size: int) -> None:
        self._left = size

    def take(self, count: int, what: str) -> int:
        """Returns ``count``, which must be left."""
        self._left -= count
        if count < 0 or self._left < 0:
            raise DamagedError(f"{what} has more elements than fit into the file")
        return count


def verify_indices(raw: Any, size: int, *, runnable: bool) -> None:
    """Checks a model's references.

    Args:
        raw: the file's bytes, or a map of them.
        size: their number.
        runnable: whether to check the number of each operator's operands, and that all outputs are computed, too.

    Raises:
        DamagedError: a reference leads nowhere, a buffer and a tensor's shape contradict each other, an operator reads what was
            not computed before it, or a subgraph calls itself. Other damage may raise any exception.
    """
    _Model(open_model(raw), size).verify(runnable)


class _Model:
    def __init__(self, model: Any, size: int) -> None:
        self.model, self.size, self.budget = model, size, _Budget(size)

    def verify(self, runnable: bool) -> None:
        model, take = self.model, self.budget.take
        if model.Version() != _SCHEMA_VERSION:
            raise DamagedError(f"its schema has version {model.Version()}, not {_SCHEMA_VERSION}")
        if model.ExternalBuffersLength() or model.ExternalBufferGroupsLength():
            raise DamagedError("it refers to data in other files")
        self.buffers = [self._buffer(model.Buffers(i), i) for i in range(take(model.BuffersLength(), "the list of buffers"))]
        self.codes = [model.OperatorCodes(i) for i in range(take(model.OperatorCodesLength(), "the list of operator codes"))]
        for index, code in enumerate(self.codes):
            take(len(code.CustomCode() or b""), f"the name of operator code {index}")
        subgraphs = [model.Subgraphs(i) for i in range(take(model.SubgraphsLength(), "the list of subgraphs"))]
        if not subgraphs or not self.buffers:
            raise DamagedError("it has no " + ("buffers" if subgraphs else "subgraph"))
        calls: list[set[int]] = []
        counts: list[tuple[int, set[int], set[int]]] = []
        for number, subgraph in enumerate(subgraphs):
            part = _Subgraph(self, subgraph, "" if number == 0 else f"subgraph {number}: ")
            calls.append(part.verify(len(subgraphs), runnable))
            counts.append((len(part.constant), set(part.inputs), set(part.outputs)))
        _refuse_recursion(calls)
        for index in range(take(model.SignatureDefsLength(), "the list of signatures")):
            self._signature(model.SignatureDefs(index), counts)
        for index in range(take(model.MetadataLength(), "the list of metadata")):
            metadata = model.Metadata(index)
            take(len(metadata.Name() or b""), "the name of metadata")
            _existing(metadata.Buffer(), len(self.buffers), f"metadata {index} refers to buffer")

    def _buffer(self, buffer: Any, index: int) -> int:
        """Returns a buffer's bytes."""
        offset, size = buffer.Offset(), buffer.Size()
        if offset > _EXTERNAL_DATA:
            if offset + size > self.size:
                raise DamagedError(f"buffer {index} ends at byte {offset + size}, the file at {self.size}")
            return int(size)
        return self.budget.take(buffer.DataLength(), f"buffer {index}")

    def _signature(self, signature: Any, counts: list[tuple[int, set[int], set[int]]]) -> None:
        key = text(signature.SignatureKey())
        self.budget.take(len(key), "a signature's name")
        where = f"signature {key[:80]!r}"
        number = _existing(signature.SubgraphIndex(), len(counts), f"{where} names subgraph")
        tensors, inputs, outputs = counts[number]
        sides = (
            ("input", signature.InputsLength(), signature.Inputs, inputs),
            ("output", signature.OutputsLength(), signature.Outputs, outputs),
        )
        for side, length, entry, interface in sides:
            seen = set()
            for position in range(self.budget.take(length, where)):
                name, tensor = text(entry(position).Name()), entry(position).TensorIndex()
                self.budget.take(len(name), where)
                if not name or name in seen:
                    raise DamagedError(f"{where} has {side} {name[:80]!r} " + ("twice" if name else "without a name"))
                seen.add(name)
                _existing(tensor, tensors, f"{where}: {side} {name[:80]!r} is tensor")
                if tensor not in interface:
                    raise DamagedError(f"{where}: {side} {name[:80]!r} is tensor {tensor}, which is no {side} of the subgraph")


class _Subgraph:
    def __init__(self, model: _Model, subgraph: Any, where: str) -> None:
        self.model, self.subgraph, self.where = model, subgraph, where

    def verify(self, subgraphs: int, runnable: bool) -> set[int]:
        """Checks the subgraph and returns the numbers of those that it calls."""
        take = self.model.budget.take
        length = take(self.subgraph.TensorsLength(), f"{self.where}the list of tensors")
        self.constant: list[bool] = []
        self.variable: list[bool] = []
        for index in range(length):
            self._tensor(self.subgraph.Tensors(index), index)
        self.inputs = self._interface("input", self.subgraph.InputsLength(), self.subgraph.InputsAsNumpy)
        self.outputs = self._interface("output", self.subgraph.OutputsLength(), self.subgraph.OutputsAsNumpy)
        ready = np.array(self.constant, np.bool_) | np.array(self.variable, np.bool_)
        ready[self.inputs] = True
        calls: set[int] = set()
        for number in range(take(self.subgraph.OperatorsLength(), f"{self.where}the list of operators")):
            operator = self.subgraph.Operators(number)
            calls |= self._operator(operator, number, ready, subgraphs, runnable)
        for index in self.outputs:
            if runnable and not ready[index]:
                raise DamagedError(f"{self.where}output tensor {index} is computed by no operator")
        return calls

    def _interface(self, side: str, length: int, values: Any) -> list[int]:
        where = f"{self.where}the list of {side}s"
        found = _indices(self.model.budget.take(length, where), values)
        return [_existing(index, len(self.constant), f"{where} names tensor") for index in found]

    def _tensor(self, tensor: Any, index: int) -> None:
        take, where = self.model.budget.take, f"{self.where}tensor {index}"
        take(len(tensor.Name() or b""), where)
        buffer = _existing(tensor.Buffer(), len(self.model.buffers), f"{where} refers to buffer")
        if tensor.Type() not in _TYPE_BITS:
            raise DamagedError(f"{where} has the unknown type {tensor.Type()}")
        rank = take(tensor.ShapeLength(), where)
        if rank > _RANK:
            raise DamagedError(f"{where} has {rank} dimensions, more than {_RANK}")
        shape = _indices(rank, tensor.ShapeAsNumpy)
        take(tensor.ShapeSignatureLength() + tensor.VariantTensorsLength(), where)
        bits = math.prod(shape) * _TYPE_BITS[tensor.Type()]
        if any(side < 0 for side in shape) or bits > 8 * LARGEST:
            raise DamagedError(f"{where} has the shape {shape}")
        self._quantization(tensor.Quantization(), where)
        stored = self.model.buffers[buffer] if buffer else 0  # buffer 0 is the empty one by convention
        self.constant.append(stored > 0 and not tensor.IsVariable())
        self.variable.append(bool(tensor.IsVariable()))
        if stored and _TYPE_BITS[tensor.Type()] and tensor.Sparsity() is None and stored != -(-bits // 8):
            raise DamagedError(f"{where} of shape {shape} needs {-(-bits // 8)} bytes, its buffer has {stored}")

    def _quantization(self, quantization: Any, where: str) -> None:
        if quantization is not None:
            self.model.budget.take(quantization.ScaleLength() + quantization.ZeroPointLength(), where)

    def _operator(self, operator: Any, number: int, ready: NDArray[np.bool_], subgraphs: int, runnable: bool) -> set[int]:
        codes, tensors, take = self.model.codes, len(self.constant), self.model.budget.take
        where = f"{self.where}operator {number}"
        code = codes[_existing(operator.OpcodeIndex(), len(codes), f"{where} refers to operator code")]
        where = f"{where} ({operator_label(code.BuiltinCode(), code.DeprecatedBuiltinCode())})"
        inputs = _vector(take(operator.InputsLength(), where), operator.InputsAsNumpy)
        outputs = _indices(take(operator.OutputsLength(), where), operator.OutputsAsNumpy)
        take(operator.CustomOptionsLength() + operator.IntermediatesLength(), where)
        present = inputs[inputs != -1]
        for index in present[(present < 0) | (present >= tensors)]:
            _existing(index, tensors, f"{where} reads tensor")
        for index in present[~ready[present]]:
            raise DamagedError(f"{where} reads tensor {index}, which nothing before it computes")
        for index in outputs:
            _existing(index, tensors, f"{where} writes tensor")
            if ready[index] and not self.variable[index]:
                what = "a constant" if self.constant[index] else "an input, or written by another operator"
                raise DamagedError(f"{where} writes tensor {index}, which is {what}")
            ready[index] = True
        for index in _indices(operator.IntermediatesLength(), operator.IntermediatesAsNumpy):
            _existing(index, tensors, f"{where} has the intermediate tensor")
        if runnable:
            _check_operands(max(code.BuiltinCode(), code.DeprecatedBuiltinCode()), inputs.tolist(), outputs, where)
        return {_existing(body, subgraphs, f"{where} runs subgraph") for body in _bodies(operator)}


def _check_operands(number: int, inputs: list[int], outputs: list[int], where: str) -> None:
    known = OPERANDS.get(number)
    if known is None:
        return
    if len(inputs) > known.inputs or -1 in inputs[: known.required] or len(inputs) < known.required:
        raise DamagedError(f"{where} has the inputs {inputs[:8]}, but needs {_range(known.required, known.inputs)}")
    if not 1 <= len(outputs) <= known.outputs:
        raise DamagedError(f"{where} has {len(outputs)} outputs, but needs {_range(1, known.outputs)}")


def _range(least: int, most: int) -> str:
    return str(least) if least == most else f"{least} to {most}" if most < LARGEST else f"{least} or more"


def _bodies(operator: Any) -> Iterator[int]:
    """Yields the numbers of the subgraphs that an operator runs."""
    if operator.BuiltinOptions() is not None and operator.BuiltinOptionsType() in _BODIES:
        kind, accessors = _BODIES[operator.BuiltinOptionsType()]
        yield from _called(kind(), operator.BuiltinOptions(), accessors)
    composite = schema.BuiltinOptions2.StableHLOCompositeOptions
    if operator.BuiltinOptions2() is not None and operator.BuiltinOptions2Type() == composite:
        yield from _called(schema.StableHLOCompositeOptions(), operator.BuiltinOptions2(), ("DecompositionSubgraphIndex",))


def _called(options: Any, table: Any, accessors: tuple[str, ...]) -> Iterator[int]:
    options.Init(table.Bytes, table.Pos)
    for accessor in accessors:
        yield int(getattr(options, accessor)())


def _refuse_recursion(calls: list[set[int]]) -> None:
    """Raises if a subgraph calls itself, directly or not: LiteRT would follow it until its stack ends."""
    left = dict(enumerate(calls))
    while ended := [number for number, called in left.items() if not called & left.keys()]:
        for number in ended:
            del left[number]
    if left:
        raise DamagedError(f"subgraph {min(left)} calls itself")


def _indices(length: int, values: Any) -> list[int]:
    return [int(value) for value in _vector(length, values)]


def _vector(length: int, values: Any) -> NDArray[np.int32]:
    """Returns a vector of integers; its accessor returns 0 for one that is absent."""
    return np.asarray(values() if length else (), np.int32)


def _existing(index: int, count: int, what: str) -> int:
    if not 0 <= index < count:
        raise DamagedError(f"{what} {index} of {count}")
    return int(index)
