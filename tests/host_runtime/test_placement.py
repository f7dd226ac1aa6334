"""Inputs that are not square, letterboxes, and inputs of one and four channels: from the picture to the input and back."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from detr2litert.host_runtime.decode import decode, to_pixels
from detr2litert.host_runtime.manifest import CHANNEL_COUNT, Fit, Postprocess, Preprocess
from detr2litert.host_runtime.placement import place
from detr2litert.host_runtime.preprocess import load_image, preprocess, to_channels

PLAIN = {"mean": (0.0, 0.0, 0.0), "std": (1.0, 1.0, 1.0)}


def spec(height: int, width: int, fit: Fit = "stretch", fill: tuple[float, ...] = (114.0, 114.0, 114.0)) -> Preprocess:
    return Preprocess(height, width, "bilinear", fit=fit, fill=() if fit == "stretch" else fill, **PLAIN)


@pytest.mark.parametrize(
    ("picture", "size", "fit", "region"),
    [
        # width, height of the picture; height, width of the input; left, top, width, height
        ((640, 480), (384, 640), "stretch", (0, 0, 640, 384)),
        ((640, 480), (384, 640), "letterbox", (64, 0, 512, 384)),
        ((640, 480), (384, 640), "letterbox_top_left", (0, 0, 512, 384)),
        ((480, 640), (640, 640), "letterbox", (80, 0, 480, 640)),
        ((1920, 1080), (640, 640), "letterbox", (0, 140, 640, 360)),
        ((10, 10), (32, 64), "letterbox", (16, 0, 32, 32)),
        # 3 pixels of padding: one before, two after, as round(1.5 - 0.1).
        ((100, 97), (100, 100), "letterbox", (0, 1, 100, 97)),
        # 427 * 416 / 640 = 277.55: to nearest in the centre, down at the top left.
        ((640, 427), (416, 416), "letterbox", (0, 69, 416, 278)),
        ((640, 427), (416, 416), "letterbox_top_left", (0, 0, 416, 277)),
        # A half is rounded to even: 5 * 0.5.
        ((10, 5), (5, 5), "letterbox", (0, 1, 5, 2)),
        ((1000, 1), (32, 32), "letterbox", (0, 15, 32, 1)),
        ((1000, 1), (32, 32), "letterbox_top_left", (0, 0, 32, 1)),
    ],
)
def test_the_region(picture, size, fit, region):
    placed = place(picture, spec(*size, fit))
    assert (placed.left, placed.top, placed.width, placed.height) == region
    assert placed.pads == (fit != "stretch")


def test_the_sides_of_the_top_left_are_those_of_transformers():
    from transformers.image_utils import get_image_size_for_max_height_width

    generator = np.random.default_rng(0)
    for width, height in generator.integers(16, 2000, (2000, 2)).tolist():
        placed = place((width, height), spec(416, 640, "letterbox_top_left"))
        assert (placed.height, placed.width) == get_image_size_for_max_height_width((height, width), 416, 640)


def test_the_input_of_a_letterbox():
    picture = Image.fromarray(np.random.default_rng(0).integers(0, 256, (30, 60, 3), np.uint8))
    tensor = preprocess(picture, spec(40, 60, "letterbox", (10.0, 20.0, 30.0)))
    assert tensor.shape == (1, 3, 40, 60)
    np.testing.assert_allclose(tensor[0, :, 5:35], np.asarray(picture).transpose(2, 0, 1) / 255, atol=1e-6)
    for channel in range(3):
        np.testing.assert_allclose(tensor[0, channel, [0, 4, 35, 39]], (channel + 1) * 10 / 255, atol=1e-7)
    corner = preprocess(picture, spec(40, 60, "letterbox_top_left"))
    np.testing.assert_allclose(corner[0, :, :30], tensor[0, :, 5:35], atol=1e-7)
    np.testing.assert_allclose(corner[0, :, 30:], 114 / 255, atol=1e-7)


def test_the_mean_as_fill_is_zero_after_the_normalisation():
    mean = (0.485, 0.456, 0.406)
    padded = Preprocess(40, 40, "bilinear", fit="letterbox_top_left", fill=tuple(value * 255 for value in mean))
    tensor = preprocess(Image.new("RGB", (40, 20), (255, 0, 0)), padded)
    assert np.abs(tensor[0, :, 20:]).max() < 1e-6 < np.abs(tensor[0, :, :20]).min()


@pytest.mark.parametrize("fit", ["stretch", "letterbox", "letterbox_top_left"])
@pytest.mark.parametrize("picture", [(640, 480), (333, 517), (7, 900)])
def test_a_box_gets_back_to_its_place(fit, picture):
    """A box of the picture, moved into the input by hand, is again the picture's; what is outside is clamped."""
    width, height = picture
    placed = place(picture, spec(160, 240, fit))
    wanted = np.array([[0.1 * width, 0.2 * height, 0.7 * width, 0.9 * height], [0, 0, width, height]], np.float64)
    x = placed.left + wanted[:, 0::2] * placed.width / width
    y = placed.top + wanted[:, 1::2] * placed.height / height
    boxes = np.stack([x.mean(1) / 240, y.mean(1) / 160, np.ptp(x, axis=1) / 240, np.ptp(y, axis=1) / 160], axis=1)
    np.testing.assert_allclose(to_pixels(boxes.astype(np.float32), picture, placed), wanted, atol=1e-3)
    everything = to_pixels(np.array([[0.5, 0.5, 1.5, 1.5]], np.float32), picture, placed)
    np.testing.assert_array_equal(everything, [[0, 0, width, height]])


def test_a_stretched_picture_decodes_as_without_a_placement():
    generator = np.random.default_rng(1)
    boxes, logits = generator.uniform(0, 1, (1, 50, 4)).astype(np.float32), generator.normal(size=(1, 50, 3)).astype(np.float32)
    plain = decode(boxes, logits, (641, 427), Postprocess(50), ["a", "b", "c"])
    assert plain == decode(
        boxes, logits, (641, 427), Postprocess(50), ["a", "b", "c"], placement=place((641, 427), spec(160, 240))
    )


@pytest.mark.parametrize("channels", ["L", "RGBA"])
def test_inputs_of_one_and_four_channels(channels, tmp_path: Path):
    pixels = np.random.default_rng(0).integers(0, 256, (48, 64, 4), np.uint8)
    path = tmp_path / "x.png"
    Image.fromarray(pixels).save(path)
    count = CHANNEL_COUNT[channels]
    mean, std = tuple(0.1 * (c + 1) for c in range(count)), tuple(0.2 * (c + 1) for c in range(count))
    picture = load_image(path, channels=channels)
    tensor = preprocess(picture, Preprocess(32, 40, "bilinear_antialias", mean=mean, std=std, channels=channels))
    planes = torch.from_numpy(np.asarray(Image.open(path).convert(channels)).reshape(48, 64, count).copy()).permute(2, 0, 1)
    resized = torch.nn.functional.interpolate(planes[None].float() / 255, (32, 40), mode="bilinear", antialias=True).numpy()
    wanted = (resized - np.reshape(mean, (1, -1, 1, 1))) / np.reshape(std, (1, -1, 1, 1))
    np.testing.assert_allclose(tensor, wanted, rtol=0, atol=1e-5)


def test_a_picture_read_with_opacity_is_grey_and_colour_as_without():
    """`convert detect` reads every picture with opacity and draws on the same."""
    for mode in ("L", "LA", "P", "CMYK", "RGB", "1"):
        picture = Image.fromarray(np.random.default_rng(0).integers(0, 256, (9, 8, 3), np.uint8)).convert(mode)
        wide = to_channels(picture, "RGBA")
        for channels in ("RGB", "L"):
            np.testing.assert_array_equal(
                np.asarray(to_channels(wide, channels)), np.asarray(to_channels(to_channels(picture, "RGB"), channels)), mode
            )
