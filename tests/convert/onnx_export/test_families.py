"""A detector of every family as an ONNX file of any batch, compared with PyTorch at 1, 2, 4 and 8."""

from __future__ import annotations

from pathlib import Path

import onnx
import pytest

from detr2litert.convert.models.classes import resolve_classes
from detr2litert.convert.models.reference import Reference, build_reference, load_reference
from detr2litert.convert.models.variants import VARIANTS
from detr2litert.convert.onnx_export.export import OnnxExport, export_onnx
from detr2litert.convert.onnx_export.request import OPSETS, OnnxOptions
from detr2litert.convert.progress import Progress
from detr2litert.convert.proof.scenes import pictures
from detr2litert.verify.gates import Verdict
from tests.convert.shrunken import shrunken
from tests.convert.test_run_families import REPRESENTATIVES

# An export takes 20 to 40 s, since PyTorch's exporter traces the detector twice and then optimises the file. So continuous
# integration has tiny (in test_parity.py) and the backbone of another family, and the rest is slow.

ANY = OnnxOptions(batch=None)


def exported(reference: Reference, options: OnnxOptions, file: Path) -> OnnxExport:
    classes = resolve_classes(reference.variant, reference.logit_columns)
    return export_onnx(file, reference, classes, options, pictures(()), 0.5, Progress())


def verdicts(export: OnnxExport) -> dict[str, Verdict]:
    return {gate.gate: gate.verdict for gate in export.gates}


def random_relative(name: str) -> Reference:
    return build_reference(shrunken(name))


@pytest.mark.slow
@pytest.mark.parametrize("name", REPRESENTATIVES)
def test_one_of_each_family(tmp_path: Path, name: str) -> None:
    """Random weights find nothing for certain, so the detections of both sides may be too near to compare."""
    reference = random_relative(name)
    export = exported(reference, ANY, tmp_path / f"{name}.onnx")
    structure, parity, detections = export.gates
    assert structure.verdict is parity.verdict is Verdict.PASSED, (structure.summary, parity.summary)
    assert detections.verdict is not Verdict.FAILED, detections.summary
    compared = [m for m in parity.measurements if m.metric == "relative_error"]
    # Scores, boxes and logits, the last two with tied scores too, at four batches.
    assert len(compared) == 5 * 4 and {m.subject.split(" / ")[0] for m in compared if "tied" in m.subject} == {
        f"batch {batch}, tied scores" for batch in (1, 2, 4, 8)
    }


@pytest.mark.slow
def test_a_trained_detector_of_another_family(tmp_path: Path) -> None:
    reference, _ = load_reference(VARIANTS["dfine-tiny"], None)
    export = exported(reference, ANY, tmp_path / "dfine-tiny.onnx")
    assert set(verdicts(export).values()) == {Verdict.PASSED}, [gate.summary for gate in export.gates]


@pytest.mark.ci
@pytest.mark.parametrize(
    ("name", "maps"),
    [
        ("deimv2-atto", 1),
        pytest.param("nano", 1, marks=pytest.mark.slow),
        pytest.param("dfine-s", 3, marks=pytest.mark.slow),
        pytest.param("lwdetr-tiny", 1, marks=pytest.mark.slow),
    ],
)
def test_the_backbone_alone(tmp_path: Path, name: str, maps: int) -> None:
    reference = random_relative(name)
    export = exported(reference, OnnxOptions(batch=None, backbone_only=True), tmp_path / f"{name}.onnx")
    assert verdicts(export) == {"structure": Verdict.PASSED, "parity": Verdict.PASSED}
    names = ["features"] if maps == 1 else [f"features_{level}" for level in range(maps)]
    assert list(export.outputs) == names
    model = onnx.load(str(tmp_path / f"{name}.onnx"))
    assert [output.name for output in model.graph.output] == names
    assert not [node for node in model.graph.node if node.op_type in ("TopK", "GridSample")]


@pytest.mark.slow
def test_a_fixed_batch(tmp_path: Path) -> None:
    reference, _ = load_reference(VARIANTS["tiny"], None)
    export = exported(reference, OnnxOptions(batch=3), tmp_path / "tiny.onnx")
    assert set(verdicts(export).values()) == {Verdict.PASSED}
    (image,) = onnx.load(str(tmp_path / "tiny.onnx")).graph.input
    assert [dim.dim_value for dim in image.type.tensor_type.shape.dim] == [3, 3, 160, 160]


@pytest.mark.slow
def test_discrete_sampling_has_no_grid_sample(tmp_path: Path) -> None:
    reference = build_reference(shrunken("rtdetrv2-r18"), requested={"sampling": "discrete"})
    export = exported(reference, ANY, tmp_path / "discrete.onnx")
    assert verdicts(export) | {"detections": Verdict.PASSED} == dict.fromkeys(verdicts(export), Verdict.PASSED)
    assert "GridSample" not in export.gates[0].data["operators"]


@pytest.mark.slow
@pytest.mark.parametrize("opset", OPSETS)
@pytest.mark.parametrize("name", ["tiny", "dfine-tiny"])
def test_every_opset(tmp_path: Path, name: str, opset: int) -> None:
    reference, _ = load_reference(VARIANTS[name], None)
    export = exported(reference, OnnxOptions(batch=None, opset=opset), tmp_path / "made.onnx")
    assert set(verdicts(export).values()) == {Verdict.PASSED}, [gate.summary for gate in export.gates]
