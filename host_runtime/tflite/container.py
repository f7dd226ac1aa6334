"""Converts the bytes of a .tflite file to the schema's objects, and back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema

IDENTIFIER = b"TFL3"
"""Bytes 4 to 8 of every model, from the schema's file_identifier."""
_OP_NAMES: Mapping[int, str] = {v: k for k, v in vars(schema.BuiltinOperator).items() if isinstance(v, int)}
_OLD_CODES = 127  # the largest code of the one-byte field, which older readers use


def is_model(head: bytes) -> bool:
    """Returns whether a file that begins with these bytes, eight or more, has the LiteRT model identifier."""
    return head[4:8] == IDENTIFIER


def open_model(raw: Any) -> Any:
    """Returns the schema's ``Model`` over a file's bytes or a map of them; each accessor reads the bytes when it is called."""
    return schema.Model.GetRootAs(raw, 0)


def parse_model(raw: bytes) -> Any:
    """Parses a file's bytes to the schema's ``ModelT``, with every buffer's data loaded.

    A buffer may be after the flatbuffer, at an offset and size (schema.fbs, ``Buffer``): the quantizer writes such files.

    Raises:
        ValueError: a buffer is outside the file. Damaged bytes may raise any exception.
    """
    model = schema.ModelT.InitFromObj(open_model(raw))
    for buffer in model.buffers:
        if buffer.offset > 1:
            if buffer.offset + buffer.size > len(raw):
                raise ValueError("a buffer is outside the file")
            buffer.data = np.frombuffer(raw, np.uint8, buffer.size, buffer.offset)
            buffer.offset, buffer.size = 0, 0
    return model


def pack_model(model: Any) -> bytes:
    """Serialises a ``ModelT``."""
    builder = flatbuffers.Builder(1 << 20)
    builder.Finish(model.Pack(builder), file_identifier=IDENTIFIER)
    return bytes(builder.Output())


def builtin(code: Any) -> int:
    """Returns the ``BuiltinOperator`` of an ``OperatorCodeT``; older files have the deprecated field only."""
    return max(int(code.builtinCode), int(code.deprecatedBuiltinCode))


def operator_code(operator: int, version: int = 1, custom: str = "") -> Any:
    """Returns an ``OperatorCodeT`` for readers of either field."""
    code = schema.OperatorCodeT()
    code.builtinCode = operator
    code.deprecatedBuiltinCode = min(operator, _OLD_CODES)
    code.version = version
    code.customCode = custom or None
    return code


def operator_name(code: Any) -> str:
    """Returns the builtin's name in the schema."""
    return operator_label(code.builtinCode, code.deprecatedBuiltinCode)


def operator_label(number: int, deprecated: int) -> str:
    """Returns the name of a builtin by its number; older files have the deprecated field only."""
    number = max(int(number), int(deprecated))
    return _OP_NAMES.get(number, f"BUILTIN_{number}")


def operator_number(name: str) -> int:
    """Returns a builtin's number in the schema, by its name there."""
    return int(getattr(schema.BuiltinOperator, name))


def text(value: bytes | str | None) -> str:
    """Decodes a string of the file, which the schema's reader returns as bytes."""
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else value or ""
