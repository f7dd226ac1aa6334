"""The masks of rendered scenes are the shapes that were drawn, hidden parts included, as the boxes are."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from detr2litert.convert.demo import scenes
from detr2litert.convert.demo.annotated import demo_dataset
from detr2litert.convert.demo.scenes import HELD_OUT_START, render
from detr2litert.verify.accuracy.dataset import with_masks


@pytest.mark.parametrize("side", [160, 90])
def test_masks_are_the_drawing(side: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Against Pillow's own reduction of the drawing that is pasted into the picture: at least half a pixel is covered."""
    drawn: list[Image.Image] = []
    paint = scenes._paint

    def recorded(rng: np.random.Generator, canvas: Image.Image, mask: Image.Image) -> None:
        drawn.append(mask)
        paint(rng, canvas, mask)

    monkeypatch.setattr(scenes, "_paint", recorded)
    shared = 0
    for index in range(12):
        drawn.clear()
        scene = render(index, side)
        assert scene.masks.shape == (len(scene.labels), side, side) and scene.masks.dtype == bool
        for mask, box, shape in zip(scene.masks, scene.boxes, drawn, strict=True):
            reduced = np.asarray(shape.convert("F").resize((side, side), Image.Resampling.BOX))
            assert np.array_equal(mask, reduced >= 127.5)
            rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
            tight = np.array([columns[0], rows[0], columns[-1] + 1, rows[-1] + 1])
            # A tip that covers less than half of its pixel is in the box and not in the mask.
            assert np.abs(tight - box).max() <= 2.0
        shared += int((scene.masks.sum(0) > 1).sum())
    assert shared > 0  # hidden parts belong to the hidden shape too


def test_masks_change_no_picture() -> None:
    """The weights in the repository were trained on these pixels."""
    pixels = np.asarray(render(3).image)
    assert (pixels.shape, int(pixels.astype(np.int64).sum())) == ((160, 160, 3), 7_678_120)


def test_the_demo_data_set_has_the_scenes_masks() -> None:
    dataset = demo_dataset(2)
    assert not dataset.has_masks
    found = with_masks(dataset)
    assert found.has_masks
    for number, picture in enumerate(found.pictures):
        masks = render(HELD_OUT_START + number).masks
        assert np.array_equal([mask.pixels for mask in picture.truth.masks or ()], masks)
