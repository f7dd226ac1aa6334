"""What an original project detected, and the recipe that records it: ``tests/originals/recipes/*.json``."""

from __future__ import annotations

import importlib.util
import json
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from pycocotools import mask as coco_masks

ORIGINALS = Path(__file__).resolve().parents[2] / "tests" / "originals"

Found = tuple[int, float, list[float], str | None, Any, Any]
"""Column, score, box, name, the mask (``[height, width]`` booleans) and the keypoints (``[K, 3]``), or None, of a detection."""


_MASKS = 4  # that are recorded in a picture, those of the best detections; one takes some kilobytes


def recipe_module() -> ModuleType:
    """Returns ``tests/originals/recipe.py``, which an original project's environment cannot import as a part of the tests."""
    spec = importlib.util.spec_from_file_location("recipe", ORIGINALS / "recipe.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["recipe"] = module
    spec.loader.exec_module(module)
    return module


def rows_of(found: Sequence[Found]) -> list[list[Any]]:
    """Returns the rows of one picture, best first: name, column, score, box; then a mask's run lengths; then keypoints."""
    return [_row(rank, one) for rank, one in enumerate(sorted(found, key=lambda one: -one[1]))]


def _row(rank: int, one: Found) -> list[Any]:
    column, score, box, name, mask, keypoints = one
    row: list[Any] = [name, column, round(score, 6), [round(side, 5) for side in box]]
    if mask is not None and rank < _MASKS:
        row.append(coco_masks.encode(np.asfortranarray(mask.astype(np.uint8)))["counts"].decode())
    if keypoints is not None:
        row += [None, [[round(float(value), 5) for value in keypoint] for keypoint in keypoints]]
    return row


def write_recipe(
    module: ModuleType,
    recipe: Any,
    threshold: float,
    detections: Mapping[str, Any],
    *,
    architecture: str,
    notes: Sequence[str] = (),
) -> None:
    """Writes a recipe as JSON; the tensors as differences to the architecture's list, which is written where there is none.

    Args:
        module: of ``recipe_module``.
        recipe: its ``Recipe``, without detections.
        threshold: above which detections were recorded.
        detections: rows by picture.
        architecture: name of the list of tensors.
        notes: sentences to add to how it was made.
    """
    listed = ORIGINALS / "architectures" / f"{architecture}.txt"
    listed.parent.mkdir(exist_ok=True)
    if not listed.exists():
        lines = (" ".join([name, dtype, *map(str, shape)]) for name, (dtype, shape) in recipe.tensors.items())
        listed.write_text("\n".join(lines) + "\n", encoding="utf-8")
    base = dict(module._architecture(architecture))
    changed: dict[str, Any] = {
        name: [dtype, list(shape)] for name, (dtype, shape) in recipe.tensors.items() if base.get(name) != (dtype, shape)
    }
    changed.update({name: None for name in base if name not in recipe.tensors})
    content = {
        "project": recipe.project,
        "version": recipe.version,
        "made_by": " ".join([recipe.made_by, *notes]),
        "architecture": architecture,
        "tensors": changed,
        "init": recipe.init,
        "seed": recipe.seed,
        "container": recipe.container,
        "options": list(recipe.options),
        "threshold": threshold,
        "detections": detections,
    }
    path = ORIGINALS / "recipes" / f"{recipe.name}.json"
    path.parent.mkdir(exist_ok=True)
    text = json.dumps(content, indent=1, ensure_ascii=False)
    # One line for each innermost list.
    text = re.sub(r"\[\s+([^\[\]{}]*?)\s+\]", lambda match: f"[{re.sub(chr(10) + ' +', ' ', match[1])}]", text)
    text = re.sub(r"\[\s+([^\[\]{}]*\[[^\[\]{}]*\])\s+\]", lambda match: f"[{re.sub(chr(10) + ' +', ' ', match[1])}]", text)
    path.write_text(text + "\n", encoding="utf-8")
