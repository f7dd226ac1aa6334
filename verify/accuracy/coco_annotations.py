"""Reads COCO annotations: an instances file with ``images``, ``annotations`` and ``categories``."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from detr2litert.host_runtime.errors import UserError
from detr2litert.host_runtime.foreign_json import read_json
from detr2litert.host_runtime.preprocess import load_image
from detr2litert.verify.accuracy.dataset import AnnotatedPicture, Dataset, choose, existing, finite_box, truth_of
from detr2litert.verify.accuracy.strict_json import class_name, number, refuse, whole

_ROBOFLOW = "_annotations.coco.json"
_SPLITS = ("valid", "val", "test", ".")
_WHAT = "COCO annotations"


def find_annotations(folder: Path) -> Path | None:
    """Finds the annotations file of a folder: as Roboflow exports it, or ``annotations/instances_*.json``.

    Raises:
        UserError: there are several and none is of a validation set.
    """
    named = existing(folder / split / _ROBOFLOW for split in _SPLITS)
    if named is not None:
        return named
    found = sorted((folder / "annotations").glob("instances_*.json"))
    validating = [path for path in found if "val" in path.stem]
    if len(found) > 1 and len(validating) != 1:
        raise UserError(f"{folder} has {len(found)} annotation files; give one of them: {', '.join(p.name for p in found)}")
    return next(iter(validating or found), None)


def read_coco(path: Path, size: int) -> Dataset:
    """Reads an annotations file; its pictures are looked for beside it and where COCO and Roboflow put them.

    Args:
        path: of the file.
        size: how many pictures to keep.

    Raises:
        UserError: it is none, an entry is malformed.
    """
    record = read_json(path, _WHAT)
    for key in ("images", "annotations", "categories"):
        if not isinstance(record, dict) or not isinstance(record.get(key), list):
            raise UserError(f"{path}: no list '{key}', so these are not {_WHAT}")
    numbers, names = _categories(path, record["categories"])
    images = _images(path, record["images"])
    objects: dict[int, list[tuple[list[float], int, bool]]] = {key: [] for key in images}
    for place, entry in enumerate(record["annotations"]):
        where = f"annotation {place}"
        if not isinstance(entry, Mapping):
            refuse(path, where, "is not an object")
        image, category = whole(entry.get("image_id")), whole(entry.get("category_id"))
        if image is None or image not in images:
            refuse(path, where, f"is of image_id {entry.get('image_id')!r}, which 'images' lacks")
        if category is None or category not in numbers:
            refuse(path, where, f"has category_id {entry.get('category_id')!r}, which 'categories' lacks")
        box = _corners(entry.get("bbox"))
        if box is None:
            refuse(path, where, f"has bbox {entry.get('bbox')!r}, not [left, top, width, height] of finite numbers")
        if finite_box(box):
            objects[image].append((box.tolist(), numbers[category], entry.get("iscrowd") in (1, True)))
    folders = _folders(path)
    return Dataset(
        path.parent.name + "/" + path.name,
        names,
        tuple(_picture(folders, images[key], objects[key]) for key in choose(list(images), size)),
        len(images),
    )


def _categories(path: Path, entries: list[Any]) -> tuple[dict[int, int], tuple[str, ...]]:
    numbers: dict[int, int] = {}
    names: list[str] = []
    for place, entry in enumerate(entries):
        number = whole(entry.get("id")) if isinstance(entry, Mapping) else None
        if number is None or not isinstance(entry.get("name"), str) or number in numbers:
            refuse(path, f"category {place}", "lacks an id of its own or a name")
        numbers[number] = len(names)
        names.append(class_name(path, f"category {place}", entry["name"]))
    return numbers, tuple(names)


def _images(path: Path, entries: list[Any]) -> dict[int, str]:
    images: dict[int, str] = {}
    for place, entry in enumerate(entries):
        number = whole(entry.get("id")) if isinstance(entry, Mapping) else None
        if number is None or not isinstance(entry.get("file_name"), str) or number in images:
            refuse(path, f"image {place}", "lacks an id of its own or a file_name")
        images[number] = entry["file_name"]
    if not images:
        raise UserError(f"{path}: lists no pictures")
    return images


def _corners(box: Any) -> Any:
    if not isinstance(box, list) or len(box) != 4 or None in map(number, box):
        return None
    values = np.array(box, np.float64)
    return np.concatenate((values[:2], values[:2] + values[2:]))


def _folders(path: Path) -> tuple[Path, ...]:
    """Where pictures may be: beside the file, or in the folder that is named after the split (``instances_val2017``)."""
    split, root = path.stem.removeprefix("instances_"), path.parent.parent
    return (path.parent, root / split, root / "images" / split, root / "images", root)


def _picture(folders: tuple[Path, ...], file: str, objects: list[tuple[list[float], int, bool]]) -> AnnotatedPicture:
    place = existing(folder / file for folder in folders) or folders[0] / file
    boxes, classes, crowd = zip(*objects, strict=True) if objects else ((), (), ())
    return AnnotatedPicture(file, partial(load_image, place), truth_of(boxes, classes, crowd))
