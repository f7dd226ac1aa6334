"""Test pictures: the user's, or rendered demo scenes outside the training set."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from detr2litert.convert.demo.scenes import HELD_OUT_START, render
from detr2litert.host_runtime.preprocess import load_image

_DEMO_SCENES = 6
_DEMO_SIDE = 320


@dataclass(frozen=True)
class Picture:
    """A picture with a name for the report."""

    name: str
    image: Image.Image


def pictures(paths: Sequence[Path]) -> tuple[Picture, ...]:
    """Loads the pictures at ``paths``, or the demo scenes if there are none.

    Raises:
        UserError: a picture cannot be read.
    """
    if paths:
        # Results are keyed by name, so two pictures with the same name in two folders must stay distinct.
        seen = [sum(other.name == path.name for other in paths[: i + 1]) for i, path in enumerate(paths)]
        names = [path.name if count == 1 else f"{path.name} ({count})" for path, count in zip(paths, seen, strict=True)]
        return tuple(Picture(name, load_image(path).convert("RGB")) for name, path in zip(names, paths, strict=True))
    return tuple(Picture(f"demo scene {i + 1}", render(HELD_OUT_START + i, _DEMO_SIDE).image) for i in range(_DEMO_SCENES))
