"""Damaged .tflite files, generated from a valid one: cut, flipped, contradicting themselves, or with a field left out."""

from __future__ import annotations

import copy
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from detr2litert.host_runtime.tflite.container import operator_code, pack_model, parse_model
from detr2litert.host_runtime.tflite.writer import ModelWriter

SHAPE = (1, 4, 8)
Change = Callable[[Any], None]


def valid_graph(path: Path) -> Path:
    """A small graph with every kind of table: constants, several operators, a custom one, an optional operand left out."""
    w = ModelWriter()
    x = w.input("x", SHAPE)
    scale = w.constant("scale", np.full(SHAPE, 0.5, np.float32))
    half = w.constant("half", np.full((8, 8), 0.5, np.float16))
    weights = w.op("DEQUANTIZE", [half], {"weights": (8, 8)})
    linear = w.op(
        "FULLY_CONNECTED",
        [w.op("MUL", [x, scale], {"scaled": SHAPE}), weights, None],
        {"made": SHAPE},
        version=5,
        keepNumDims=True,
    )
    axis = w.constant("axis", np.array(2, np.int32))
    w.op("SPLIT", [axis, linear], {"left": (1, 4, 4), "right": (1, 4, 4)}, numSplits=2)
    joined = w.op("CONCATENATION", ["right", "left"], {"joined": SHAPE}, axis=2)
    w.op("RESHAPE", [joined, w.constant("shape", np.array([1, 8, 4], np.int32))], {"y": (1, 8, 4)})
    return w.write(path, ["y", "made"])


def _graph(model: Any) -> Any:
    return model.subgraphs[0]


def _set(place: Callable[[Any], Any], field: str, value: Any) -> Change:
    return lambda model: setattr(place(model), field, value)


def _operator(number: int) -> Callable[[Any], Any]:
    return lambda model: _graph(model).operators[number]


def _tensor(number: int) -> Callable[[Any], Any]:
    return lambda model: _graph(model).tensors[number]


def _signature(model: Any) -> Any:
    return model.signatureDefs[0]


def _control_flow(kind: str, options: str, **fields: int) -> Change:
    """The first operator becomes one that runs subgraphs."""

    def change(model: Any) -> None:
        model.operatorCodes.append(operator_code(getattr(schema.BuiltinOperator, kind)))
        operator = _graph(model).operators[0]
        operator.opcodeIndex = len(model.operatorCodes) - 1
        operator.builtinOptionsType = getattr(schema.BuiltinOptions, options)
        operator.builtinOptions = getattr(schema, f"{options}T")()
        for name, value in fields.items():
            setattr(operator.builtinOptions, name, value)

    return change


def _twice(model: Any) -> None:
    names = _signature(model).outputs
    names[0].name = names[1].name


CONTRADICTIONS: dict[str, tuple[Change, str]] = {
    "no subgraphs": (_set(lambda m: m, "subgraphs", None), "no subgraph"),
    "empty subgraphs": (_set(lambda m: m, "subgraphs", []), "no subgraph"),
    "no buffers": (_set(lambda m: m, "buffers", None), "buffer"),
    "no operator codes": (_set(lambda m: m, "operatorCodes", None), "operator code 0 of 0"),
    "no tensors": (_set(_graph, "tensors", None), "tensor 0 of 0"),
    "schema version": (_set(lambda m: m, "version", 9), "version 9"),
    "operator code index": (_set(_operator(3), "opcodeIndex", 99), "operator code 99"),
    "input index": (_set(_operator(3), "inputs", [99, 0]), "reads tensor 99"),
    "input index below -1": (_set(_operator(3), "inputs", [-2, 0]), "reads tensor -2"),
    "output index": (_set(_operator(3), "outputs", [99]), "writes tensor 99"),
    "output index -1": (_set(_operator(3), "outputs", [-1, -1]), "writes tensor -1"),
    "intermediate index": (_set(_operator(3), "intermediates", [99]), "intermediate tensor 99"),
    "graph input index": (_set(_graph, "inputs", [99]), "list of inputs names tensor 99"),
    "graph output index": (_set(_graph, "outputs", [-1]), "list of outputs names tensor -1"),
    "writes a constant": (_set(_operator(1), "outputs", [1]), "writes tensor 1, which is a constant"),
    "writes an input": (_set(_operator(1), "outputs", [0]), "writes tensor 0"),
    "written twice": (lambda m: _graph(m).operators.append(copy.deepcopy(_graph(m).operators[0])), "written by another"),
    "reads its output": (lambda m: setattr(_graph(m).operators[1], "inputs", _graph(m).operators[1].outputs * 2), "nothing"),
    "reads a later result": (lambda m: _graph(m).operators.reverse(), "which nothing before it computes"),
    "buffer index": (_set(_tensor(1), "buffer", 99), "refers to buffer 99"),
    "type": (_set(_tensor(1), "type", 77), "unknown type 77"),
    "constant of another shape": (_set(_tensor(1), "shape", [1, 4, 9]), "needs 144 bytes, its buffer has 128"),
    "constant of another type": (_set(_tensor(1), "type", schema.TensorType.INT64), "needs 256 bytes"),
    "negative side": (_set(_tensor(0), "shape", [1, -4, 8]), "has the shape [1, -4, 8]"),
    "huge": (_set(_tensor(0), "shape", [2**15, 2**15, 2**10]), "has the shape"),
    "hundred dimensions": (_set(_tensor(0), "shape", [1] * 100), "100 dimensions"),
    "signature's subgraph": (_set(_signature, "subgraphIndex", 7), "names subgraph 7"),
    "signature's tensor": (_set(lambda m: _signature(m).inputs[0], "tensorIndex", 99), "is tensor 99"),
    "signature's tensor inside": (_set(lambda m: _signature(m).inputs[0], "tensorIndex", 5), "no input of the subgraph"),
    "signature without a name": (_set(lambda m: _signature(m).inputs[0], "name", None), "without a name"),
    "signature with a name twice": (_twice, "twice"),
    "metadata's buffer": (lambda m: setattr(m, "metadata", [_metadata(99)]), "metadata 0 refers to buffer 99"),
    "while itself": (_control_flow("WHILE", "WhileOptions", condSubgraphIndex=0, bodySubgraphIndex=0), "calls itself"),
    "if far away": (_control_flow("IF", "IfOptions", thenSubgraphIndex=9, elseSubgraphIndex=9), "runs subgraph 9"),
    "call once itself": (_control_flow("CALL_ONCE", "CallOnceOptions", initSubgraphIndex=0), "calls itself"),
    "data elsewhere": (lambda m: setattr(m, "externalBufferGroups", [_elsewhere()]), "in other files"),
}
"""A change of the parsed model, and words of the message."""

OPERANDS: dict[str, tuple[Change, str]] = {
    "no inputs": (_set(_operator(1), "inputs", []), "needs 2"),
    "one input": (_set(_operator(1), "inputs", [0]), "needs 2"),
    "an input left out": (_set(_operator(1), "inputs", [0, -1]), "needs 2"),
    "nine inputs": (_set(_operator(1), "inputs", [0, 1] * 4 + [0]), "needs 2"),
    "no weights": (_set(_operator(2), "inputs", [0, -1, -1]), "needs 2 to 3"),
    "nothing to join": (_set(_operator(4), "inputs", []), "needs 1 or more"),
    "no outputs": (_set(_operator(5), "outputs", []), "0 outputs"),
    "an output nobody makes": (lambda m: _graph(m).operators.pop(), "computed by no operator"),
}
"""The same for what only LiteRT needs: the lint reports such operators itself."""

_OPTIONAL: dict[str, Callable[[Any], Any]] = {
    "model": lambda m: m,
    "subgraph": _graph,
    "tensor": _tensor(1),
    "operator": _operator(2),
    "code": lambda m: m.operatorCodes[0],
    "signature": _signature,
    "entry": lambda m: _signature(m).outputs[0],
    "buffer": lambda m: m.buffers[1],
}


def _metadata(buffer: int) -> Any:
    metadata = schema.MetadataT()
    metadata.name, metadata.buffer = "note", buffer
    return metadata


def _elsewhere() -> Any:
    group = schema.ExternalBufferGroupT()
    group.name = "/etc/passwd"
    return group


def changed(original: bytes, change: Change) -> bytes:
    """The packed model after a change."""
    model = parse_model(original)
    change(model)
    return pack_model(model)


def cut(original: bytes) -> Iterator[tuple[str, bytes]]:
    """Beginnings of the file: short ones, and some of every length."""
    for length in (8, 12, 16, 32, 64, 200, 1000, *range(100, len(original), max(len(original) // 12, 1)), len(original) - 1):
        if length < len(original):
            yield f"cut at {length}", original[:length]


def flipped(original: bytes, count: int, seed: int = 3) -> Iterator[tuple[str, bytes]]:
    """Copies with one byte changed."""
    rng = random.Random(seed)
    for _ in range(count):
        position, mask = rng.randrange(8, len(original)), rng.choice((0x01, 0x10, 0x40, 0x80, 0xFF))
        damaged = bytearray(original)
        damaged[position] ^= mask
        yield f"byte {position} ^ {mask:#x}", bytes(damaged)


def without_fields(original: bytes) -> Iterator[tuple[str, bytes]]:
    """Copies in which one table lacks one field: none is required by the schema, and LiteRT reads some that are absent."""
    for table, place in _OPTIONAL.items():
        for field in vars(place(parse_model(original))):
            try:
                yield f"{table} without {field}", changed(original, _set(place, field, None))
            except (TypeError, AttributeError):  # a number, which is never absent
                continue
