"""What is compared with from outside: which options go together, and asking the original project."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
import torch
from PIL import Image

from detr2litert.convert.demo.annotated import KNOWN_AP, KNOWN_MASK_AP, demo_dataset
from detr2litert.convert.demo.scenes import CLASSES
from detr2litert.convert.models.reference import Reference
from detr2litert.convert.models.variants import VARIANTS
from detr2litert.convert.proof.gates.expected import GATE
from detr2litert.convert.proof.oracle import ask_original
from detr2litert.convert.proof.outside import ExpectedSet, Outside, OutsideRequest, complete, read_outside
from detr2litert.convert.proof.scenes import Picture
from detr2litert.host_runtime.decode import Detection
from detr2litert.host_runtime.errors import UserError
from detr2litert.host_runtime.manifest import ClassKeypoints, Keypoints
from detr2litert.verify.accuracy.expected_file import ExpectedDetection
from detr2litert.verify.gates import Verdict
from detr2litert.verify.parity.detections import DetectionLimits
from tests.convert.proof.original_stub import FAKE, FROM_CHECKPOINT, environment_of, reference

ROOT = Path(__file__).parents[3]
ROW = {"image_id": "a.png", "category_id": 1, "bbox": [1, 2, 30, 40], "score": 0.9}
CORE = """
import torch, yaml_stub
class Model(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(1))
        self.num_queries = 5
    def deploy(self):
        self.eval()
        return self
    def forward(self, image):
        assert image.shape == (1, 3, 64, 96)
        return image.mean() * self.weight
class PostProcess:
    num_top_queries = 3
    def deploy(self):
        return self
    def __call__(self, score, size):
        width, height = size[0].tolist()
        boxes = torch.tensor([[[0, 0, width, height], [4, 4, 4, 9], [1, 1, 2, 2]]])
        return torch.tensor([[1, 0, 0]]), boxes, torch.stack([score[0], score[0], score[0] / 9])[None]
class YAMLConfig:
    def __init__(self, config, resume):
        self.yaml_cfg = yaml_stub.read(config)
    @property
    def model(self):
        assert self.yaml_cfg["HGNetv2"]["pretrained"] is False
        return Model()
    @property
    def postprocessor(self):
        return PostProcess()
"""


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
    other = reference("tiny", str(VARIANTS["tiny"].default_weights), side=200)
    assert dataset(OutsideRequest(dataset_size=1), other).stated_ap is None
    assert dataset(OutsideRequest(dataset="none")) is None
    assert dataset(OutsideRequest(), default=False) is None
    assert dataset(OutsideRequest(), reference("tiny", "other.pth")) is None
    assert dataset(OutsideRequest(), reference("tiny", "random, seed 0", random=True)) is None
    demanded = dataset(OutsideRequest(dataset="demo", dataset_size=2, dataset_ap=0.5), reference("tiny", "other.pth"), False)
    assert (len(demanded.pictures), demanded.stated_ap) == (2, 0.5)
    with pytest.raises(UserError, match=r"lacks: .*circle"):
        complete(read_outside(OutsideRequest(), []), own, ["class 0", "class 1"], [], 0.5, demo_default=True)


def test_the_masks_of_a_data_set_are_read_for_a_detector_of_instances(picture: Path) -> None:
    """Before the conversion, so that a malformed one costs no minutes; a detector of boxes does not need them."""
    box = {"id": 1, "image_id": 1, "category_id": 1, "bbox": [1, 2, 30, 40], "area": 1200, "iscrowd": 0}
    images = [{"id": 1, "file_name": "a.png", "width": 90, "height": 60}]
    file = picture.with_name("_annotations.coco.json")

    def dataset(segmentation: Any, variant: str = "tiny-seg", **requested: Any) -> Any:
        annotations = [{**box, "segmentation": segmentation}]
        file.write_text(json.dumps({"images": images, "annotations": annotations, "categories": [{"id": 1, "name": "star"}]}))
        read = read_outside(OutsideRequest(dataset=str(file.parent)), [])
        return complete(read, reference(variant, "x.pth", **requested), CLASSES, [], 0.5, demo_default=True).dataset

    good, broken = [[1, 2, 31, 2, 31, 42, 1, 42]], {"size": [60, 90], "counts": [1, 2, 3]}
    (mask,) = dataset(good).pictures[0].truth.masks
    assert mask.pixels[2:42, 1:31].all() and int(mask.pixels.sum()) == 1200
    with pytest.raises(UserError, match="annotation 0 has a damaged segmentation: the run lengths are not those of 90 x 60"):
        dataset(broken)
    for other in (dataset(broken, "tiny"), dataset(broken, masks="off"), dataset([])):
        assert not other.has_masks


def test_the_keypoints_of_a_data_set_are_compared_with_the_detectors_before_the_conversion(picture: Path) -> None:
    spec = Keypoints(0.0, (ClassKeypoints(CLASSES.index("star"), ("tip", "left"), (), (0.05, 0.05)),))
    box = {"id": 1, "image_id": 1, "category_id": 1, "bbox": [1, 2, 30, 40], "keypoints": [5, 6, 2, 7, 8, 2]}
    images = [{"id": 1, "file_name": "a.png", "width": 90, "height": 60}]
    file = picture.with_name("_annotations.coco.json")

    def dataset(*names: str, keypoints: Keypoints | None = spec) -> Any:
        categories = [{"id": 1, "name": "star", "keypoints": names}]
        file.write_text(json.dumps({"images": images, "annotations": [box], "categories": categories}))
        read = read_outside(OutsideRequest(dataset=str(file.parent)), [])
        detector = reference("tiny-keypoints", "x.pth")
        return complete(read, detector, CLASSES, [], 0.5, demo_default=True, keypoints=keypoints).dataset

    assert dataset("left", "tip").pictures[0].truth.keypoints[0].tolist() == [[7, 8, 2], [5, 6, 2]]
    assert list(dataset("tip", "left").sigmas) == [0] and not dataset("tip", "left", keypoints=None).sigmas
    with pytest.raises(UserError, match="name the keypoints of star head, tail, and the detector tip, left"):
        dataset("head", "tail")


def test_the_known_ap_is_the_model_cards() -> None:
    card = (ROOT / "convert" / "demo" / "README.md").read_text(encoding="utf-8")
    for variant, ap in KNOWN_AP.items():
        table = card.split(f"<!-- {variant}-weights:begin -->")[1].split("<!--")[0]
        (row,) = [line.strip("| ").split(" | ") for line in table.splitlines() if line.startswith("| 200 |")]
        assert row[1] == f"{ap:.3f}"
        assert variant not in KNOWN_MASK_AP or row[5] == f"{KNOWN_MASK_AP[variant]:.3f}"
    assert set(KNOWN_MASK_AP) == {"tiny-seg"}
    assert demo_dataset(2).pictures[0].load().size == (160, 160)


@pytest.fixture
def environment(tmp_path: Path) -> Callable[[str], Path]:
    """An interpreter in whose environment a package named rfdetr is installed."""
    return partial(environment_of, tmp_path)


@pytest.mark.parametrize("names", ["{0: 'ball', 1: 'bolt'}", "['ball', 'bolt']"])
def test_the_original_project_answers(tmp_path: Path, picture: Path, environment: Callable[[str], Path], names: str) -> None:
    weights = tmp_path / "weights.pth"
    weights.write_text("weights")
    python = environment("import rfdetr.config\n" + FAKE.replace("{CLASS_NAMES}", names))
    judged = [Picture("demo scene 1", Image.open(picture))]
    request = OutsideRequest(oracle=python, dataset="none")
    found = complete(
        read_outside(request, []), reference("nano", str(weights)), ["ball", "bolt"], judged, 0.5, demo_default=True
    ).expected
    assert found is not None and (found.source, found.differs) == (
        "rfdetr 9.9, RFDETRNano(positional_encoding_size=20) (--oracle)",
        "",
    )
    # The box without an area is left out.
    ((row,),) = found.detections
    assert (row.class_id, row.name, row.score, row.box) == (1, "bolt", 0.9, (1, 2, 31, 42))


@pytest.mark.parametrize(
    ("variant", "source", "package", "words"),
    [
        ("dfine-n", "weights.pth", "", "--oracle of D-FINE needs --oracle-config"),
        ("lwdetr-tiny", "weights.pth", "", "not LW-DETR, whose settings are arguments of its own program"),
        ("nano", "no/file", "", "needs a checkpoint file"),
        ("nano", "", "", "a folder in transformers' form is read by transformers, which computes the reference itself"),
        ("small", "weights.pth", "", "rfdetr 9.9 has no RFDETRSmall; give the python of another version"),
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


@pytest.mark.parametrize("reader", ["", FROM_CHECKPOINT])
def test_the_original_is_built_as_the_reference_was(
    tmp_path: Path, picture: Path, environment: Callable[[str], Path], reader: str
) -> None:
    """The stub, like rfdetr, refuses an argument that it does not have; ``effective`` is what it then computes with."""
    (tmp_path / "weights.pth").write_text("weights")
    fake = FAKE.replace("{CLASS_NAMES}", "{}").replace("class RFDETRNano", reader + "class RFDETRNano")
    python = environment("import rfdetr.config\n" + fake)
    detector = reference(
        "nano", str(tmp_path / "weights.pth"), resolution="448", num_select=100, num_queries=300, mean="0.5", windows=1
    )
    answer = ask_original(python, detector, [Picture("a", Image.open(picture))], 0.5)
    told = "num_select=100, positional_encoding_size=20, resolution=448"
    assert answer.source == f"rfdetr 9.9, RFDETRNano({told}) (--oracle)"
    # The stub's configuration has no num_windows, and no rfdetr an argument for the mean.
    assert answer.differs == (
        f"{answer.source} computes with other settings: mean 0.5, 0.5, 0.5 here, which it cannot be told; "
        "windows 1 here, which it cannot be told"
    )
    oblong = reference("nano", str(tmp_path / "weights.pth"), resolution="448x320", resize="bilinear_antialias")
    assert ask_original(python, oblong, [Picture("a", Image.open(picture))], 0.5).differs.endswith(
        "settings: resolution 448 × 320 here, not 384 × 384; resize bilinear_antialias here, not bilinear"
    )


def clone(folder: Path, package: str = "engine") -> Path:
    """A project as it is cloned, with a configuration; the reader of YAML is a stub that reads JSON."""
    core = folder / "Project" / package / "core"
    core.mkdir(parents=True)
    (core.parent / "__init__.py").write_text("")
    (core / "__init__.py").write_text(CORE)
    (folder / "Project" / "yaml_stub.py").write_text(
        "import json\nfrom pathlib import Path\ndef read(path):\n    return json.loads(Path(path).read_text())\n"
    )
    (core.parent / "data.py").write_text(
        "mscoco_category2name = {1: 'person', 3: 'car'}\nmscoco_label2category = {0: 1, 1: 3}\n"
    )
    (core / "__init__.py").write_text(f"import {package}.data\n{CORE}")
    config = folder / "Project" / "configs" / "n.yml"
    config.parent.mkdir()
    steps = [{"type": "Normalize", "mean": [0.5, 0.5, 0.5], "std": [0.5, 0.5, 0.5]}]
    config.write_text(
        json.dumps(
            {
                "eval_spatial_size": [64, 96],
                "HGNetv2": {"name": "B0"},
                "remap_mscoco_category": True,
                "val_dataloader": {"dataset": {"transforms": {"ops": steps}}},
            }
        )
    )
    return config


@pytest.mark.parametrize("package", ["engine", "src"])
def test_a_clone_with_yaml_configurations_answers(tmp_path: Path, picture: Path, package: str) -> None:
    config = clone(tmp_path, package)
    state = {"weight": torch.tensor([-0.8])}
    averaged, other = {"module": state}, {"weight": torch.tensor([0.1])}
    torch.save({"model": other, "ema": averaged}, tmp_path / "weights.pth")
    detector = reference("dfine-n", str(tmp_path / "weights.pth"), num_queries=5, num_select=3, resolution="64x96")
    judged = [Picture("a", Image.new("RGB", (90, 60)))]
    answer = ask_original(Path(sys.executable), detector, judged, 0.5, config)
    assert (answer.source, answer.differs) == ("Project with n.yml (--oracle)", "")
    # A black picture is -1 after the normalisation. The box without an area and the score below the threshold are left out.
    ((row,),) = answer.detections
    assert (row.class_id, row.name, row.box) == (1, "car", (0, 0, 90, 60))
    assert row.score == pytest.approx(0.8)
    other_size = reference("dfine-n", str(tmp_path / "weights.pth"), num_queries=5)
    assert ask_original(Path(sys.executable), other_size, judged, 0.5, config).differs.endswith(
        "resolution 640 × 640 here, not 64 × 96 (--set resolution=64x96); num_select 300 here, not 3 (--set num_select=3)"
    )


def test_what_a_clone_cannot_answer_is_one_line(tmp_path: Path, picture: Path) -> None:
    config, judged = clone(tmp_path), [Picture("a", Image.open(picture))]
    torch.save({"other": 1}, tmp_path / "weights.pth")
    (tmp_path / "n.yml").write_text("{}")
    detector = reference("dfine-n", str(tmp_path / "weights.pth"))
    for given, file, words in (
        (detector, config, "has neither ema nor model"),
        (detector, tmp_path / "n.yml", "is in no clone of a project"),
        (reference("nano", str(tmp_path / "weights.pth")), config, "RF-DETR has none; leave it out"),
    ):
        with pytest.raises(UserError, match=words) as error:
            ask_original(Path(sys.executable), given, judged, 0.5, file)
        assert "\n" not in str(error.value)
    for request, words in (
        (OutsideRequest(oracle_config=config), "give the python that it runs in"),
        (OutsideRequest(oracle=picture, oracle_config=tmp_path / "none.yml"), "no such file"),
    ):
        with pytest.raises(UserError, match=words):
            read_outside(request, [])


@pytest.mark.parametrize("differs", ["", "num_select 300 here, not 30 (--set num_select=30)"])
def test_other_settings_of_the_original_are_a_finding_of_the_gate(picture: Path, differs: str) -> None:
    found = ExpectedDetection(0, "ball", 0.9, (1, 2, 31, 42))
    expected = ExpectedSet("Project with n.yml", (Picture("a", Image.open(picture)),), ((found,),), differs)
    same = SimpleNamespace(items=[Detection(0, "ball", 0.9, (1, 2, 31, 42))])
    subject = SimpleNamespace(
        outside=Outside(expected),
        reference=SimpleNamespace(path=SimpleNamespace(detect=lambda image, threshold: same)),
        manifest=SimpleNamespace(classes=("ball",)),
        limits=DetectionLimits(),
    )
    result = GATE.run(cast(Any, subject), lambda text: None)
    assert result.verdict is Verdict.PASSED
    assert [finding.message for finding in result.findings] == ([differs] if differs else [])
