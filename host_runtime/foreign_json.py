"""Reads JSON that others wrote: a manifest, golden vectors, a phone's record, detections, annotations, class names.

What this module returns, later code may rely on: the file is not larger than its limit, values are not nested deeper than
`JsonLimits.depth`, no name occurs twice in an object, every number is finite, and every text, names included, is printable and
not longer than `JsonLimits.text`. `conform` adds a JSON Schema, the bounds of each field, and makes whole numbers whole:
JSON does not tell 2.0 from 2. `android_sample/core/.../json/ForeignJson.kt` and `web_demo/src/foreign_json.js` read by the same
rules; `tests/host_runtime/hostile_manifests.py` compares the three.

Printable means: without control characters (which recolour or clear a terminal, or end a line), line and paragraph separators,
overrides of the writing direction, and halves of surrogate pairs, which no encoding can write. Joiners, which some scripts and
emoji need, are printable.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jsonschema

from detr2litert.host_runtime.errors import UserError, reason


@dataclass(frozen=True)
class JsonLimits:
    """What a file may hold.

    Attributes:
        size: of the file, in bytes.
        text: length of a text or name, in code points.
        depth: how deep arrays and objects may be nested.
        lines: texts may have line breaks and tabs, and the file a byte order mark.
    """

    size: int
    text: int = 4096
    depth: int = 32
    lines: bool = False


OWN = JsonLimits(4 * 2**20)
"""For formats of this project. A manifest is some tens of kilobytes; one with 20 000 classes has half a megabyte."""
REPORT = JsonLimits(256 * 2**20, text=2**20, lines=True)
"""For this project's records of a run: they contain logs and, as base64, pictures."""
OTHERS = JsonLimits(2**30, text=2**24, depth=64, lines=True)
"""For formats of other projects: COCO's own training annotations have 449 MB, and masks as texts of some kilobytes."""

_UNPRINTABLE = re.compile("[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
_UNPRINTABLE_LINES = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
_LARGEST = 1.7976931348623157e308
_SHOWN = 200
"""Characters of a place or a value that a message shows."""

_Place = tuple[Any, "str | int"] | None
"""Where a value is: the place of its parent, and its name or index; None for the whole document."""


def parse_json(data: str | bytes, limits: JsonLimits = OWN) -> Any:
    """Parses a document.

    Raises:
        ValueError: it is not UTF-8, not JSON, or exceeds the limits. The message is one printable line without the file's name.
    """
    if len(data) > limits.size:
        raise ValueError(f"it is larger than {limits.size} bytes")
    if isinstance(data, bytes):
        try:
            data = data.decode("utf-8-sig" if limits.lines else "utf-8")
        except UnicodeDecodeError as error:
            raise ValueError("it is not UTF-8 text") from error
    try:
        value = json.loads(data, object_pairs_hook=_object)
    except RecursionError as error:
        raise ValueError(_too_deep(limits)) from error
    check_values(value, limits)
    return value


def read_json(path: Path, what: str, limits: JsonLimits = OTHERS) -> Any:
    """Reads a file.

    Args:
        path: of the file.
        what: it should be, for messages.
        limits: see `parse_json`.

    Raises:
        UserError: it cannot be read, or is not such a document.
    """
    try:
        # One byte more than allowed tells a file that is too long, whatever its size was before.
        with path.open("rb") as stream:
            data = stream.read(limits.size + 1)
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({reason(error)}); give the path of {what}") from error
    try:
        return parse_json(data, limits)
    except ValueError as error:
        raise UserError(f"{path}: not valid JSON ({error}); give the path of {what}") from error


def conform(value: Any, schema: Mapping[str, Any]) -> Any:
    """Checks a parsed document by a JSON Schema (draft 2020-12), and returns it with its whole numbers as `int`.

    Raises:
        ValueError: the first violation, with its place: ``at $.graphs.a: …``.
    """
    # The first error alone: a document of a million wrong items would take minutes to list.
    problem = next(jsonschema.Draft202012Validator(schema).iter_errors(value), None)
    if problem is not None:
        # The message begins with the value, of any length, and ends with what is wrong with it.
        text = problem.message
        text = text if len(text) <= _SHOWN else f"{text[: _SHOWN // 3]} … {text[-_SHOWN // 3 :]}"
        raise ValueError(f"at {problem.json_path[:_SHOWN]}: {text}")
    return _whole(value, schema, schema)


def check_values(value: Any, limits: JsonLimits = OWN) -> None:
    """Checks the numbers, texts and nesting of a parsed document.

    Raises:
        ValueError: the first value beyond the limits, with its place.
    """
    pending: list[tuple[Any, _Place, int]] = [(value, None, 0)]
    while pending:
        item, place, depth = pending.pop()
        if isinstance(item, dict | list):
            if depth >= limits.depth:
                raise ValueError(_too_deep(limits))
            for key, child in item.items() if isinstance(item, dict) else enumerate(item):
                inner = (place, key)
                if isinstance(key, str):
                    _check_text(key, inner, limits)
                # Most values are numbers and short texts: they are checked here, without being listed first.
                if isinstance(child, str):
                    _check_text(child, inner, limits)
                elif isinstance(child, dict | list):
                    pending.append((child, inner, depth + 1))
                else:
                    _check_number(child, inner)
        elif isinstance(item, str):
            _check_text(item, place, limits)
        else:
            _check_number(item, place)


def text_problem(text: str, most: int, lines: bool = False) -> str | None:
    """What is wrong with a text, to follow its place in a message; None if it is printable and not too long.

    Args:
        text: from a file.
        most: code points that it may have.
        lines: whether line breaks and tabs are allowed.
    """
    if len(text) > most:
        return f"is a text of {len(text)} characters, more than {most}"
    if text.isprintable():
        return None
    found = (_UNPRINTABLE_LINES if lines else _UNPRINTABLE).search(text)
    return None if found is None else f"has the unprintable character U+{ord(found[0]):04X}"


def escaped(text: str, lines: bool = False) -> str:
    r"""Returns a text with what `text_problem` refuses written as ``\x1b`` or ``\u202e``, for what this project writes."""
    return (_UNPRINTABLE_LINES if lines else _UNPRINTABLE).sub(lambda found: ascii(found[0])[1:-1], text)


def _check_text(text: str, place: _Place, limits: JsonLimits) -> None:
    problem = text_problem(text, limits.text, limits.lines)
    if problem is not None:
        raise ValueError(f"{_path(place)} {problem}")


def _check_number(value: Any, place: _Place) -> None:
    # Python's parser accepts NaN and Infinity, which are not JSON, and reads 1e999 as infinity and 10**400 exactly.
    if isinstance(value, int | float) and not -_LARGEST <= value <= _LARGEST:
        raise ValueError(f"{_path(place)} is not a finite number")


def _path(place: _Place) -> str:
    """A place as jsonpath, printable and shortened: ``$.classes[3]``."""
    steps: list[str] = []
    while place is not None:
        place, key = place
        steps.append(f".{ascii(key)[1:-1][:60]}" if isinstance(key, str) else f"[{key}]")
    return f"${''.join(reversed(steps))}"[:_SHOWN]


def _too_deep(limits: JsonLimits) -> str:
    return f"it is nested deeper than {limits.depth}"


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        seen: set[str] = set()
        for name, _ in pairs:
            if name in seen:
                raise ValueError(f"the name {ascii(name)[:_SHOWN]} is given twice")
            seen.add(name)
    return members


def _whole(value: Any, schema: Mapping[str, Any], root: Mapping[str, Any]) -> Any:
    """Converts the numbers that the schema calls integers; the value conforms to it."""
    while "$ref" in schema:
        target: Any = root
        for step in schema["$ref"].removeprefix("#/").split("/"):
            target = target[step]
        schema = target
    if isinstance(value, dict):
        known, others = schema.get("properties", {}), schema.get("additionalProperties", {})
        return {name: _whole(item, known.get(name, others or {}), root) for name, item in value.items()}
    if isinstance(value, list):
        return [_whole(item, schema.get("items", {}), root) for item in value]
    if isinstance(value, float) and math.isfinite(value) and schema.get("type") == "integer":
        return int(value)
    return value
