"""Notes of the user: any JSON value, stored in the manifest and in the metadata of the files."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from ai_edge_litert import schema_py_generated as schema

from detr2litert.host_runtime.errors import UserError
from detr2litert.host_runtime.foreign_json import JsonLimits, parse_json, read_json
from detr2litert.host_runtime.tflite.editor import FlatbufferEditor

METADATA = "notes"
"""The name of the metadata in a .tflite file."""
LIMITS = JsonLimits(2**20, depth=24)
"""Within the manifest's own, so that every runtime can read it."""


def read_notes(given: str) -> Any:
    """Returns the value of ``--notes``: JSON text, or the path of a file of it.

    Raises:
        UserError: it is neither, or more than a manifest may hold.
    """
    # Not Path.is_file, which raises where a text is too long for a path.
    if os.path.isfile(given):  # noqa: PTH113
        return read_json(Path(given), "a JSON file for --notes", LIMITS)
    try:
        return parse_json(given, LIMITS)
    except ValueError as error:
        raise UserError(
            f"""--notes is no file and not JSON ({error}); a text needs quotes of its own, as in '"spring batch"'"""
        ) from error


def write_metadata(file: Path, value: Any, name: str = METADATA) -> None:
    """Adds a JSON value to the metadata of a .tflite file, in place, under the name of the notes or another."""
    editor = FlatbufferEditor(file)
    buffer = schema.BufferT()
    buffer.data = list(json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode())
    editor.model.buffers.append(buffer)
    entry = schema.MetadataT()
    entry.name, entry.buffer = name, len(editor.model.buffers) - 1
    editor.model.metadata = [*(editor.model.metadata or []), entry]
    editor.save(file)
