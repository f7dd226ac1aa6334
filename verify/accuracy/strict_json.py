"""Reads the fields of JSON files of others strictly: every refusal is one line that names the file and the place."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any, NoReturn

from detr2litert.host_runtime.errors import UserError
from detr2litert.host_runtime.foreign_json import text_problem
from detr2litert.host_runtime.manifest import MAX_CLASS_NAME

_LARGEST = 2**53
_SHOWN = 300
"""Characters of a problem that a message shows: it may quote a value of any length."""


def number(value: Any) -> float | None:
    """A finite JSON number as a float; None for anything else, true and false included."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if abs(value) <= _LARGEST and math.isfinite(value) else None


def whole(value: Any) -> int | None:
    """A JSON number without a fraction as an int; None for anything else."""
    found = number(value)
    return int(found) if found is not None and found == int(found) else None


def class_name(path: Path, place: str, value: str) -> str:
    """Returns a class name; raises ``UserError`` if it cannot be printed or drawn."""
    problem = text_problem(value, MAX_CLASS_NAME)
    if problem is not None:
        refuse(path, place, f"has a class name that {problem}; correct it")
    return value


def refuse(path: Path, place: str, problem: str) -> NoReturn:
    """Raises a ``UserError`` for one place in a file."""
    raise UserError(f"{path}: {place[:_SHOWN]} {problem if len(problem) <= _SHOWN else f'{problem[:_SHOWN]}…'}")
