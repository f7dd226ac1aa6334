"""Determines the class name of every logit column.

In order of precedence: the user's file, the names in the checkpoint, the names of the published weights (COCO's ids for COCO
models) if the class head has the same width, and numbered names. Where the file leaves open which column a name belongs to,
nothing is guessed: the error shows each reading, and ``--classes`` decides.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from detr2litert.convert.models.checkpoints.stated_classes import Columns, StatedClasses
from detr2litert.convert.models.coco import COCO_CONTIGUOUS, COCO_NAMES, COCO_SPARSE
from detr2litert.convert.models.keypoints.skeletons import Skeleton, stated_skeleton
from detr2litert.convert.models.variants import ClassNames, Variant
from detr2litert.host_runtime.errors import UserError
from detr2litert.host_runtime.foreign_json import OTHERS, parse_json, text_problem
from detr2litert.host_runtime.manifest import MAX_CLASS_NAME


@dataclass(frozen=True)
class Classes:
    """The meaning of the logit columns.

    Attributes:
        names: one entry per logit column; None for a column without a class: COCO's unused ids, and the unused column of a
            fine-tuned rfdetr head (see ``convert.models.checkpoints.stated_classes``).
        source: the origin of the names and of their columns, for the report.
        skeletons: the keypoints of classes, by name, where the user's file states them.
        ids: one entry per logit column: the id that the file, the checkpoint's or the user's, gives the name, or its place in
            a list of names, from 0; None where it names nothing.
    """

    names: ClassNames
    source: str
    ids: tuple[int | None, ...]
    skeletons: Mapping[str, Skeleton] = field(default_factory=dict)

    @property
    def ignored(self) -> tuple[int, ...]:
        """Columns that are never reported."""
        return tuple(column for column, name in enumerate(self.names) if name is None)


@dataclass(frozen=True)
class ClassFile:
    """Names in a user's file.

    Attributes:
        names: in order, None for an unused place; or id → name.
        ids_are_columns: the ids are columns of the class head. False for the ids of an annotation file, which some projects
            make contiguous in training.
        skeletons: the keypoints of an annotation file's categories, by name.
    """

    names: Sequence[str | None] | Columns
    ids_are_columns: bool = True
    skeletons: Mapping[str, Skeleton] = field(default_factory=dict)


def resolve_classes(variant: Variant, columns: int, stated: StatedClasses | None = None, file: Path | None = None) -> Classes:
    """Returns names for ``columns`` logit columns, each of which a manifest may have.

    Args:
        variant: its ``classes`` are used when nothing else names the columns.
        columns: width of the class head.
        stated: of the checkpoint.
        file: see ``read_class_file``.

    Raises:
        UserError: the file cannot be read, its number of classes does not fit the class head (both numbers are given), or it is
            not determined which column a name belongs to (each reading is shown), or a name cannot be printed or is too long.
    """
    classes = _resolve(variant, columns, stated, file)
    for column, name in enumerate(classes.names):
        problem = None if name is None else text_problem(name, MAX_CLASS_NAME)
        if problem is not None:
            raise UserError(f"the name of class {column} ({classes.source}) {problem}; name the classes with --classes FILE")
    return classes


def _resolve(variant: Variant, columns: int, stated: StatedClasses | None, file: Path | None) -> Classes:
    if file is not None:
        return _from_file(read_class_file(file), columns, stated, file)
    if stated is not None:
        fitting = [reading for reading in stated.readings if max(reading) < columns]
        if not fitting:
            raise UserError(
                f"the checkpoint names {max(stated.readings[0]) + 1} classes, but its class head has {columns} columns; "
                "name them with --classes FILE"
            )
        if len(fitting) > 1:
            raise UserError(_ambiguous("the checkpoint", fitting, columns, stated.rule))
        ids = range(len(fitting[0])) if stated.listed else sorted(fitting[0])
        return Classes(_spread(fitting[0], columns), f"the checkpoint: {stated.rule}", _ids(fitting[0], ids, columns))
    unnamed = (None,) * columns
    if len(variant.classes) == columns:
        whose = "COCO's names" if variant.classes in (COCO_SPARSE, COCO_CONTIGUOUS) else "the names"
        source = f"{whose} of the published {variant.name}, whose head has {columns} columns too; the file names none"
        return Classes(variant.classes, source, unnamed)
    numbers = tuple(f"class {column}" for column in range(columns))
    return Classes(numbers, "numbered: the checkpoint names no classes", unnamed)


def read_class_file(file: Path) -> ClassFile:
    """Reads a class file: one name per line, or JSON.

    JSON is a list of names (null for an unused place), an object of column → name, or a COCO annotation file, whose
    ``categories`` have ids and names.

    Raises:
        UserError: unreadable, not text, empty, or JSON of another form.
    """
    try:
        with file.open("rb") as stream:
            data = stream.read(OTHERS.size + 1)
        text = data.decode("utf-8-sig")
    except OSError as error:
        raise UserError(f"cannot read class file {file}: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise UserError(f"class file {file} is not UTF-8 text") from error
    if text.lstrip()[:1] in ("[", "{") or file.suffix == ".json":
        return _from_json(text, file)
    lines: list[str | None] = [line.strip() or None for line in text.rstrip().splitlines()]
    if not lines:
        raise UserError(f"class file {file} is empty; write one class name per line")
    return ClassFile(lines)


def _from_json(text: str, file: Path) -> ClassFile:
    try:
        value = parse_json(text, OTHERS)
    except ValueError as error:
        raise UserError(f"class file {file} is not valid JSON: {error}") from error
    if isinstance(value, list) and value and all(name is None or isinstance(name, str) for name in value):
        return ClassFile(value)
    if isinstance(value, dict) and isinstance(value.get("categories"), list):
        return _from_annotations(value["categories"], file)
    if isinstance(value, dict) and value and all(_is_id(key) and isinstance(name, str) for key, name in value.items()):
        return ClassFile({int(key): name for key, name in value.items()})
    raise UserError(
        f"class file {file} must hold a list of names (null for an unused id), an object of column to name, or COCO annotations"
    )


def _from_annotations(categories: list[object], file: Path) -> ClassFile:
    names: dict[int, str] = {}
    skeletons: dict[str, Skeleton] = {}
    for category in categories:
        entry = category if isinstance(category, dict) else {}
        number, name = entry.get("id"), entry.get("name")
        if (
            not isinstance(number, int)
            or isinstance(number, bool)
            or number < 0
            or not isinstance(name, str)
            or number in names
        ):
            raise UserError(f"class file {file}: each of its categories needs an id of its own, 0 or more, and a name")
        names[number] = name
        try:
            stated = stated_skeleton(entry)
        except ValueError as error:
            raise UserError(f"class file {file}: category {name}: {error}") from error
        if stated is not None:
            skeletons[name] = stated
    if not names:
        raise UserError(f"class file {file} has no categories")
    return ClassFile(names, ids_are_columns=False, skeletons=skeletons)


def _is_id(key: str) -> bool:
    """True for digits, not too many for Python to convert."""
    return key.isdecimal() and len(key) < 20


def _from_file(content: ClassFile, columns: int, stated: StatedClasses | None, file: Path) -> Classes:
    readings = _readings(content, columns, stated, file)
    if len(readings) > 1:
        raise UserError(
            _ambiguous(f"class file {file}", readings, columns, "the checkpoint does not say which column is unused")
        )
    ids = sorted(content.names) if isinstance(content.names, Mapping) else _places(content.names)
    return Classes(_spread(readings[0], columns), str(file), _ids(readings[0], ids, columns), content.skeletons)


def _readings(content: ClassFile, columns: int, stated: StatedClasses | None, file: Path) -> list[Columns]:
    """Returns each way in which the names may belong to the columns.

    Raises:
        UserError: there is none.
    """
    names = content.names
    if isinstance(names, Mapping):
        contiguous: Columns = dict(enumerate(names[number] for number in sorted(names)))
        candidates = [names] if content.ids_are_columns else [names, contiguous]
        fitting = [reading for reading in candidates if max(reading) < columns]
        if not fitting:
            raise UserError(
                f"class file {file} names id {max(names)}, but the class head has {columns} columns (0 to {columns - 1})"
            )
    else:
        offsets = range(2) if len(names) == columns - 1 else range(1) if len(names) == columns else ()
        fitting = [{place + first: name for place, name in enumerate(names) if name is not None} for first in offsets]
        if len(names) == len(COCO_NAMES) and columns == len(COCO_SPARSE):
            used = (column for column, name in enumerate(COCO_SPARSE) if name is not None)
            fitting = [{column: name for column, name in zip(used, names, strict=True) if name is not None}]
        if not fitting:
            raise UserError(
                f"class file {file} has {len(names)} classes, but the class head has {columns} columns; give {columns} names, "
                'or their columns, as in {"1": "bolt"}'
            )
    distinct = [reading for place, reading in enumerate(fitting) if reading not in fitting[:place]]
    return _as_stated(distinct, stated) or distinct


def _as_stated(readings: Sequence[Columns], stated: StatedClasses | None) -> list[Columns]:
    """Returns the readings that use the columns that the checkpoint's own names use."""
    if stated is None or stated.columns is None:
        return []
    return [reading for reading in readings if min(reading) == min(stated.columns)]


def _ambiguous(what: str, readings: Sequence[Columns], columns: int, rule: str) -> str:
    shown = " or ".join(
        f"{column}: {name} (unused: {', '.join(map(str, sorted(set(range(columns)) - set(reading)))) or 'none'})"
        for reading in readings
        for column, name in list(reading.items())[:1]
    )
    example = json.dumps({str(column): name for column, name in list(readings[0].items())[:2]})
    return (
        f"{what} names {len(readings[0])} classes for {columns} columns of the class head, and the first may be column {shown}"
        f": {rule}; give --classes FILE with the columns, as in {example}"
    )


def _places(names: Sequence[str | None]) -> list[int]:
    """Returns the places of a list that have a name."""
    return [place for place, name in enumerate(names) if name is not None]


def _ids(reading: Columns, ids: Sequence[int], columns: int) -> tuple[int | None, ...]:
    """Returns the id of each column; ids in ascending order are on columns in ascending order, in every reading."""
    by_column = dict(zip(sorted(reading), ids, strict=True))
    return tuple(by_column.get(column) for column in range(columns))


def _spread(names: Columns, columns: int) -> ClassNames:
    return tuple(names.get(column) for column in range(columns))
