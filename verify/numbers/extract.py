"""Cuts a part out of a .tflite file: one of its entries, or some of its operators with the tensors between them."""

from __future__ import annotations

import copy
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from detr2litert.host_runtime.tflite.container import pack_model, parse_model
from detr2litert.host_runtime.tflite.graph import graph_of


def write_entry(path: Path, position: int, destination: Path) -> Path:
    """Writes one entry of a file as its first, with a signature of its own: the runtime and the taps look at the first.

    Args:
        path: the file.
        position: index of the entry among those of ``read_entries``.
        destination: the file to write.
    """
    model = parse_model(path.read_bytes())
    entries = sorted({0, *(s.subgraphIndex for s in model.signatureDefs or ())})
    index = entries[position]
    own = [s for s in model.signatureDefs or () if s.subgraphIndex == index]
    graphs = model.subgraphs
    graphs[0], graphs[index] = graphs[index], graphs[0]
    model.signatureDefs = own or [_signature(graphs[0])]
    model.signatureDefs[0].subgraphIndex = 0
    model.signatureDefs = model.signatureDefs[:1]
    destination.write_bytes(pack_model(model))
    return destination


def write_part(path: Path, ops: Iterable[int], outputs: Iterable[int], destination: Path) -> dict[str, int]:
    """Calls ``PartWriter.write`` once."""
    return PartWriter(path).write(ops, outputs, destination)


class PartWriter:
    """Writes parts of a file's first entry; the file is parsed once.

    Args:
        path: the file.

    Attributes:
        graph: its first entry.
    """

    def __init__(self, path: Path) -> None:
        self._model = parse_model(path.read_bytes())
        self.graph = graph_of(self._model)

    def write(self, ops: Iterable[int], outputs: Iterable[int], destination: Path) -> dict[str, int]:
        """Writes some operators; tensors that they read and do not make become inputs.

        Args:
            ops: their indices, in any order.
            outputs: tensors that the part gives out.
            destination: the file to write; it holds no tensor and no weights that the part does not need.

        Returns:
            The part's inputs by signature name, with their tensor indices in the file that it was cut from.
        """
        model, graph = copy.copy(self._model), self.graph
        chosen, given = set(ops), list(outputs)
        # A DEQUANTIZE of a constant belongs to the constant.
        stack = [t for index in chosen for t in graph.ops[index].inputs]
        while stack:
            maker = graph.producer(tensor) if (tensor := stack.pop()) >= 0 else None
            if maker is not None and maker.index not in chosen and not graph.is_runtime(tensor):
                chosen.add(maker.index)
                stack.extend(maker.inputs)
        made = {t for index in chosen for t in graph.ops[index].outputs}
        read = [t for index in sorted(chosen) for t in graph.ops[index].inputs if t >= 0]
        inputs = [t for t in dict.fromkeys(read) if t not in made and not graph.tensors[t].constant]
        kept = list(dict.fromkeys([*inputs, *read, *sorted(made), *given]))
        place = {tensor: position for position, tensor in enumerate(kept)}
        source = model.subgraphs[0]
        part = schema.SubGraphT()
        part.name = "part"
        part.tensors = [copy.copy(source.tensors[t]) for t in kept]
        buffers: list[Any] = [schema.BufferT()]
        for tensor in part.tensors:
            data = model.buffers[tensor.buffer].data if tensor.buffer else None
            if data is None or len(data) == 0:
                tensor.buffer = 0
            else:
                buffers.append(model.buffers[tensor.buffer])
                tensor.buffer = len(buffers) - 1
        part.operators = [copy.copy(source.operators[index]) for index in sorted(chosen)]
        for operator in part.operators:
            operator.inputs = np.asarray([place.get(int(t), -1) for t in operator.inputs], np.int32)
            operator.outputs = np.asarray([place[int(t)] for t in operator.outputs], np.int32)
        part.inputs = np.asarray([place[t] for t in inputs], np.int32)
        part.outputs = np.asarray([place[t] for t in given], np.int32)
        model.subgraphs = [part, *(() if not _has_bodies(part) else model.subgraphs[1:])]
        model.buffers, model.metadata, model.metadataBuffer = buffers, None, None
        signature = _signature(part)
        model.signatureDefs = [signature]
        destination.write_bytes(pack_model(model))
        return {entry.name: tensor for entry, tensor in zip(signature.inputs, inputs, strict=True)}


def _has_bodies(subgraph: Any) -> bool:
    return any(operator.builtinOptions2 is not None for operator in subgraph.operators)


def _signature(subgraph: Any) -> Any:
    signature = schema.SignatureDefT()
    signature.signatureKey, signature.subgraphIndex = "serving_default", 0
    for field, letter, tensors in (("inputs", "x", subgraph.inputs), ("outputs", "y", subgraph.outputs)):
        entries = []
        for position, tensor in enumerate(tensors):
            entry = schema.TensorMapT()
            entry.name, entry.tensorIndex = f"{letter}{position}", int(tensor)
            entries.append(entry)
        setattr(signature, field, entries)
    return signature
