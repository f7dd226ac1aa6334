"""Reads and writes the fields of a transformers configuration by their path."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

FieldPath = tuple[str | int, ...]
"""Keys from the outside to a field; a number is a place in a list."""


def read_field(configuration: Mapping[str, Any], path: FieldPath) -> Any:
    """Returns the value at a path of a configuration, a list as a tuple; None if there is none."""
    value: Any = configuration
    for key in path:
        if isinstance(value, Mapping):
            value = value.get(key)
        elif isinstance(value, list) and isinstance(key, int) and key < len(value):
            value = value[key]
        else:
            return None
    return tuple(value) if isinstance(value, list) else value


def write_field(configuration: dict[str, Any], path: FieldPath, value: Any) -> None:
    """Sets the value at a path of a configuration, a tuple as a list; missing objects on the way are created."""
    place: Any = configuration
    for key in path[:-1]:
        place = place.setdefault(key, {}) if isinstance(place, dict) else place[key]
    place[path[-1]] = list(value) if isinstance(value, tuple) else value
