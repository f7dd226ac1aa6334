"""Reads the class of each logit column from a checkpoint."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from detr2litert.convert.models.checkpoints.containers import Contents
from detr2litert.convert.models.coco import COCO_NAMES, COCO_SPARSE


def classes_from_arguments(contents: Contents, columns: int) -> dict[int, str] | None:
    """Returns logit column → class name, from the training arguments of an rfdetr checkpoint.

    The head has one column more than there are classes (rfdetr builds it with ``num_classes + 1``), and which one is unused
    depends on the version that trained it:

    - since 1.5.0, labels are remapped to 0-based contiguous indices (CHANGELOG 1.5.0, #712; class_id_to_name in
      src/rfdetr/utilities/class_names.py is ``dict(enumerate(class_names))``), and the last column is always background;
    - before, on a Roboflow COCO dataset, labels were the unchanged category ids (rfdetr/datasets/coco.py, ConvertCoco), in
      which id 0 is the dataset's parent category, left out of ``class_names`` (rfdetr/detr.py, whose ``class_names`` property
      was ``{i + 1: name}``). Such a checkpoint has a Namespace without 1.5's ``aug_config``, and the first column is unused.
      (A user's dataset with ids from 0 is an exception that cannot be detected from the file; pass ``--classes`` with a JSON
      object of id to name.)

    The 80 COCO names over 91 columns are COCO's sparse ids (``is_coco_pretrained`` there).
    """
    arguments = contents.arguments
    names = arguments.get("class_names")
    if isinstance(names, str):
        names = [names]
    if isinstance(names, Mapping):
        return {key: str(name) for key, name in names.items() if isinstance(key, int)} or None
    if not isinstance(names, list | tuple) or not names or not all(isinstance(name, str) for name in names):
        return None
    if tuple(names) == COCO_NAMES and columns == len(COCO_SPARSE):
        return {column: name for column, name in enumerate(COCO_SPARSE) if name is not None}
    old = contents.arguments_were_a_namespace and "aug_config" not in arguments
    raw_ids = old and arguments.get("dataset_file") == "roboflow"
    first = 1 if raw_ids and columns == len(names) + 1 else 0
    return {first + i: name for i, name in enumerate(names)}


def classes_from_config(config: Mapping[str, Any]) -> dict[int, str] | None:
    """Returns logit column → name from a config.json's ``id2label``; None if it only has transformers' placeholders."""
    stated = config.get("id2label")
    if not isinstance(stated, Mapping):
        return None
    labels = {int(key): str(name) for key, name in stated.items() if str(key).isdecimal()}
    if all(name == f"LABEL_{column}" for column, name in labels.items()):
        return None
    return {column: name for column, name in labels.items() if name not in ("N/A", "None", "")}
