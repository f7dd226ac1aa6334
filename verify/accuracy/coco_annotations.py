"""Reads COCO annotations: an instances or person_keypoints file with ``images``, ``annotations`` and ``categories``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from detr2litert.host_runtime.errors import UserError
from detr2litert.host_runtime.foreign_json import read_json
from detr2litert.host_runtime.masks import Mask
from detr2litert.host_runtime.preprocess import load_image
from detr2litert.verify.accuracy.dataset import AnnotatedPicture, Dataset, choose, existing, finite_box, truth_of
from detr2litert.verify.accuracy.keypoints import read_keypoints
from detr2litert.verify.accuracy.segmentation import read_segmentation
from detr2litert.verify.accuracy.strict_json import class_name, number, refuse, whole

_ROBOFLOW = "_annotations.coco.json"
_SPLITS = ("valid", "val", "test", ".")
_WHAT = "COCO annotations"


@dataclass(frozen=True)
class _Object:
    """An annotation: its place in the file, box, number of its class, whether it is a crowd, and ``segmentation`` unread.

    ``area`` is the stated one, of the segmentation, or else the box's.
    """

    place: str
    box: list[float]
    number: int
    crowd: bool
    segmentation: Any
    keypoints: NDArray[np.float64] | None
    area: float


@dataclass(frozen=True)
class _Image:
    """A picture's file name, and its width and height where they are stated."""

    file: str
    size: tuple[int, int] | None


def find_annotations(folder: Path) -> Path | None:
    """Finds a folder's annotations: as Roboflow exports them, or ``annotations/instances_*`` or ``person_keypoints_*.json``.

    Raises:
        UserError: there are several and none is of a validation set.
    """
    named = existing(folder / split / _ROBOFLOW for split in _SPLITS)
    if named is not None:
        return named
    found = sorted((folder / "annotations").glob("instances_*.json"))
    found = found or sorted((folder / "annotations").glob("person_keypoints_*.json"))
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
    numbers, names, keypoints = _categories(path, record["categories"])
    images = _images(path, record["images"])
    objects: dict[int, list[_Object]] = {key: [] for key in images}
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
            crowd = entry.get("iscrowd") in (1, True)
            points, area = _keypoints(path, where, entry), number(entry.get("area"))
            area = float((box[2:] - box[:2]).prod()) if area is None or area <= 0 else area
            one = _Object(where, box.tolist(), numbers[category], crowd, entry.get("segmentation"), points, area)
            objects[image].append(one)
    folders = _folders(path)
    return Dataset(
        path.parent.name + "/" + path.name,
        names,
        tuple(_picture(path, folders, images[key], objects[key]) for key in choose(list(images), size)),
        len(images),
        keypoint_names=keypoints,
    )


def _keypoints(path: Path, where: str, entry: Mapping[str, Any]) -> NDArray[np.float64] | None:
    """Returns an object's keypoints ``[n, 3]``; None where it has none."""
    if entry.get("keypoints") in (None, []):
        return None
    try:
        return read_keypoints(entry["keypoints"])
    except ValueError as error:
        refuse(path, where, str(error))


def _categories(path: Path, entries: list[Any]) -> tuple[dict[int, int], tuple[str, ...], dict[int, tuple[str, ...]]]:
    """Returns the classes' numbers by their id, their names, and the names of their keypoints by number, where stated."""
    numbers: dict[int, int] = {}
    names: list[str] = []
    keypoints: dict[int, tuple[str, ...]] = {}
    for place, entry in enumerate(entries):
        number = whole(entry.get("id")) if isinstance(entry, Mapping) else None
        if number is None or not isinstance(entry.get("name"), str) or number in numbers:
            refuse(path, f"category {place}", "lacks an id of its own or a name")
        stated = entry.get("keypoints")
        if isinstance(stated, list) and stated and all(isinstance(name, str) for name in stated):
            keypoints[len(names)] = tuple(stated)
        numbers[number] = len(names)
        names.append(class_name(path, f"category {place}", entry["name"]))
    return numbers, tuple(names), keypoints


def _images(path: Path, entries: list[Any]) -> dict[int, _Image]:
    images: dict[int, _Image] = {}
    for place, entry in enumerate(entries):
        number = whole(entry.get("id")) if isinstance(entry, Mapping) else None
        if number is None or not isinstance(entry.get("file_name"), str) or number in images:
            refuse(path, f"image {place}", "lacks an id of its own or a file_name")
        width, height = whole(entry.get("width")), whole(entry.get("height"))
        stated = width is not None and height is not None and width > 0 and height > 0
        images[number] = _Image(entry["file_name"], (width or 0, height or 0) if stated else None)
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
    split, root = path.stem.removeprefix("instances_").removeprefix("person_keypoints_"), path.parent.parent
    return (path.parent, root / split, root / "images" / split, root / "images", root)


def _picture(path: Path, folders: tuple[Path, ...], image: _Image, objects: list[_Object]) -> AnnotatedPicture:
    place = existing(folder / image.file for folder in folders) or folders[0] / image.file
    points = [o.keypoints for o in objects] if any(o.keypoints is not None for o in objects) else None
    truth = truth_of(
        [o.box for o in objects],
        [o.number for o in objects],
        [o.crowd for o in objects],
        points,
        [o.area for o in objects],
    )
    # Roboflow writes an empty list for an object that has a box alone.
    alone = sum(o.segmentation in (None, []) for o in objects)
    read = None if alone else partial(_masks, path, image, objects)
    return AnnotatedPicture(image.file, partial(load_image, place), truth, read, alone)


def _masks(path: Path, image: _Image, objects: list[_Object]) -> tuple[Mask, ...]:
    """Reads the masks of a picture's objects, which are all of one size."""
    masks: list[Mask] = []
    for one in objects:
        size = image.size or ((masks[0].width, masks[0].height) if masks else None)
        try:
            masks.append(read_segmentation(one.segmentation, size))
        except ValueError as error:
            refuse(path, one.place, str(error))
    return tuple(masks)
