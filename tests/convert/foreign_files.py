"""Small .tflite files like those of other converters, unusual ones included."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import flatbuffers
from ai_edge_litert import schema_py_generated as schema

from detr2litert.host_runtime.tflite.graph import parse_model
from detr2litert.host_runtime.tflite.writer import ModelWriter

SHAPE = (1, 4, 4, 8)


def one_op(path: Path, kind: str = "MUL", x: str = "x", y: str = "y", **options: Any) -> Path:
    """``y = kind(x, z)``, all of one shape."""
    writer = ModelWriter()
    writer.op(kind, [writer.input(x, SHAPE), writer.input("z", SHAPE)], {y: SHAPE}, **options)
    return writer.write(path, [y])


def edit(path: Path, change: Callable[[Any], None]) -> Path:
    """Changes the schema's ``ModelT`` of a file in place."""
    model = parse_model(path.read_bytes())
    change(model)
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), b"TFL3")
    path.write_bytes(bytes(builder.Output()))
    return path


def add_signature(model: Any, custom: str = "") -> None:
    """A second entry, ``other``: a copy of the first, or with a custom operator in the place of its first one."""
    subgraph, signature = copy.deepcopy(model.subgraphs[0]), copy.deepcopy(model.signatureDefs[0])
    subgraph.name = "second"
    signature.signatureKey, signature.subgraphIndex = "other", len(model.subgraphs)
    if custom:
        code = schema.OperatorCodeT()
        code.builtinCode = code.deprecatedBuiltinCode = schema.BuiltinOperator.CUSTOM
        code.customCode = custom
        subgraph.operators[0].opcodeIndex = len(model.operatorCodes)
        subgraph.operators[0].builtinOptions, subgraph.operators[0].builtinOptionsType = None, 0
        model.operatorCodes.append(code)
    model.subgraphs.append(subgraph)
    model.signatureDefs.append(signature)


def without_operands(model: Any) -> None:
    """Its first operator has no inputs."""
    model.subgraphs[0].operators[0].inputs = []


def without_signature(model: Any) -> None:
    model.signatureDefs = None


def without_operators(model: Any) -> None:
    model.subgraphs[0].operators = []


def with_open_dimension(model: Any) -> None:
    model.subgraphs[0].tensors[0].shapeSignature = [-1, *SHAPE[1:]]
