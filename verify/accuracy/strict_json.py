"""Reads JSON files of others strictly: every refusal is one line that names the file and the place."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any, NoReturn

from detr2litert.host_runtime.errors import UserError, reason

_LARGEST = 2**53


def read_json(path: Path, what: str) -> Any:
    """Reads a file.

    Args:
        path: of the file.
        what: it should be, for messages.

    Raises:
        UserError: it cannot be read, or is not JSON.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({reason(error)}); give the path of {what}") from error
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path}: not valid JSON ({error}); give the path of {what}") from error


def number(value: Any) -> float | None:
    """A finite JSON number as a float; None for anything else, true and false included."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if abs(value) <= _LARGEST and math.isfinite(value) else None


def whole(value: Any) -> int | None:
    """A JSON number without a fraction as an int; None for anything else."""
    found = number(value)
    return int(found) if found is not None and found == int(found) else None


def refuse(path: Path, place: str, problem: str) -> NoReturn:
    """Raises a ``UserError`` for one place in a file."""
    raise UserError(f"{path}: {place} {problem}")
