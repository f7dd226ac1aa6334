"""A typed view of a .tflite file: operators and tensors, constants, producers and consumers.

A file has one subgraph for each of its entry points: the first, and those that a signature names. The others are bodies of
composites and branches, which the GPU delegate never receives. Needs the flatbuffer schema that ships with ai-edge-litert, not
TensorFlow.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema
from numpy.typing import NDArray

from detr2litert.host_runtime.errors import UserError
from detr2litert.host_runtime.tflite.container import operator_name, parse_model, text
from detr2litert.host_runtime.tflite.verify_file import verify_file

_DTYPE_NAMES: Mapping[int, str] = {v: k.lower() for k, v in vars(schema.TensorType).items() if isinstance(v, int)}


@dataclass(frozen=True)
class Tensor:
    """One tensor.

    Attributes:
        index: position in the subgraph.
        name: the name in the file, not the signature's name.
        shape: static dimensions.
        dtype: NumPy's name where there is one (``"float32"``), else the schema's in lower case.
        constant: True if the file contains its data.
        dynamic: True if a dimension is dynamic.
        data: the raw bytes of a constant, else None.
    """

    index: int
    name: str
    shape: tuple[int, ...]
    dtype: str
    constant: bool
    dynamic: bool = False
    data: NDArray[np.uint8] | None = field(default=None, repr=False, compare=False)

    @property
    def rank(self) -> int:
        return len(self.shape)

    @property
    def size(self) -> int:
        """Number of elements; 1 for a scalar."""
        return int(np.prod(self.shape, dtype=np.int64))

    def values(self) -> NDArray[Any] | None:
        """Returns the constant's values in its shape; None for a runtime tensor or a type NumPy lacks."""
        if self.data is None:
            return None
        try:
            values = np.frombuffer(self.data, np.dtype(self.dtype)).reshape(self.shape)
        except (TypeError, ValueError):
            return None
        values.flags.writeable = False  # a view of the data
        return values

    @cached_property
    def all_zero(self) -> bool:
        """True for a constant whose values are known and all zero."""
        values = self.values()
        return values is not None and not values.any()


@dataclass(frozen=True)
class Op:
    """One operator.

    Attributes:
        index: position in execution order.
        name: the builtin's name, ``"CUSTOM:<code>"`` or ``"STABLEHLO_COMPOSITE:<name>"``.
        version: the operator's schema version.
        inputs: tensor indices; -1 for an optional input that is absent.
        outputs: tensor indices.
        options: the builtin options by their schema names (``"adjX"``, ``"keepNumDims"`` …).
        custom_options: the raw options of a custom operator, often a flexbuffer map; empty if it has none.
    """

    index: int
    name: str
    version: int
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    options: Mapping[str, Any] = field(default_factory=dict, compare=False)
    custom_options: bytes = field(default=b"", repr=False, compare=False)

    def input(self, position: int) -> int:
        """Returns the tensor index of an input, -1 if it is absent."""
        return self.inputs[position] if position < len(self.inputs) else -1


@dataclass(frozen=True)
class Graph:
    """One subgraph of a model.

    Attributes:
        name: file name, for messages.
        tensors, ops: in file order.
        inputs, outputs: tensor indices, in file order.
        signature: the signature's key, "" if the file has none.
        signature_inputs, signature_outputs: signature name to tensor index.
    """

    name: str
    tensors: tuple[Tensor, ...]
    ops: tuple[Op, ...]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    signature: str = ""
    signature_inputs: Mapping[str, int] = field(default_factory=dict)
    signature_outputs: Mapping[str, int] = field(default_factory=dict)

    @cached_property
    def _producers(self) -> dict[int, Op]:
        return {tensor: op for op in self.ops for tensor in op.outputs}

    @cached_property
    def _consumers(self) -> dict[int, tuple[Op, ...]]:
        readers: dict[int, list[Op]] = {}
        for op in self.ops:
            for tensor in dict.fromkeys(op.inputs):
                readers.setdefault(tensor, []).append(op)
        return {tensor: tuple(ops) for tensor, ops in readers.items()}

    @cached_property
    def _outputs(self) -> frozenset[int]:
        return frozenset(self.outputs)

    # Answers that were given before: a lint asks for the same of every operator that shares a tensor.
    @cached_property
    def _sources(self) -> dict[int, Tensor | None]:
        return {}

    @cached_property
    def _readers(self) -> dict[int, frozenset[int]]:
        return {}

    def producer(self, tensor: int) -> Op | None:
        """Returns the operator that computes a tensor; None for graph inputs and constants."""
        return self._producers.get(tensor)

    def consumers(self, tensor: int) -> tuple[Op, ...]:
        """Returns the operators that read a tensor, each once."""
        return self._consumers.get(tensor, ())

    def is_output(self, tensor: int) -> bool:
        """Returns True for an output of the graph."""
        return tensor in self._outputs

    def read_together(self, first: int, second: int) -> bool:
        """Returns whether one operator reads both tensors."""
        if first not in self._readers:
            self._readers[first] = frozenset(op.index for op in self.consumers(first))
        return any(op.index in self._readers[first] for op in self.consumers(second))

    def source(self, tensor: int) -> Tensor | None:
        """Returns a constant tensor, or the constant input of its DEQUANTIZE (the delegate folds it); None for runtime data."""
        if tensor in self._sources:
            return self._sources[tensor]
        passed: dict[int, None] = {}
        while tensor not in self._sources:
            passed[tensor] = None
            maker = self.producer(tensor)
            if tensor >= 0 and self.tensors[tensor].constant:
                self._sources[tensor] = self.tensors[tensor]
            elif tensor < 0 or maker is None or maker.name != "DEQUANTIZE" or maker.inputs[0] in passed:
                self._sources[tensor] = None
            else:
                tensor = maker.inputs[0]
        found = self._sources[tensor]
        self._sources.update(dict.fromkeys(passed, found))
        return found

    def is_runtime(self, tensor: int) -> bool:
        """Returns True for data that depends on the graph's inputs, not for (dequantised) constants and absent inputs."""
        return tensor >= 0 and self.source(tensor) is None

    def op_counts(self) -> dict[str, int]:
        """Returns the number of uses by operator name, most used first."""
        counts: dict[str, int] = {}
        for op in self.ops:
            counts[op.name] = counts.get(op.name, 0) + 1
        return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))


def read_graph(path: Path) -> Graph:
    """Reads the first subgraph of a .tflite file.

    Raises:
        UserError: the file is missing, empty, truncated or no LiteRT model.
    """
    return read_entries(path)[0]


def read_entries(path: Path) -> tuple[Graph, ...]:
    """Reads every subgraph that a caller can run: the first, and each that a signature names, in file order.

    Raises:
        UserError: the file is missing, empty, truncated or no LiteRT model.
    """
    verify_file(path)
    try:
        # What the verifier does not read, the options of operators, may raise any exception.
        model = parse_model(path.read_bytes())
        entries = {0, *(s.subgraphIndex for s in model.signatureDefs or ())}
        return tuple(graph_of(model, index, path.name) for index in sorted(entries))
    except MemoryError:
        raise
    except Exception as error:
        raise UserError(f"{path}: truncated or damaged LiteRT model ({type(error).__name__}); make or copy it again") from error


def graph_of(model: Any, position: int = 0, name: str = "") -> Graph:
    """Returns one subgraph of the schema's ``ModelT``.

    Raises:
        ValueError: an index refers to a tensor that does not exist.
    """
    subgraph = model.subgraphs[position]
    tensors = tuple(_tensor(index, raw, model.buffers) for index, raw in enumerate(subgraph.tensors))
    ops = tuple(_op(index, raw, model.operatorCodes) for index, raw in enumerate(subgraph.operators))
    for op in ops:
        if any(not -1 <= tensor < len(tensors) for tensor in op.inputs) or any(
            not 0 <= tensor < len(tensors) for tensor in op.outputs
        ):
            raise ValueError(f"operator {op.index} refers to a tensor that does not exist")
    if any(not 0 <= tensor < len(tensors) for tensor in (*_indices(subgraph.inputs), *_indices(subgraph.outputs))):
        raise ValueError("the graph's inputs or outputs refer to a tensor that does not exist")
    signature = next((s for s in model.signatureDefs or () if s.subgraphIndex == position), None)
    return Graph(
        name=name,
        tensors=tensors,
        ops=ops,
        inputs=_indices(subgraph.inputs),
        outputs=_indices(subgraph.outputs),
        signature=text(signature.signatureKey) if signature else "",
        signature_inputs={text(m.name): int(m.tensorIndex) for m in signature.inputs or ()} if signature else {},
        signature_outputs={text(m.name): int(m.tensorIndex) for m in signature.outputs or ()} if signature else {},
    )


def _indices(values: Any) -> tuple[int, ...]:
    return () if values is None else tuple(int(v) for v in values)


def _tensor(index: int, raw: Any, buffers: Any) -> Tensor:
    data = buffers[raw.buffer].data if raw.buffer else None
    has_data = data is not None and len(data) > 0
    return Tensor(
        index=index,
        name=text(raw.name),
        shape=_indices(raw.shape),
        dtype=_DTYPE_NAMES.get(raw.type, str(raw.type)),
        constant=has_data and not raw.isVariable,
        dynamic=-1 in _indices(raw.shapeSignature),
        data=np.asarray(data, np.uint8) if has_data else None,
    )


def _op(index: int, raw: Any, codes: Any) -> Op:
    code = codes[raw.opcodeIndex]
    name = operator_name(code)
    options = vars(raw.builtinOptions or raw.builtinOptions2) if raw.builtinOptions or raw.builtinOptions2 else {}
    if name == "CUSTOM":
        name = f"CUSTOM:{text(code.customCode)}"
    elif name == "STABLEHLO_COMPOSITE":
        name = f"STABLEHLO_COMPOSITE:{text(options.get('name'))}"
    custom = b"" if raw.customOptions is None else np.asarray(raw.customOptions, np.uint8).tobytes()
    return Op(index, name, code.version, _indices(raw.inputs), _indices(raw.outputs), options, custom)
