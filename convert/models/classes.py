"""Determines the class name of every logit column.

In order of precedence: the user's file, the names in the checkpoint, the names of the published weights (COCO's ids for COCO
models) if the class head has the same width, and numbered names.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from detr2litert.convert.models.coco import COCO_NAMES, COCO_SPARSE
from detr2litert.convert.models.variants import ClassNames, Variant
from detr2litert.host_runtime.errors import UserError


@dataclass(frozen=True)
class Classes:
    """The meaning of the logit columns.

    Attributes:
        names: one entry per logit column; None for a column without a class: COCO's unused ids, and the unused column of a
            fine-tuned rfdetr head (see ``convert.models.checkpoints.stated_classes``).
        source: the origin of the names, for the report.
    """

    names: ClassNames
    source: str

    @property
    def ignored(self) -> tuple[int, ...]:
        """Columns that are never reported."""
        return tuple(column for column, name in enumerate(self.names) if name is None)


def resolve_classes(
    variant: Variant, columns: int, stated: Mapping[int, str] | None = None, file: Path | None = None
) -> Classes:
    """Returns names for ``columns`` logit columns.

    Args:
        variant: its ``classes`` are used when nothing else names the columns.
        columns: width of the class head.
        stated: logit column → name, from the checkpoint.
        file: one name per line, or JSON: a list of names (null for an unused id) or an object of id → name. A list one shorter
            than the class head leaves the last column unused, as rfdetr trains it (or the first, if the checkpoint's own names
            begin at 1); the 80 COCO names over 91 columns are placed at COCO's ids.

    Raises:
        UserError: the file cannot be read, or its number of classes does not fit the class head; both numbers are given.
    """
    if file is not None:
        return Classes(_fit(read_class_file(file), columns, 1 if stated and min(stated) == 1 else 0, file), str(file))
    if stated and max(stated) < columns:
        return Classes(tuple(stated.get(column) for column in range(columns)), "checkpoint")
    if stated:
        raise UserError(
            f"the checkpoint names {max(stated) + 1} classes, but its class head has {columns} columns; "
            "name them with --classes FILE"
        )
    if len(variant.classes) == columns:
        return Classes(variant.classes, f"the published {variant.name}")
    return Classes(tuple(f"class {column}" for column in range(columns)), "numbered: the checkpoint names no classes")


def read_class_file(file: Path) -> Sequence[str | None] | Mapping[int, str]:
    """Reads the names in a class file, as a list or as id → name.

    Raises:
        UserError: unreadable, not text, empty, or JSON of another form.
    """
    try:
        text = file.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise UserError(f"cannot read class file {file}: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise UserError(f"class file {file} is not UTF-8 text") from error
    if text.lstrip()[:1] in ("[", "{") or file.suffix == ".json":
        return _from_json(text, file)
    lines: list[str | None] = [line.strip() or None for line in text.rstrip().splitlines()]
    if not lines:
        raise UserError(f"class file {file} is empty; write one class name per line")
    return lines


def _from_json(text: str, file: Path) -> Sequence[str | None] | Mapping[int, str]:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise UserError(f"class file {file} is not valid JSON: {error}") from error
    if isinstance(value, list) and value and all(name is None or isinstance(name, str) for name in value):
        return value
    if isinstance(value, dict) and value and all(_is_id(key) and isinstance(name, str) for key, name in value.items()):
        return {int(key): name for key, name in value.items()}
    raise UserError(f"class file {file} must hold a list of names (null for an unused id) or an object of id to name")


def _is_id(key: str) -> bool:
    """True for digits, not too many for Python to convert."""
    return key.isdecimal() and len(key) < 20


def _fit(names: Sequence[str | None] | Mapping[int, str], columns: int, first: int, file: Path) -> ClassNames:
    if isinstance(names, Mapping):
        if max(names) < columns:
            return tuple(names.get(column) for column in range(columns))
        raise UserError(
            f"class file {file} names id {max(names)}, but the class head has {columns} columns (0 to {columns - 1})"
        )
    if len(names) == columns:
        return tuple(names)
    if len(names) == columns - 1:
        return (None, *names) if first else (*names, None)
    if len(names) == len(COCO_NAMES) and columns == len(COCO_SPARSE):
        replacements = iter(names)
        return tuple(None if name is None else next(replacements) for name in COCO_SPARSE)
    raise UserError(
        f"class file {file} has {len(names)} classes, but the class head has {columns} columns; give {columns} names, or "
        f"{columns - 1} if one column is unused"
    )
