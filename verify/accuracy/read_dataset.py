"""Finds out how a folder is annotated, and reads it."""

from __future__ import annotations

from pathlib import Path

from detr2litert.host_runtime.errors import UserError
from detr2litert.verify.accuracy import DEFAULT_SIZE
from detr2litert.verify.accuracy.coco_annotations import find_annotations, read_coco
from detr2litert.verify.accuracy.dataset import Dataset
from detr2litert.verify.accuracy.yolo_annotations import find_yaml, read_yolo


def read_dataset(path: Path, size: int = DEFAULT_SIZE) -> Dataset:
    """Reads a data set.

    Args:
        path: of a folder with COCO or YOLO annotations, or of the annotations file or data.yaml itself.
        size: how many pictures to keep, drawn with a fixed seed.

    Raises:
        UserError: there are no annotations, they are malformed, or there is no object in them.
    """
    dataset = _read(path, size)
    if not any(len(picture.truth.classes) for picture in dataset.pictures):
        raise UserError(f"{path}: no object is annotated in {dataset.description}")
    return dataset


def _read(path: Path, size: int = DEFAULT_SIZE) -> Dataset:
    if not path.exists():
        raise UserError(f"{path}: there is no such folder or file; give a folder with COCO or YOLO annotations")
    if path.suffix == ".json":
        return read_coco(path, size)
    if path.suffix in (".yaml", ".yml"):
        return read_yolo(path, size)
    if path.is_dir():
        annotations = find_annotations(path)
        if annotations is not None:
            return read_coco(annotations, size)
        described = find_yaml(path)
        if described is not None:
            return read_yolo(described, size)
    raise UserError(
        f"{path}: no annotations there: neither valid/_annotations.coco.json, annotations/instances_*.json nor data.yaml"
    )
