"""Rebuilds a checkpoint of an original project from a recipe: names, shapes, a seed and what surrounds the tensors in the file.

A recipe (``recipes/*.json``) stands in for a file of many megabytes. It was written by a recorder that built the original
project's own model, drew its weights by the rules below, saved a checkpoint in the project's own form, and recorded the
detections of the project's own inference on the three pictures of ``pictures/``. The tests rebuild the file from the same
rules, so neither weights nor code of those projects are in the repository. ``README.md`` says how each recipe was made.
"""

from __future__ import annotations

import argparse
import json
import re
import types
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import save_file
from torch import Tensor

FOLDER = Path(__file__).parent
PICTURES = tuple(sorted((FOLDER / "pictures").glob("*.png")))

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Detection:
    """One detection of the original code.

    Attributes:
        name: class name as the original code or its file names it; None where it has only an id.
        column: column of the class logits.
        score: after the sigmoid.
        box: x0, y0, x1, y1 in pixels of the picture.
        mask: of the picture's size, in COCO's compressed run lengths; None where none was recorded.
        keypoints: x, y and score of each place, as many as the class with the most has.
    """

    name: str | None
    column: int
    score: float
    box: tuple[float, float, float, float]
    mask: str | None = None
    keypoints: tuple[tuple[float, float, float], ...] = ()


@dataclass(frozen=True)
class Recipe:
    """A checkpoint and what the original code detects with it.

    Attributes:
        name: of the recipe's file.
        project, version: of the original code; a version is a release or a commit.
        made_by: how the checkpoint was made, in a sentence.
        tensors: name → (dtype, shape), in the order of the state dict.
        init: (pattern, kind, scale) rules for the values, the first that matches a name counts; see ``draw``.
        seed: of the values.
        container: the object that ``torch.save`` receives, or the folder's JSON files by name; see ``fill``.
        options: command-line options that the file cannot make unnecessary.
        threshold: score above which detections were recorded; no score is within 2e-3 of it.
        detections: picture name → detections above the threshold.
    """

    name: str
    project: str
    version: str
    made_by: str
    tensors: Mapping[str, tuple[str, Shape]]
    init: Sequence[tuple[str, str, Any]]
    seed: int
    container: Any
    options: tuple[str, ...]
    threshold: float
    detections: Mapping[str, tuple[Detection, ...]]

    def state_dict(self) -> dict[str, Tensor]:
        """Draws every tensor."""
        return {name: draw(name, dtype, shape, self.init, self.seed) for name, (dtype, shape) in self.tensors.items()}

    def write(self, folder: Path) -> Path:
        """Writes the checkpoint into ``folder`` and returns what to pass to ``--weights``."""
        if "config.json" in self.container:
            for name, content in self.container.items():
                (folder / name).write_text(json.dumps(content), encoding="utf-8")
            save_file(self.state_dict(), folder / "model.safetensors")
            return folder
        path = folder / f"{self.name}.pth"
        torch.save(fill(self.container, self.state_dict()), path)
        return path


def read_recipe(path: Path) -> Recipe:
    """Reads ``recipes/NAME.json`` and the list of tensors that it names in ``architectures/``."""
    data = json.loads(path.read_text(encoding="utf-8"))
    tensors = dict(_architecture(data["architecture"]))
    for name, entry in data.get("tensors", {}).items():
        if entry is None:
            del tensors[name]
        else:
            tensors[name] = (entry[0], tuple(entry[1]))
    return Recipe(
        name=path.stem,
        project=data["project"],
        version=data["version"],
        made_by=data["made_by"],
        tensors=tensors,
        init=[tuple(rule) for rule in data["init"]],
        seed=data["seed"],
        container=data["container"],
        options=tuple(data.get("options", ())),
        threshold=data["threshold"],
        detections={
            picture: tuple(Detection(name, column, score, tuple(box), *more) for name, column, score, box, *more in found)
            for picture, found in data["detections"].items()
        },
    )


@cache
def _architecture(name: str) -> tuple[tuple[str, tuple[str, Shape]], ...]:
    """Reads ``architectures/NAME.txt``: a line ``tensor name, dtype, sizes…`` for each tensor, separated by blanks."""
    lines = (FOLDER / "architectures" / f"{name}.txt").read_text(encoding="utf-8").splitlines()
    return tuple((name, (dtype, tuple(map(int, sizes)))) for name, dtype, *sizes in map(str.split, lines))


def draw(name: str, dtype: str, shape: Shape, init: Sequence[tuple[str, str, Any]], seed: int) -> Tensor:
    """Draws one tensor, determined by its name, its shape and the seed.

    The rule is the first whose pattern is found in the name. Kinds:

    - ``normal``: mean 0, standard deviation scale / √fan-in, the fan-in being the size of ``tensor[0]``;
    - ``noise``: mean 0, standard deviation scale; ``near_one``: the same around 1;
    - ``value``: the scale everywhere; ``literal``: the scale is the list of values;
    - ``anchors``: the scale is [height, width, strides], see ``anchors``; ``valid_mask``: where those are finite;
    - ``same``: the tensor of another name, in which the scale stands for the pattern: one parameter in two modules.
    """
    pattern, kind, scale = next((rule for rule in init if re.search(rule[0], name)), ("", None, None))
    if kind == "same":
        return draw(re.sub(pattern, scale, name), dtype, shape, init, seed)
    rng = np.random.default_rng([seed, zlib.crc32(name.encode())])
    values: NDArray[Any]
    if kind == "normal":
        fan_in = int(np.prod(shape[1:])) or 1
        values = rng.standard_normal(shape, dtype=np.float32) * np.float32(scale / fan_in**0.5)
    elif kind in ("noise", "near_one"):
        values = rng.standard_normal(shape, dtype=np.float32) * np.float32(scale) + np.float32(kind == "near_one")
    elif kind in ("value", "literal"):
        values = np.broadcast_to(np.asarray(scale).reshape(() if kind == "value" else shape), shape).copy()
    elif kind == "anchors":
        values = anchors(*scale)
    elif kind == "valid_mask":
        values = np.isfinite(anchors(*scale)).all(axis=-1, keepdims=True)
    else:
        raise ValueError(f"no rule draws {name}")
    return torch.from_numpy(values).to(getattr(torch, dtype))


def anchors(height: int, width: int, strides: Sequence[int]) -> NDArray[np.float32]:
    """Returns the buffer ``decoder.anchors`` of RT-DETR and its descendants, ``[1, tokens, 4]``.

    The logit of each cell's centre and of a size of 0.05 × 2^level, relative to the picture; infinity outside (0.01, 0.99).
    """
    levels = []
    for level, stride in enumerate(strides):
        rows, columns = height // stride, width // stride
        y, x = np.meshgrid((np.arange(rows) + 0.5) / rows, (np.arange(columns) + 0.5) / columns, indexing="ij")
        size = np.full_like(x, 0.05 * 2.0**level)
        levels.append(np.stack([x, y, size, size], axis=-1).reshape(-1, 4))
    boxes = np.concatenate(levels)[None]
    valid = ((boxes > 0.01) & (boxes < 0.99)).all(axis=-1, keepdims=True)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(valid, np.log(boxes / (1 - boxes)), np.inf).astype(np.float32)


def fill(template: Any, tensors: Mapping[str, Tensor]) -> Any:
    """Replaces the placeholders of a container.

    - ``{"$tensors": PREFIX}`` is the state dict, each name after the prefix; with ``"$times": FACTOR`` beside it, other weights
      under the same names, which stand for those that the project does not use;
    - ``{"$namespace": {…}}`` is an ``argparse.Namespace``, ``{"$simple_namespace": {…}}`` a ``types.SimpleNamespace``;
    - ``{"$items": [[key, value], …]}`` is a dict whose keys are not all strings.
    """
    if isinstance(template, dict) and "$tensors" in template:
        factor = template.get("$times", 1)
        return {
            template["$tensors"] + name: tensor if factor == 1 or not tensor.is_floating_point() else tensor * factor
            for name, tensor in tensors.items()
        }
    if isinstance(template, dict) and set(template) == {"$namespace"}:
        return argparse.Namespace(**fill(template["$namespace"], tensors))
    if isinstance(template, dict) and set(template) == {"$simple_namespace"}:
        return types.SimpleNamespace(**fill(template["$simple_namespace"], tensors))
    if isinstance(template, dict) and set(template) == {"$items"}:
        return {key: fill(value, tensors) for key, value in template["$items"]}
    if isinstance(template, dict):
        return {key: fill(value, tensors) for key, value in template.items()}
    if isinstance(template, list):
        return [fill(value, tensors) for value in template]
    return template
