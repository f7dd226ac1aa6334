"""Reads detections that the user's own code gave, in the forms that detection libraries write.

- COCO results: ``[{"image_id", "category_id", "bbox": [left, top, width, height], "score"}]``. With names: an object with
  ``categories`` (id and name) and these rows as ``annotations``.
- supervision: the rows of ``sv.JSONSink`` (``x_min``, …, ``class_id``, ``confidence``), or the arrays of ``sv.Detections``
  (``xyxy``, ``class_id``, ``confidence``, ``class_name``).
- ultralytics: the rows of ``results.to_json()`` or ``summary()`` (``name``, ``class``, ``confidence``, ``box``).

Rows name their picture in ``image_id`` (or ``image``, ``file_name``): the file's name, its stem, the number in its name, or its
place among the pictures. Without that: an object of picture to rows, a list with one list a picture, or a single picture.

A row of COCO results may have a mask, its ``segmentation`` in run lengths or polygons; with run lengths it needs no ``bbox``.
It may have ``keypoints``, ``[x, y, v, x, y, v, ...]``: v is a score, or COCO's visibility, and a keypoint of v = 0 is none.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from detr2litert.host_runtime.errors import UserError
from detr2litert.host_runtime.foreign_json import read_json
from detr2litert.host_runtime.keypoints import Keypoint
from detr2litert.host_runtime.masks import Mask
from detr2litert.verify.accuracy.keypoints import read_keypoints
from detr2litert.verify.accuracy.segmentation import box_of, read_segmentation
from detr2litert.verify.accuracy.strict_json import class_name, number, refuse, whole

_WHAT = "detections as COCO results, supervision's or ultralytics' JSON"
_PICTURE_KEYS = ("image_id", "image", "file_name", "picture")
_ARRAYS = ("xyxy", "class_id", "confidence", "class_name")


@dataclass(frozen=True)
class ExpectedDetection:
    """One object: class id and name (None where the file has none), score, and box (left, top, right, bottom) in pixels.

    Its mask and its keypoints are None where the file has none.
    """

    class_id: int | None
    name: str | None
    score: float
    box: tuple[float, float, float, float]
    mask: Mask | None = None
    keypoints: tuple[Keypoint, ...] | None = None


@dataclass(frozen=True)
class _Row:
    place: str
    picture: str | int | None
    found: ExpectedDetection
    segmentation: Any = None


def read_expected(
    path: Path, pictures: Sequence[str], sizes: Sequence[tuple[int, int]] | None = None
) -> tuple[tuple[ExpectedDetection, ...], ...]:
    """Reads a file.

    Args:
        path: of the file.
        pictures: file names, in the order in which they were given.
        sizes: their widths and heights, which masks must have; None where they are not known.

    Returns:
        For every picture its detections; none where the file has none for it.

    Raises:
        UserError: the file is of no known form, a figure is not finite, a box is empty, a mask or keypoints are malformed, or
            no row is of these pictures.
    """
    return assign(path, read_json(path, _WHAT), pictures, sizes)


def assign(
    path: Path, value: Any, pictures: Sequence[str], sizes: Sequence[tuple[int, int]] | None = None
) -> tuple[tuple[ExpectedDetection, ...], ...]:
    """As ``read_expected``, for a file's contents."""
    rows = list(_rows(path, value))
    if not rows:
        raise UserError(f"{path}: holds no detections, so there is nothing to compare")
    ids = {row.picture for row in rows if isinstance(row.picture, int)}
    places = _places(path, {row.picture for row in rows}, ids, pictures)
    found: list[list[ExpectedDetection]] = [[] for _ in pictures]
    for row in rows:
        place = places.get(row.picture)
        if place is not None:
            found[place].append(_segmented(path, row, None if sizes is None else sizes[place]))
    if not any(found):
        others = ", ".join(sorted({str(row.picture) for row in rows})[:3])
        raise UserError(f"{path}: has detections of {others}, and none of the given pictures ({', '.join(pictures[:3])})")
    return tuple(map(tuple, found))


def _places(
    path: Path, keys: set[str | int | None], ids: set[int], pictures: Sequence[str]
) -> dict[str | int | None, int | None]:
    """Maps what rows call their picture to its position among the given ones; None for a picture that was not given."""
    by_name = {**{Path(name).stem: i for i, name in enumerate(pictures)}, **{name: i for i, name in enumerate(pictures)}}
    by_number = {int(Path(name).stem): i for i, name in enumerate(pictures) if _digits(Path(name).stem)}
    numbered = bool(ids & set(by_number))
    first = 0 if all(0 <= i < len(pictures) for i in ids) else 1 if all(1 <= i <= len(pictures) for i in ids) else None
    places: dict[str | int | None, int | None] = {}
    for key in keys:
        if key is None:
            if len(pictures) > 1 or len(keys) > 1:
                raise UserError(f"{path}: rows name no picture, and {len(pictures)} were given; add image_id to each row")
            places[key] = 0
        elif isinstance(key, str):
            places[key] = by_name.get(key, by_name.get(Path(key).name, by_name.get(Path(key).stem)))
        elif numbered:
            places[key] = by_number.get(key)
        elif first is not None:
            places[key] = key - first
        else:
            raise UserError(
                f"{path}: image_id {key} is neither the number in a picture's file name nor its place among the "
                f"{len(pictures)} given; use file names"
            )
    return places


def _segmented(path: Path, row: _Row, size: tuple[int, int] | None) -> ExpectedDetection:
    """Returns a row's detection with its mask, if it has one, in a picture of (width, height) pixels."""
    if row.segmentation in (None, []):
        return row.found
    try:
        return replace(row.found, mask=read_segmentation(row.segmentation, size))
    except ValueError as error:
        refuse(path, row.place, str(error))


def _digits(text: str) -> bool:
    return text.isascii() and text.isdecimal() and len(text) < 16


def _rows(path: Path, value: Any) -> Iterator[_Row]:
    """Recognises how rows are grouped by picture, and yields them."""
    if isinstance(value, Mapping):
        rows = next((value[key] for key in ("annotations", "detections", "results") if isinstance(value.get(key), list)), None)
        if isinstance(value.get("categories"), list) and rows is not None:
            yield from _listed(path, rows, None, _category_names(path, value["categories"]))
        elif "xyxy" in value:
            yield from _arrays(path, value, "the object", _picture_of(value))
        else:
            for key, entry in value.items():
                if isinstance(entry, Mapping) and "xyxy" in entry:
                    yield from _arrays(path, entry, repr(key), key)
                elif isinstance(entry, list):
                    yield from _listed(path, entry, key, {})
                else:
                    refuse(path, repr(key), f"is neither a list of detections nor has it 'xyxy'; expected {_WHAT}")
    elif isinstance(value, list):
        for place, entry in enumerate(value):
            if isinstance(entry, list):
                yield from _listed(path, entry, place, {})
            elif isinstance(entry, Mapping) and "xyxy" in entry:
                picture = _picture_of(entry)
                yield from _arrays(path, entry, f"entry {place}", picture if picture is not None or len(value) == 1 else place)
            else:
                yield _row(path, entry, f"detection {place}", None, {})
    else:
        raise UserError(f"{path}: neither a list nor an object; expected {_WHAT}")


def _listed(path: Path, rows: Sequence[Any], picture: str | int | None, names: Mapping[int, str]) -> Iterator[_Row]:
    for place, row in enumerate(rows):
        where = f"detection {place}" if picture is None else f"detection {place} of {picture!r}"
        yield _row(path, row, where, picture, names)


def _row(path: Path, row: Any, where: str, picture: str | int | None, names: Mapping[int, str]) -> _Row:
    if not isinstance(row, Mapping):
        refuse(path, where, f"is not an object; expected {_WHAT}")
    own = picture if picture is not None else _picture_of(row)
    segmentation = row.get("segmentation")
    if "bbox" not in row and isinstance(segmentation, Mapping):
        row = {**row, "bbox": _box_around(path, where, segmentation)}
    if "bbox" in row:
        box, score, class_id, name = row["bbox"], row.get("score"), row.get("category_id"), row.get("category_name")
        if isinstance(box, list) and len(box) == 4 and None not in map(number, box):
            box = [box[0], box[1], box[0] + box[2], box[1] + box[3]]
    elif isinstance(row.get("box"), Mapping):
        box = [row["box"].get(key) for key in ("x1", "y1", "x2", "y2")]
        score, class_id, name = row.get("confidence"), row.get("class"), row.get("name")
    elif "x_min" in row:
        box = [row.get(key) for key in ("x_min", "y_min", "x_max", "y_max")]
        score, class_id, name = row.get("confidence"), row.get("class_id"), row.get("class_name")
    else:
        refuse(path, where, f"has no bbox, box or x_min; expected {_WHAT}")
    found = _detection(path, where, box, score, class_id, name, names)
    try:
        points = read_keypoints(row["keypoints"]) if isinstance(row.get("keypoints"), list) and row["keypoints"] else None
    except ValueError as error:
        refuse(path, where, str(error))
    if points is not None:
        found = replace(found, keypoints=tuple(Keypoint(x, y, min(v, 1.0), None) for x, y, v in points.tolist()))
    return _Row(where, own, found, segmentation)


def _box_around(path: Path, where: str, segmentation: Mapping[str, Any]) -> list[float]:
    """Returns left, top, width and height of a mask in run lengths."""
    try:
        box = box_of(read_segmentation(segmentation, None))
    except ValueError as error:
        refuse(path, where, str(error))
    if box is None:
        refuse(path, where, "has an empty mask and no bbox")
    left, top, right, bottom = box
    return [left, top, right - left, bottom - top]


def _arrays(path: Path, entry: Mapping[str, Any], where: str, picture: str | int | None) -> Iterator[_Row]:
    data = entry.get("data")
    columns: dict[str, Any] = {**(data if isinstance(data, Mapping) else {}), **entry}
    boxes = columns["xyxy"]
    if not isinstance(boxes, list):
        refuse(path, where, "has 'xyxy' that is not a list of boxes")
    for name in _ARRAYS[1:]:
        column = columns.get(name)
        if column is not None and (not isinstance(column, list) or len(column) != len(boxes)):
            refuse(path, where, f"has {len(boxes)} boxes, and '{name}' is not a list of as many")
    for place, box in enumerate(boxes):
        at = f"detection {place} of {where}"
        class_id, score, label = (columns[name][place] if columns.get(name) is not None else None for name in _ARRAYS[1:])
        yield _Row(at, picture, _detection(path, at, box, score, class_id, label, {}))


def _detection(
    path: Path, where: str, box: Any, score: Any, class_id: Any, name: Any, names: Mapping[int, str]
) -> ExpectedDetection:
    values = [number(v) for v in box] if isinstance(box, list) and len(box) == 4 else [None]
    if None in values:
        refuse(path, where, f"has box {box!r}, not four finite numbers")
    left, top, right, bottom = (float(v) for v in values if v is not None)
    if not (right > left and bottom > top):
        refuse(path, where, f"has an empty box {[round(v, 2) for v in (left, top, right, bottom)]} (left, top, right, bottom)")
    confidence = number(score)
    if confidence is None or not 0 <= confidence <= 1:
        refuse(path, where, f"has score {score!r}, not a number from 0 to 1")
    identity = whole(class_id)
    if identity is None and class_id not in (None, ""):
        refuse(path, where, f"has class {class_id!r}, not a whole number")
    label = name if isinstance(name, str) and name else names.get(identity) if identity is not None else None
    if identity is None and label is None:
        refuse(path, where, "has neither a class id nor a class name")
    if label is not None:
        class_name(path, where, label)
    return ExpectedDetection(identity, label, confidence, (left, top, right, bottom))


def _picture_of(row: Mapping[str, Any]) -> str | int | None:
    for key in _PICTURE_KEYS:
        value = row.get(key)
        if isinstance(value, str) and value:
            return int(value) if _digits(value) else value
        if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value):
            return int(value)
    return None


def _category_names(path: Path, entries: list[Any]) -> dict[int, str]:
    names: dict[int, str] = {}
    for place, entry in enumerate(entries):
        identity = whole(entry.get("id")) if isinstance(entry, Mapping) else None
        if identity is None or not isinstance(entry.get("name"), str):
            refuse(path, f"category {place}", "lacks an id or a name")
        names[identity] = entry["name"]
    return names
