"""Settings of the pre-processing: letterboxes and their fill, channels, and what a preprocessor_config.json states of them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch.nn import functional

from detr2litert.convert.models.checkpoints.preprocessor import preprocessor_statements
from detr2litert.convert.models.configuration import configuration, settings_of
from detr2litert.convert.models.reference import build_reference
from detr2litert.convert.models.settings import Settings, Size
from detr2litert.convert.models.settings.picture import preprocess_of
from detr2litert.convert.models.settings.resolve import parse_requested, resolve_settings
from detr2litert.convert.models.variants import VARIANTS
from detr2litert.host_runtime.errors import UserError
from detr2litert.host_runtime.manifest import Preprocess
from detr2litert.host_runtime.placement import place
from detr2litert.host_runtime.preprocess import preprocess
from detr2litert.host_runtime.resize import resize_in_8_bits
from tests.convert.command import assert_refused, invoke

IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


def settings(variant: str, *pairs: str) -> Settings:
    return settings_of(VARIANTS[variant], None, parse_requested(pairs))


def test_a_stretched_picture_is_the_default_and_has_no_fill() -> None:
    names = dict(settings("tiny"))
    assert names["fit"].value == "stretch" and "fill" not in names
    assert preprocess_of(settings("tiny")) == Preprocess(
        160, 160, VARIANTS["tiny"].resize, mean=VARIANTS["tiny"].mean, std=VARIANTS["tiny"].std
    )


@pytest.mark.parametrize(
    ("fill", "pixels"),
    [(None, (114.0,) * 3), ("fill=0", (0.0,) * 3), ("fill=1,2.5,3", (1.0, 2.5, 3.0))],
)
def test_the_fill_of_a_letterbox(fill: str | None, pixels: tuple[float, ...]) -> None:
    found = preprocess_of(settings("nano", "fit=letterbox", *([fill] if fill else [])))
    assert (found.fit, found.fill) == ("letterbox", pixels)


def test_the_mean_colour_as_fill() -> None:
    chosen = settings("nano", "fit=letterbox_top_left", "fill=mean")
    assert dict(chosen)["fill"].value == "mean"
    np.testing.assert_allclose(preprocess_of(chosen).fill, np.multiply(IMAGENET[0], 255))


@pytest.mark.parametrize(
    ("pairs", "words"),
    [
        (["fill=0"], "pictures are stretched: add --set fit=letterbox"),
        (["fit=letterbox", "fill=1,2"], "fill has 2 numbers .requested. but the input has 3 channels"),
        (["fit=letterbox", "fill=256"], "0 to 255"),
        (["scale=many"], "--set scale=many: scale must be a number$"),
        (["mean=red,0,0"], "mean must be a number$"),
        (["fit=crop"], "stretch or letterbox or letterbox_top_left"),
        (["input_channels=2"], "takes pictures of 1 .grey., 3 .colour. or 4 channels"),
        (["input_channels=4", "mean=0,0,0"], "mean has 3 numbers .requested. but the input has 4 channels"),
    ],
)
def test_what_does_not_fit_is_one_line(pairs: list[str], words: str) -> None:
    with pytest.raises(UserError, match=words):
        settings("nano", *pairs)


@pytest.mark.parametrize(("count", "channels", "order"), [(1, "L", [0]), (4, "RGBA", [0, 1, 2, 0])])
def test_defaults_are_repeated_in_turn_as_rfdetr_does(count: int, channels: str, order: list[int]) -> None:
    found = preprocess_of(settings("nano", f"input_channels={count}"))
    assert found.channels == channels
    assert found.mean == tuple(IMAGENET[0][channel] for channel in order)
    assert found.std == tuple(IMAGENET[1][channel] for channel in order)
    assert "repeated" in dict(settings("nano", f"input_channels={count}"))["mean"].origin
    given = preprocess_of(settings("nano", f"input_channels={count}", "mean=0.5", "std=0.25"))
    assert (given.mean, given.std) == ((0.5,) * count, (0.25,) * count)


@pytest.mark.parametrize("variant", ["tiny", "dfine-tiny"])
@pytest.mark.parametrize("count", [1, 4])
def test_detectors_of_other_channels(variant: str, count: int) -> None:
    reference = build_reference(VARIANTS[variant], None, {"input_channels": count})
    boxes, logits = reference.module(reference.example_input())
    assert reference.example_input().shape[1] == count
    assert boxes.shape[1] == logits.shape[1] == reference.num_queries
    assert torch.isfinite(logits).all()


def test_the_stem_of_dfine_has_the_channels() -> None:
    variant = VARIANTS["dfine-tiny"]
    backbone = configuration(variant, None, settings_of(variant, None, {"input_channels": 4})).backbone_config
    assert (backbone.num_channels, backbone.stem_channels[0]) == (4, 4)
    assert configuration(variant, None, settings_of(variant)).backbone_config.stem_channels[0] == 3


def test_variants_prints_the_settings_of_one() -> None:
    rows = {row["setting"]: row for row in invoke("variants", "tiny", "--json").json}
    assert rows["resolution"]["default"] == [160, 160] and rows["fit"]["default"] == "stretch"
    assert all(row["meaning"] for row in rows.values())
    assert "160 × 160" in invoke("variants", "tiny").stdout
    assert_refused(invoke("variants", "tyni"), "did you mean tiny")


def letterbox(**changed: Any) -> dict[str, Any]:
    """As transformers' own example of fine-tuning writes it (examples/pytorch/object-detection)."""
    config = {
        "image_processor_type": "RTDetrImageProcessor",
        "do_resize": True,
        "size": {"max_height": 480, "max_width": 640},
        "do_pad": True,
        "pad_size": {"height": 480, "width": 640},
        "do_normalize": True,
        "image_mean": [0.485, 0.456, 0.406],
        "image_std": [0.229, 0.224, 0.225],
    }
    return {name: value for name, value in {**config, **changed}.items() if value is not None}


def stated(config: dict[str, Any], variant: str = "rtdetrv2-r18") -> Settings:
    row = VARIANTS[variant]
    return resolve_settings(row.default_settings(), row.name, tuple(preprocessor_statements(config, "folder")), source="folder")


@pytest.mark.parametrize(
    "changed",
    [
        {},
        {"size": {"longest_edge": 480, "shortest_edge": 480}, "pad_size": {"height": 480, "width": 480}},
        {"size": {"longest_edge": 480, "shortest_edge": 800}, "pad_size": {"height": 480, "width": 480}},
    ],
)
def test_a_letterbox_of_transformers(changed: dict[str, Any]) -> None:
    config = letterbox(**changed)
    found = stated(config)
    assert found.resolution.value == Size(config["pad_size"]["height"], config["pad_size"]["width"])
    assert (found.fit.value, found.fill.value) == ("letterbox_top_left", "mean")
    assert "preprocessor_config.json" in found.fit.origin


@pytest.mark.parametrize(
    "changed",
    [
        {"do_pad": False},
        {"pad_size": None},
        {"pad_size": {"height": 640, "width": 640}},
        {"size": {"longest_edge": 1333, "shortest_edge": 800}, "pad_size": {"height": 1333, "width": 1333}},
        {"image_processor_type": "RfDetrImageProcessor"},
        {"image_processor_type": "DeformableDetrImageProcessor"},
    ],
)
def test_what_is_no_letterbox_is_refused(changed: dict[str, Any]) -> None:
    with pytest.raises(UserError, match="keeps the pictures' aspect ratio"):
        stated(letterbox(**changed))


@pytest.mark.parametrize("size", [(97, 61), (300, 533), (640, 480)])
@pytest.mark.parametrize("normalise", [True, False])
def test_the_input_is_that_of_transformers_own_processor(size: tuple[int, int], normalise: bool) -> None:
    from transformers import RTDetrImageProcessor

    image = Image.fromarray(np.random.default_rng(0).integers(0, 256, (size[1], size[0], 3), np.uint8))
    config = letterbox(do_normalize=normalise)
    wanted = RTDetrImageProcessor(**config)(image, return_tensors="np")["pixel_values"]
    spec = preprocess_of(stated(config))
    placed = place(size, spec)
    found = preprocess(image, spec)
    # Without torchvision, transformers resizes with Pillow; with it, 8-bit tensors, which differ by single levels.
    np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-6)
    assert np.abs((found - wanted)[:, :, placed.height :]).max(initial=0) < 1e-6


@pytest.mark.parametrize("size", [(97, 61), (300, 533), (640, 480)])
def test_torch_resizes_8_bit_tensors_as_pillow_resizes_pictures(size: tuple[int, int]) -> None:
    """What torchvision's resize of a tensor calls, and with it transformers' processors: some pixels are a level apart."""
    image = Image.fromarray(np.random.default_rng(1).integers(0, 256, (size[1], size[0], 3), np.uint8))
    tensor = torch.from_numpy(np.array(image)).permute(2, 0, 1)[None]
    wanted = functional.interpolate(tensor, (320, 256), mode="bilinear", antialias=True)[0].permute(1, 2, 0).numpy()
    apart = np.abs(np.asarray(resize_in_8_bits(image, 256, 320)).astype(int) - wanted)
    assert apart.max() <= 1 and (apart > 0).mean() < 0.25
