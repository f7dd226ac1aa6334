"""Checkpoints as rfdetr 1.0 to 1.11 writes them give the detections and the class names that rfdetr's own predict gave."""

from __future__ import annotations

from pathlib import Path

import pytest

from detr2litert.convert.models.checkpoints import load_checkpoint
from detr2litert.convert.models.classes import resolve_classes
from detr2litert.host_runtime.errors import UserError
from tests.originals.compare import compare, compare_keypoints, compare_masks, load
from tests.originals.recipe import FOLDER, Recipe, read_recipe

QUICK = ("rfdetr-1.2.1-nano-288", "rfdetr-1.11.2-nano-lora", "rfdetr-1.4.1-nano-select-100")
"""In the fast lane."""
BIG = ("seg", "keypoint", "base", "large", "xlarge", "medium", "small")
"""Sizes that take seconds to draw and run: in the slow lane, like a second recipe of a version."""
NAMES = sorted(path.stem for path in (FOLDER / "recipes").glob("rfdetr-*.json"))
AMBIGUOUS = {"1.5.2"}
"""Versions whose files do not determine the columns of their names."""
MISNAMED = {"rfdetr-1.11.2-nano-converted-ckpt": "rfdetr 1.11 shifts the names of a file of 1.5 by one"}


def recipe(name: str) -> Recipe:
    return read_recipe(FOLDER / "recipes" / f"{name}.json")


def lane(name: str) -> tuple[pytest.MarkDecorator, ...]:
    """Returns the mark of a recipe's test: continuous integration has one nano of each version."""
    version, size = name.split("-")[1:3]
    of_version = [other for other in NAMES if other.split("-")[1] == version and other.split("-")[2] not in BIG]
    return () if name in QUICK else (pytest.mark.ci if size not in BIG and name == of_version[0] else pytest.mark.slow,)


@pytest.mark.parametrize("name", [pytest.param(name, marks=lane(name)) for name in NAMES])
def test_rfdetrs_detections_and_names(name: str, tmp_path: Path) -> None:
    written = recipe(name)
    reference = load(written, tmp_path)
    found = compare(written, reference)
    assert found.left == ()
    assert found.iou >= 0.999
    assert found.score <= 1e-3

    stated = load_checkpoint(next(tmp_path.iterdir())).classes
    recorded = {item.column: item.name for found in written.detections.values() for item in found if item.name is not None}
    if written.version in AMBIGUOUS and stated is not None and len(stated.readings) > 1:
        assert any(recorded.items() <= dict(reading).items() for reading in stated.readings)
        with pytest.raises(UserError, match=r"the first may be column 0: .* or 1: "):
            resolve_classes(reference.variant, reference.logit_columns, stated)
    elif name not in MISNAMED:
        names = resolve_classes(reference.variant, reference.logit_columns, stated).names
        assert {column: names[column] for column in recorded} == recorded


@pytest.mark.parametrize("name", [pytest.param(name, marks=lane(name)) for name in NAMES if "-seg-" in name])
def test_rfdetrs_masks(name: str, tmp_path: Path) -> None:
    written = recipe(name)
    iou, masks = compare_masks(written, load(written, tmp_path))
    assert masks == 12
    assert iou >= 0.999


@pytest.mark.ci
def test_rfdetrs_keypoints(tmp_path: Path) -> None:
    """The reference of our own gives rfdetr's keypoints, scores that depend on them, and classes without any."""
    written = recipe("rfdetr-1.11.2-keypoint-preview-288")
    reference = load(written, tmp_path)
    assert reference.keypoints_per_class == (0, 4, 2) and reference.keypoint_score_weight == 0.2
    distance, score, count = compare_keypoints(written, reference)
    assert count >= 40
    assert distance <= 0.05 and score <= 1e-4


def test_every_size_of_rfdetr_has_a_recipe() -> None:
    sizes = {"nano", "base", "seg"}
    assert sizes <= {part for name in NAMES for part in name.split("-")}
    assert len(NAMES) >= 20
