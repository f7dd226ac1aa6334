"""The held-out demo scenes as an annotated data set."""

from __future__ import annotations

from functools import cache, partial

import numpy as np
from PIL import Image

from detr2litert.convert.demo.scenes import CLASSES, HELD_OUT_START, Scene, render
from detr2litert.host_runtime.masks import Mask
from detr2litert.verify.accuracy.average_precision import Truth
from detr2litert.verify.accuracy.dataset import AnnotatedPicture, Dataset, truth_of

SCENES = 200
KNOWN_AP = {"tiny": 0.851, "dfine-tiny": 0.873, "tiny-seg": 0.855, "tiny-keypoints": 0.856}
"""mAP of the bundled weights on these scenes, from their model card (README.md here), by variant."""
KNOWN_MASK_AP = {"tiny-seg": 0.615}
"""The same of their masks."""


def demo_dataset(size: int, variant: str | None = None) -> Dataset:
    """Renders the first held-out scenes.

    Args:
        size: how many, of 200.
        variant: whose known mAP to state; None to state none.
    """
    scenes = [_scene(number) for number in range(min(size, SCENES))]
    pictures = tuple(
        AnnotatedPicture(
            f"scene {number}",
            partial(_image, number - 1),
            _truth(scene),
            partial(_masks, number - 1),
        )
        for number, scene in enumerate(scenes, start=1)
    )
    known, of_masks = KNOWN_AP.get(variant or ""), KNOWN_MASK_AP.get(variant or "")
    return Dataset("the held-out demo scenes", CLASSES, pictures, SCENES, known, of_masks)


def _truth(scene: Scene) -> Truth:
    """Returns the objects with their corners; the area of a shape is that of its box, as training takes it."""
    sides = scene.boxes[:, 2:] - scene.boxes[:, :2]
    corners = [points.astype(np.float64) if len(points) else None for points in scene.keypoints]
    return truth_of(
        scene.boxes.tolist(), scene.labels.tolist(), keypoints=corners, areas=sides.astype(np.float64).prod(1).tolist()
    )


def _masks(number: int) -> tuple[Mask, ...]:
    return tuple(map(Mask.of, _scene(number).masks))


def _image(number: int) -> Image.Image:
    return _scene(number).image


@cache
def _scene(number: int) -> Scene:
    return render(HELD_OUT_START + number)
