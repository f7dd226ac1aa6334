"""The reference's pre- and post-processing, in PyTorch, equals the runtime's for every fit, fill and number of channels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, get_args

import numpy as np
import pytest
import torch
from PIL import Image

from detr2litert.convert.models.configuration import settings_of
from detr2litert.convert.models.reference import Reference
from detr2litert.convert.models.settings import Size
from detr2litert.convert.models.settings.picture import preprocess_of
from detr2litert.convert.models.variants import VARIANTS
from detr2litert.convert.proof.reference_path import ReferencePath
from detr2litert.host_runtime.decode import decode
from detr2litert.host_runtime.manifest import Postprocess, Resize
from detr2litert.host_runtime.placement import place
from detr2litert.host_runtime.preprocess import preprocess


@dataclass(frozen=True)
class WithoutWeights:
    """A reference of which only the settings are used."""

    settings: Any
    size = Reference.size
    channels = Reference.channels
    keypoints_per_class = Reference.keypoints_per_class
    keypoint_score_weight = Reference.keypoint_score_weight


def path_of(variant: str = "tiny", **requested: Any) -> ReferencePath:
    settings = settings_of(VARIANTS[variant], None, requested)
    return ReferencePath(WithoutWeights(settings), ["a", "b"])  # type: ignore[arg-type]


@pytest.mark.parametrize("fit", ["stretch", "letterbox", "letterbox_top_left"])
@pytest.mark.parametrize("fill", [(114.0,), (10.0, 20.0, 30.0), "mean"])
@pytest.mark.parametrize("picture", [(97, 61), (300, 533), (33, 400), (5, 3)])
@pytest.mark.parametrize("resize", get_args(Resize))
def test_the_input_is_the_runtimes(fit: str, fill: Any, picture: tuple[int, int], resize: str) -> None:
    requested = {"resolution": Size(160, 240), "resize": resize, "fit": fit, **({} if fit == "stretch" else {"fill": fill})}
    path = path_of(**requested)
    image = Image.fromarray(np.random.default_rng(0).integers(0, 256, (picture[1], picture[0], 3), np.uint8))
    found = preprocess(image, preprocess_of(path.reference.settings))
    assert found.shape == (1, 3, 160, 240)
    np.testing.assert_allclose(path.tensor(image).numpy(), found, atol=1e-5)


@pytest.mark.parametrize("channels", [1, 4])
@pytest.mark.parametrize("fit", ["stretch", "letterbox"])
@pytest.mark.parametrize("resize", get_args(Resize))
def test_other_channels(channels: int, fit: str, resize: str) -> None:
    path = path_of(input_channels=channels, fit=fit, resize=resize)
    image = Image.fromarray(np.random.default_rng(0).integers(0, 256, (50, 90, 4), np.uint8))
    found = preprocess(image, preprocess_of(path.reference.settings))
    assert found.shape == (1, channels, 160, 160)
    np.testing.assert_allclose(path.tensor(image).numpy(), found, atol=1e-5)


@pytest.mark.parametrize("fit", ["stretch", "letterbox", "letterbox_top_left"])
@pytest.mark.parametrize("picture", [(640, 480), (301, 533)])
def test_boxes_are_the_runtimes(fit: str, picture: tuple[int, int]) -> None:
    path = path_of(resolution=Size(160, 240), fit=fit, num_select=30)
    generator = np.random.default_rng(0)
    boxes = generator.uniform(-0.1, 1.1, (1, 40, 4)).astype(np.float32)
    logits = generator.normal(size=(1, 40, 2)).astype(np.float32)
    placed = place(picture, preprocess_of(path.reference.settings))
    found = decode(boxes, logits, picture, Postprocess(30), ["a", "b"], threshold=0.3, placement=placed)
    wanted = path.decode(torch.from_numpy(boxes), torch.from_numpy(logits), picture, 0.3)
    assert len(found) == len(wanted) > 10
    for ours, theirs in zip(found, wanted, strict=True):
        assert ours.name == theirs.name
        np.testing.assert_allclose(ours.box, theirs.box, atol=1e-3)
