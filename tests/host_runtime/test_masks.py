"""Masks: the resize is PyTorch's, the run lengths are pycocotools', and damaged ones are refused."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from pycocotools import mask as coco

from detr2litert.host_runtime.manifest import Preprocess
from detr2litert.host_runtime.masks import Mask, mask_of
from detr2litert.host_runtime.placement import place

RANDOM = np.random.default_rng(0)
SHAPES = {
    "noise": RANDOM.random((37, 53)) > 0.5,
    "few": RANDOM.random((480, 640)) > 0.999,
    "first pixel": np.eye(5, 7, dtype=bool),
    "empty": np.zeros((6, 9), bool),
    "full": np.ones((6, 9), bool),
    "one pixel": np.ones((1, 1), bool),
    "long runs": np.arange(2_000_000).reshape(2000, 1000) % 700_001 > 350_000,
}


@pytest.mark.parametrize("name", SHAPES)
def test_run_lengths_are_those_of_pycocotools(name: str) -> None:
    pixels = SHAPES[name]
    mask = Mask.of(pixels)
    theirs = coco.encode(np.asfortranarray(pixels.astype(np.uint8)))
    assert mask.to_dict() == {"size": list(pixels.shape), "counts": theirs["counts"].decode()}
    assert np.array_equal(mask.pixels, pixels)
    assert Mask.from_dict(mask.to_dict()) == mask


@pytest.mark.parametrize("counts", ["~", "0" * 54, "", "P", "o" * 20, "@", "100O"])
def test_damaged_run_lengths_are_refused(counts: str) -> None:
    with pytest.raises(ValueError, match="run lengths"):
        Mask.from_dict({"size": [6, 9], "counts": counts})


@pytest.mark.parametrize("size", [(640, 480), (77, 131), (20, 15), (1, 300)])
def test_the_resize_and_the_threshold_are_those_of_rfdetr(size: tuple[int, int]) -> None:
    logits = RANDOM.standard_normal((26, 20)).astype(np.float32)
    width, height = size
    wanted = torch.nn.functional.interpolate(torch.from_numpy(logits)[None, None], (height, width), mode="bilinear")[0, 0] > 0
    found = mask_of(logits, place(size, Preprocess(104, 80, "bilinear")))
    # A pixel whose logit is 0 but for rounding may differ.
    assert (found.pixels != wanted.numpy()).mean() < 1e-4


def test_probabilities_are_resized_as_those_of_d_fine_seg() -> None:
    logits = (5 * RANDOM.standard_normal((26, 20))).astype(np.float32)
    size, where = (640, 480), place((640, 480), Preprocess(104, 80, "bilinear"))
    probabilities = torch.from_numpy(logits)[None, None].sigmoid()
    wanted = (torch.nn.functional.interpolate(probabilities, size[::-1], mode="bilinear")[0, 0] >= 0.5).numpy()
    assert (mask_of(logits, where, "sigmoid").pixels != wanted).mean() < 1e-4
    assert (mask_of(logits, where).pixels != wanted).mean() > 0.01, "logits have other edges"


@pytest.mark.parametrize("box", [(2.0, 1.0, 6.0, 5.0), (2.01, 0.99, 5.99, 5.01), (0.0, 0.0, 9.0, 6.0), (3.2, 1.0, 3.8, 5.0)])
def test_pixels_outside_of_a_box_are_cut_off(box: tuple[float, float, float, float]) -> None:
    pixels = RANDOM.random((6, 9)) > 0.2
    columns, rows = np.meshgrid(np.arange(9), np.arange(6))
    left, top, right, bottom = box
    wanted = pixels & (columns >= left) & (columns < right) & (rows >= top) & (rows < bottom)
    assert np.array_equal(Mask.of(pixels).within(box).pixels, wanted)


def test_in_a_letterbox_the_padding_is_left_out() -> None:
    """A picture twice as wide as high lies in the middle half of the input, of which its right half is the object."""
    logits = np.full((16, 16), -1, np.float32)
    logits[3:13, 8:] = 1
    spec = Preprocess(64, 64, "bilinear", fit="letterbox", fill=(0, 0, 0))
    found = mask_of(logits, place((640, 320), spec)).pixels
    assert not found[:, :318].any() and found[:, 322:].all()


def test_intersection_over_union() -> None:
    one, two = np.zeros((4, 6), bool), np.zeros((4, 6), bool)
    one[:, :3], two[:, 2:4] = True, True
    assert Mask.of(one).iou(Mask.of(two)) == 4 / 16
    assert Mask.of(one & False).iou(Mask.of(two & False)) == 1.0
