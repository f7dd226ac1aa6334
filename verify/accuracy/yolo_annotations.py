"""Reads YOLO annotations: a data.yaml with class names, and a text file a picture, as ultralytics and Roboflow write them.

A line is ``class x y width height``, a box by its centre, or ``class x1 y1 x2 y2 x3 y3 …``, a polygon; all fractions of the
picture's sides. A polygon is a box, the one around its corners, and a mask, whose pixels are those of a COCO polygon.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from PIL import ExifTags, Image, UnidentifiedImageError

from detr2litert.host_runtime.errors import UserError, reason
from detr2litert.host_runtime.masks import Mask
from detr2litert.host_runtime.preprocess import PICTURE_SUFFIXES, load_image
from detr2litert.verify.accuracy.dataset import AnnotatedPicture, Dataset, choose, existing, finite_box, truth_of
from detr2litert.verify.accuracy.segmentation import read_segmentation
from detr2litert.verify.accuracy.strict_json import class_name

_SPLITS = ("val", "valid", "test")


def find_yaml(folder: Path) -> Path | None:
    """Finds a folder's data.yaml, or its only .yaml file."""
    found = sorted((*folder.glob("*.yaml"), *folder.glob("*.yml")))
    named = existing((folder / "data.yaml", folder / "data.yml"))
    return named if named is not None else found[0] if len(found) == 1 else None


def read_yolo(path: Path, size: int) -> Dataset:
    """Reads the validation pictures of a data.yaml, or its test pictures where it has no others.

    Args:
        path: of the data.yaml.
        size: how many pictures to keep.

    Raises:
        UserError: it is none, a label is malformed, or no pictures are there.
    """
    record = _yaml(path)
    names = _names(path, record.get("names"))
    split = next((key for key in _SPLITS if record.get(key)), None)
    if split is None:
        raise UserError(f"{path}: has neither 'val' nor 'test'")
    files = _files(path, record, record[split])
    if not files:
        raise UserError(f"{path}: there are no pictures in its '{split}' ({record[split]})")
    pictures = tuple(_picture(file, len(names)) for file in choose(files, size))
    return Dataset(f"{path.parent.name}/{path.name} ({split})", names, pictures, len(files))


def _yaml(path: Path) -> Mapping[str, Any]:
    import yaml

    try:
        record = yaml.safe_load(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({reason(error)})") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: not valid YAML ({' '.join(str(error).split())})") from error
    if not isinstance(record, Mapping):
        raise UserError(f"{path}: has no 'names' and 'val'")
    return record


def _names(path: Path, value: Any) -> tuple[str, ...]:
    """Class names by number, from a list or a mapping of number to name."""
    if isinstance(value, Mapping) and sorted(value) == list(range(len(value))):
        value = [value[number] for number in range(len(value))]
    if not isinstance(value, list) or not value or not all(isinstance(name, str | int) for name in value):
        raise UserError(f"{path}: 'names' is not a list of class names, nor a mapping of 0, 1, … to names")
    return tuple(class_name(path, f"name {place}", str(name)) for place, name in enumerate(value))


def _files(path: Path, record: Mapping[str, Any], listed: Any) -> list[Path]:
    """The pictures of a split: a folder, a text file with a picture a line, or a list of these."""
    roots = [path.parent, *([path.parent / str(record["path"])] if record.get("path") else [])]
    found: list[Path] = []
    for entry in listed if isinstance(listed, list) else [listed]:
        # Roboflow writes ../valid/images for a folder that is beside data.yaml.
        bare = re.sub(r"^(\.\./)+", "", str(entry))
        place = existing(root / text for root in roots for text in (str(entry), bare))
        if place is None:
            raise UserError(f"{path}: there is no {entry}")
        if place.is_dir():
            found += sorted(file for file in place.rglob("*") if file.suffix.lower() in PICTURE_SUFFIXES)
        else:
            lines = [line.strip() for line in place.read_text(encoding="utf-8").splitlines() if line.strip()]
            found += [existing(root / line for root in (place.parent, *roots)) or place.parent / line for line in lines]
    return found


@dataclass(frozen=True)
class _Polygon:
    """A polygon's line in the file, and its corners ``x, y, x, y, …`` in pixels."""

    row: int
    corners: list[float]


def _picture(file: Path, classes: int) -> AnnotatedPicture:
    """Reads a picture's labels, fractions of its size; a picture without a file has no objects."""
    folder = re.sub(r"(.*)(^|/)images(/|$)", r"\1\2labels\3", file.parent.as_posix())
    labels = existing((Path(folder) / f"{file.stem}.txt", file.with_suffix(".txt")))
    if labels is None:
        return AnnotatedPicture(file.name, partial(load_image, file), truth_of([], []), tuple)
    size = _size(file)
    boxes, numbers, polygons = [], [], list[_Polygon]()
    for row, line in enumerate(labels.read_text(encoding="utf-8").splitlines(), start=1):
        if not line.strip():
            continue
        try:
            number, *figures = (float(word) for word in line.split())
        except ValueError:
            raise UserError(f"{labels}: line {row} holds something that is no number") from None
        values = np.array(figures)
        if not np.isfinite(values).all() or not (len(figures) == 4 or (len(figures) >= 6 and len(figures) % 2 == 0)):
            raise UserError(f"{labels}: line {row} is not a class and a box of four finite fractions, nor a polygon")
        if number not in range(classes):
            raise UserError(f"{labels}: line {row} is of class {number:g}, and there are {classes} names")
        box = _corners(values) * np.tile(size, 2)
        if finite_box(box):
            boxes.append(box.tolist())
            numbers.append(int(number))
            if len(figures) > 4:
                polygons.append(_Polygon(row, (values * np.tile(size, len(figures) // 2)).tolist()))
    alone = len(boxes) - len(polygons)
    read = None if alone else partial(_masks, labels, polygons, size)
    return AnnotatedPicture(file.name, partial(load_image, file), truth_of(boxes, numbers), read, alone)


def _masks(labels: Path, polygons: list[_Polygon], size: tuple[int, int]) -> tuple[Mask, ...]:
    masks = []
    for polygon in polygons:
        try:
            masks.append(read_segmentation(polygon.corners, size))
        except ValueError as error:
            raise UserError(f"{labels}: line {polygon.row} {error}") from None
    return tuple(masks)


def _corners(values: Any) -> Any:
    """A box's corners, from its centre and size, or around a polygon."""
    if len(values) == 4:
        return np.concatenate((values[:2] - values[2:] / 2, values[:2] + values[2:] / 2))
    points = values.reshape(-1, 2)
    return np.concatenate((points.min(axis=0), points.max(axis=0)))


def _size(file: Path) -> tuple[int, int]:
    """Width and height as ``load_image`` turns the picture, from its header."""
    try:
        with Image.open(file) as opened:
            width, height = opened.size
            return (height, width) if opened.getexif().get(ExifTags.Base.Orientation) in (5, 6, 7, 8) else (width, height)
    except (OSError, UnidentifiedImageError) as error:
        raise UserError(f"{file}: cannot be read as a picture ({error})") from error
