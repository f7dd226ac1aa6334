"""Reads the class of each logit column from a checkpoint."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from detr2litert.convert.models.checkpoints.containers import Contents
from detr2litert.convert.models.coco import COCO_NAMES, COCO_SPARSE

Columns = Mapping[int, str]
"""Logit column → class name."""


@dataclass(frozen=True)
class StatedClasses:
    """The class names that a checkpoint states.

    Attributes:
        readings: which column each name may belong to: one reading if the file determines it, else several.
        rule: how names belong to columns, with its source.
        listed: the file has names without ids, so that a name's id is its place in the list; else its column.
    """

    readings: tuple[Columns, ...]
    rule: str
    listed: bool = False

    @property
    def columns(self) -> Columns | None:
        """Returns the only reading; None if there are several."""
        return self.readings[0] if len(self.readings) == 1 else None


def classes_from_arguments(contents: Contents, columns: int) -> StatedClasses | None:
    """Returns the classes in the training arguments of an rfdetr checkpoint; None if there are no names.

    Which column belongs to a name depends on the version that trained the file (measured with each version's own training and
    ``class_names``; tests/originals/README.md has the table):

    - 1.0 to 1.4 train on the data set's own ids and name column i + 1 after name i (rfdetr/detr.py, ``class_names``):
      Roboflow's ids begin with 1, below a parent category 0. YOLO data sets (1.2 on) have as many columns as names.
    - 1.5 makes the ids contiguous, the parent included (rfdetr/datasets/coco.py, ``cat2label``). Whether there was a parent is
      not in the file, and the number of columns is the same.
    - Since 1.6, name i is on column i (rfdetr/training/module_data.py, ``class_names``), and columns after the last name are
      unused.

    The 80 COCO names over 91 columns are COCO's sparse ids in every version.
    """
    names = contents.argument("class_names")
    if isinstance(names, str):
        names = [names]
    if isinstance(names, Mapping):
        stated = {key: str(name) for key, name in names.items() if isinstance(key, int) and not isinstance(key, bool)}
        return StatedClasses((stated,), "the file maps ids to names") if stated else None
    if not isinstance(names, list | tuple) or not names or not all(isinstance(name, str) for name in names):
        return None
    if tuple(names) == COCO_NAMES and columns == len(COCO_SPARSE):
        sparse = {column: name for column, name in enumerate(COCO_SPARSE) if name is not None}
        return StatedClasses((sparse,), "COCO's 80 names at their ids", listed=True)
    contiguous, from_one = _numbered(names, 0), _numbered(names, 1)
    if not contents.arguments_are_a_namespace:
        return StatedClasses((contiguous,), "name i on column i, as rfdetr trains since 1.6", listed=True)
    if len(names) == columns:
        return StatedClasses((contiguous,), "as many names as columns", listed=True)
    if any("aug_config" in arguments for arguments in contents.arguments.values()):
        return StatedClasses(
            (contiguous, from_one),
            "rfdetr 1.5 does not record whether the data set's first category was the parent of the others",
            listed=True,
        )
    rule = "name i on column i + 1, as rfdetr trains before 1.5: columns are the data set's ids"
    return StatedClasses((from_one,), rule, listed=True)


def classes_from_export(names: Sequence[str], columns: int) -> StatedClasses:
    """Returns the classes that an upload bundle of rfdetr names: what its own ``predict`` shows for each column, since 1.6."""
    if tuple(names) == COCO_NAMES and columns == len(COCO_SPARSE):
        sparse = {column: name for column, name in enumerate(COCO_SPARSE) if name is not None}
        return StatedClasses((sparse,), "COCO's 80 names at their ids", listed=True)
    return StatedClasses((_numbered(names, 0),), "name i of class_names.txt on column i, as rfdetr since 1.6", listed=True)


def on_keypoint_slots(stated: StatedClasses, counts: Sequence[int]) -> StatedClasses:
    """Returns the classes of a keypoint checkpoint, given how many keypoints each column has.

    Where column 0 has none, it is the background of rfdetr's older keypoint models, and the names are those of the columns
    with keypoints (rfdetr/detr.py, ``predict``, 1.11.2); COCO's names are at COCO's ids all the same.
    """
    columns = stated.columns
    if not counts or counts[0] > 0 or columns is None or not stated.listed or tuple(columns.values()) == COCO_NAMES:
        return stated
    slots = [column for column, count in enumerate(counts) if count]
    names = [columns[column] for column in sorted(columns)]
    reading = dict(zip(slots, names, strict=False))
    return StatedClasses((reading,), "name i on the i-th class with keypoints, as rfdetr where class 0 has none", listed=True)


def _numbered(names: Sequence[str], first: int) -> Columns:
    return {first + place: name for place, name in enumerate(names)}


def classes_from_config(config: Mapping[str, Any]) -> StatedClasses | None:
    """Returns the classes of a config.json's ``id2label``; None if it only has transformers' placeholders."""
    stated = config.get("id2label")
    if not isinstance(stated, Mapping):
        return None
    # Python converts no more than some thousand digits.
    labels = {int(key): str(name) for key, name in stated.items() if str(key).isdecimal() and len(key) < 10}
    if all(name == f"LABEL_{column}" for column, name in labels.items()):
        return None
    used = {column: name for column, name in labels.items() if name not in ("N/A", "None", "")}
    return StatedClasses((used,), "id2label of config.json")
