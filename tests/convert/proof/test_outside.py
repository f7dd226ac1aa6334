"""What is compared with from outside: which options go together, and asking the original project."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from PIL import Image

from detr2litert.convert.demo.annotated import KNOWN_AP, demo_dataset
from detr2litert.convert.demo.scenes import CLASSES
from detr2litert.convert.models.reference import Reference
from detr2litert.convert.models.variants import VARIANTS
from detr2litert.convert.proof.outside import OutsideRequest, complete, read_outside
from detr2litert.convert.proof.scenes import Picture
from detr2litert.host_runtime.errors import UserError

ROOT = Path(__file__).parents[3]
ROW = {"image_id": "a.png", "category_id": 1, "bbox": [1, 2, 30, 40], "score": 0.9}
FAKE = """
import json, sys, types
from pathlib import Path
class Rows(list):
    def tolist(self):
        return list(self)
class RFDETR:
    @classmethod
    def from_checkpoint(cls, path, device):
        assert Path(path).read_text() == "weights" and device == "cpu"
        return cls()
    class_names = {CLASS_NAMES}
    def predict(self, image, threshold):
        assert image.size == (90, 60) and abs(threshold - 0.4) < 1e-6
        return types.SimpleNamespace(xyxy=Rows([[1, 2, 31, 42], [5, 5, 5, 9]]), confidence=[0.9, 0.8], class_id=[1, 0], data={})
"""


def reference(variant: str, source: str, random: bool = False, resolution: int = 160) -> Reference:
    return cast(
        Reference, SimpleNamespace(variant=VARIANTS[variant], source=source, random=random, size=(resolution, resolution))
    )


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    Image.new("RGB", (90, 60), "red").save(tmp_path / "a.png")
    return tmp_path / "a.png"


def test_expected_detections_are_for_the_given_pictures(picture: Path) -> None:
    file = picture.with_name("expected.json")
    file.write_text(json.dumps([ROW]))
    found = read_outside(OutsideRequest(expected=file), [picture]).expected
    assert found is not None
    assert (found.source, found.pictures[0].name, found.detections[0][0].box) == ("expected.json", "a.png", (1, 2, 31, 42))


def test_options_that_do_not_go_together_are_one_line(picture: Path) -> None:
    for request, words in (
        (OutsideRequest(expected=picture), "give them with --image"),
        (OutsideRequest(expected=picture, oracle=picture), "give one of them"),
        (OutsideRequest(dataset_ap=0.5), "give it with --dataset"),
        (OutsideRequest(dataset=str(picture.parent)), "no annotations there"),
    ):
        with pytest.raises(UserError, match=words):
            read_outside(request, [])


def test_a_demo_detector_is_judged_on_the_demo_scenes_unless_told_otherwise() -> None:
    own = reference("tiny", str(VARIANTS["tiny"].default_weights))

    def dataset(request: OutsideRequest, detector: Reference = own, default: bool = True) -> Any:
        return complete(read_outside(request, []), detector, CLASSES, [], 0.5, demo_default=default).dataset

    found = dataset(OutsideRequest(dataset_size=3))
    assert (len(found.pictures), found.total, found.stated_ap) == (3, 200, KNOWN_AP["tiny"])
    other = reference("tiny", str(VARIANTS["tiny"].default_weights), resolution=200)
    assert dataset(OutsideRequest(dataset_size=1), other).stated_ap is None
    assert dataset(OutsideRequest(dataset="none")) is None
    assert dataset(OutsideRequest(), default=False) is None
    assert dataset(OutsideRequest(), reference("tiny", "other.pth")) is None
    assert dataset(OutsideRequest(), reference("tiny", "random, seed 0", random=True)) is None
    demanded = dataset(OutsideRequest(dataset="demo", dataset_size=2, dataset_ap=0.5), reference("tiny", "other.pth"), False)
    assert (len(demanded.pictures), demanded.stated_ap) == (2, 0.5)
    with pytest.raises(UserError, match=r"lacks: .*circle"):
        complete(read_outside(OutsideRequest(), []), own, ["class 0", "class 1"], [], 0.5, demo_default=True)


def test_the_known_ap_is_the_model_cards() -> None:
    card = (ROOT / "convert" / "demo" / "README.md").read_text(encoding="utf-8")
    for variant, ap in KNOWN_AP.items():
        table = card.split(f"<!-- {variant}-weights:begin -->")[1].split("<!--")[0]
        assert f"| 200 | {ap:.3f} |" in table
    assert demo_dataset(2).pictures[0].load().size == (160, 160)


@pytest.fixture
def environment(tmp_path: Path) -> Callable[[str], Path]:
    """An interpreter in whose environment a package named rfdetr is installed."""

    def make(source: str) -> Path:
        package = tmp_path / "site" / "rfdetr"
        package.mkdir(parents=True)
        (package / "__init__.py").write_text(source)
        (package / "detr.py").write_text("from rfdetr import RFDETR\n")
        info = tmp_path / "site" / "rfdetr-9.9.dist-info"
        info.mkdir()
        (info / "METADATA").write_text("Metadata-Version: 2.1\nName: rfdetr\nVersion: 9.9\n")
        python = tmp_path / "python"
        python.write_text(f'#!/bin/sh\nPYTHONPATH={tmp_path / "site"} exec {sys.executable} "$@"\n')
        python.chmod(0o755)
        return python

    return make


@pytest.mark.parametrize("names", ["{0: 'ball', 1: 'bolt'}", "['ball', 'bolt']"])
def test_the_original_project_answers(tmp_path: Path, picture: Path, environment: Callable[[str], Path], names: str) -> None:
    weights = tmp_path / "weights.pth"
    weights.write_text("weights")
    python = environment(FAKE.replace("{CLASS_NAMES}", names))
    judged = [Picture("demo scene 1", Image.open(picture))]
    request = OutsideRequest(oracle=python, dataset="none")
    found = complete(
        read_outside(request, []), reference("nano", str(weights)), ["ball", "bolt"], judged, 0.5, demo_default=True
    ).expected
    assert found is not None and found.source == "rfdetr 9.9 (--oracle)"
    # The box without an area is left out.
    ((row,),) = found.detections
    assert (row.class_id, row.name, row.score, row.box) == (1, "bolt", 0.9, (1, 2, 31, 42))


@pytest.mark.parametrize(
    ("variant", "source", "package", "words"),
    [
        ("dfine-n", "weights.pth", "", "knows RF-DETR, not D-FINE"),
        ("nano", "no/file", "", "needs a checkpoint file"),
        ("nano", "weights.pth", "raise ImportError('no torchvision')", "ImportError: no torchvision"),
    ],
)
def test_what_cannot_be_asked_is_one_line(
    tmp_path: Path, picture: Path, environment: Callable[[str], Path], variant: str, source: str, package: str, words: str
) -> None:
    (tmp_path / "weights.pth").write_text("weights")
    request = OutsideRequest(oracle=environment(package))
    judged = [Picture("a", Image.open(picture))]
    with pytest.raises(UserError, match=words) as error:
        complete(read_outside(request, []), reference(variant, str(tmp_path / source)), [], judged, 0.5, demo_default=False)
    assert "\n" not in str(error.value)


def test_a_python_that_is_none_is_one_line(tmp_path: Path, picture: Path) -> None:
    (tmp_path / "weights.pth").write_text("weights")
    detector = reference("nano", str(tmp_path / "weights.pth"))
    given = read_outside(OutsideRequest(oracle=tmp_path / "none"), [])
    with pytest.raises(UserError, match="cannot be run"):
        complete(given, detector, [], [Picture("a", Image.open(picture))], 0.5, demo_default=False)
