"""The gates of an export pass on the right file and find what is planted in it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from detr2litert.convert.models.reference import Reference
from detr2litert.convert.onnx_export import parity
from detr2litert.convert.onnx_export.detections import check_file_detections
from detr2litert.convert.onnx_export.onnx_side import OpenedSelection
from detr2litert.convert.onnx_export.parity import check_parity
from detr2litert.convert.onnx_export.pytorch_side import Case, Computed, best, compute, in_selected_order, mostly_tied
from detr2litert.convert.proof.reference_path import ReferencePath
from detr2litert.verify.gates import GateResult, Verdict, unheard
from detr2litert.verify.parity.detections import DetectionLimits
from tests.convert.onnx_export import edits
from tests.convert.onnx_export.edits import Edit, edited

# The export that they share takes 25 s.
pytestmark = pytest.mark.ci

BATCHES = (1, 4)
LIMITS = DetectionLimits(threshold=0.5)


def parity_of(file: Path, reference: Reference, cases: tuple[Case, ...]) -> GateResult:
    return check_parity(file, reference, cases, BATCHES, unheard)


def test_the_file_passes(
    tiny_file: Path, tiny_reference: Reference, tiny_path: ReferencePath, tiny_cases: tuple[Case, ...]
) -> None:
    result = parity_of(tiny_file, tiny_reference, tiny_cases)
    assert result.verdict is Verdict.PASSED, result.summary
    subjects = {measurement.subject for measurement in result.measurements}
    assert subjects == {
        f"batch {batch}{form} / {name}"
        for batch in BATCHES
        for form, names in (("", ("scores", "dets", "labels")), (", tied scores", ("dets", "labels")))
        for name in names
    }
    found = check_file_detections(tiny_file, tiny_path, tiny_cases, BATCHES, LIMITS, unheard)
    assert found.verdict is Verdict.PASSED, found.summary
    matched = {m.subject: m.value for m in found.measurements if m.metric == "matched"}
    assert set(matched) == {f"demo scene {n}, batch {b}" for b in BATCHES for n in range(1, b + 1)}
    assert all(matched.values())


@pytest.mark.parametrize(
    ("edit", "place"),
    [
        (edits.transpose_boxes, "batch 1 / dets"),
        (edits.scale_boxes, "batch 1 / dets"),
        (edits.shift_classes, "batch 1 / labels"),
        (edits.repeat_first_picture, "batch 4 / labels"),
        (edits.blend_pictures, "batch 1 / scores"),
        (edits.select_lowest, "batch 1 / order"),
        (edits.prefer_higher_index, "batch 1 / scores"),
        (edits.align_corners, "batch 1 / dets"),
        (edits.remove_selection, "query selection"),
        (edits.break_shapes, "loading the file"),
        (edits.rely_on_a_batch_of_1, "batch 4"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_a_fault_is_found_and_its_place_named(
    tmp_path: Path, tiny_file: Path, tiny_reference: Reference, tiny_cases: tuple[Case, ...], edit: Edit, place: str
) -> None:
    result = parity_of(edited(tiny_file, tmp_path / "planted.onnx", edit), tiny_reference, tiny_cases)
    assert result.verdict is Verdict.FAILED
    assert result.summary.startswith(f"{place}: "), result.summary
    assert result.findings[0].place == place and result.advice


@pytest.mark.parametrize("edit", [edits.transpose_boxes, edits.shift_classes, edits.select_lowest])
def test_detections_differ(
    tmp_path: Path, tiny_file: Path, tiny_path: ReferencePath, tiny_cases: tuple[Case, ...], edit: Edit
) -> None:
    planted = edited(tiny_file, tmp_path / "planted.onnx", edit)
    result = check_file_detections(planted, tiny_path, tiny_cases, (1,), LIMITS, unheard)
    assert result.verdict is Verdict.FAILED
    assert "missing" in result.summary and "demo scene 1, batch 1" in result.advice


def test_a_file_that_is_none(tmp_path: Path, tiny_path: ReferencePath, tiny_cases: tuple[Case, ...]) -> None:
    (tmp_path / "text.onnx").write_text("no model")
    result = check_file_detections(tmp_path / "text.onnx", tiny_path, tiny_cases, (1,), LIMITS, unheard)
    assert result.verdict is Verdict.FAILED and "onnxruntime fails" in result.summary


def test_most_scores_are_tied_and_the_tied_selection_differs(tiny_reference: Reference, tiny_cases: tuple[Case, ...]) -> None:
    for case in tiny_cases:
        assert case.tied is not None and case.tied.scores is not None
        assert len(np.unique(case.tied.scores)) <= 17 < case.tied.scores.size
        assert not np.array_equal(case.tied.order(tiny_reference.num_queries), case.plain.order(tiny_reference.num_queries))


def test_an_order_is_computed_by_pytorch(tiny_file: Path, tiny_reference: Reference, tiny_cases: tuple[Case, ...]) -> None:
    """Queries are learned for their ranks: with two tokens swapped, PyTorch and the file give other boxes, and the same."""
    case = tiny_cases[0]
    assert case.plain.scores is not None
    swapped = case.plain.scores.copy()
    first, second = best(swapped, 2)[0]
    swapped[0, [first, second]] = swapped[0, [second, first]]
    expected = compute(tiny_reference, case.image, swapped)
    assert np.abs(expected.outputs["dets"][0, :2] - case.plain.outputs["dets"][0, :2]).max() > 1e-3
    run = OpenedSelection(tiny_file).run(case.image.numpy(), swapped)
    np.testing.assert_array_equal(run.order, best(swapped, tiny_reference.num_queries))
    again = in_selected_order(tiny_reference, case, run.order)
    for name, value in run.outputs.items():
        np.testing.assert_array_equal(again.outputs[name], expected.outputs[name])
        np.testing.assert_allclose(value, expected.outputs[name], atol=1e-4)


def test_masked_tokens_stay_masked_among_ties(tiny_reference: Reference, tiny_cases: tuple[Case, ...]) -> None:
    scores = np.array([[0.0, -np.inf, 1.0, 15.9, 16.0]], np.float32)
    np.testing.assert_array_equal(mostly_tied(scores), [[0.0, -np.inf, 1.0, 15.0, 16.0]])


def test_near_ties_do_not_count_as_differences(
    monkeypatch: pytest.MonkeyPatch,
    tiny_file: Path,
    tiny_reference: Reference,
    tiny_path: ReferencePath,
    tiny_cases: tuple[Case, ...],
) -> None:
    """As if PyTorch had selected the first two tokens in the other order: the file is compared in its own."""
    case = tiny_cases[0]
    assert case.plain.scores is not None
    swapped = case.plain.scores.copy()
    first, second = best(swapped, 2)[0]
    swapped[0, [first, second]] = swapped[0, [second, first]]
    other = compute(tiny_reference, case.image, swapped)
    strict = DetectionLimits(threshold=0.5, iou=0.9999, score=0.0001, outlier=None)
    # Their scores are not nearly equal,
    far = (Case(case.name, case.picture, case.image, other, case.tied),)
    assert check_file_detections(tiny_file, tiny_path, far, (1,), strict, unheard).verdict is Verdict.FAILED
    # and now they are said to be.
    tied = swapped.copy()
    tied[0, [first, second]] = tied.max() + np.array([0, np.ptp(tied) * 1e-5], np.float32)
    near = (Case(case.name, case.picture, case.image, Computed(other.outputs, tied), case.tied),)
    result = check_file_detections(tiny_file, tiny_path, near, (1,), strict, unheard)
    assert result.verdict is Verdict.PASSED, result.summary
    assert result.summary.endswith("1 with PyTorch's queries in the file's order")


def test_the_limit_leaves_room_for_rounding_alone(
    tiny_file: Path, tiny_reference: Reference, tiny_cases: tuple[Case, ...]
) -> None:
    result = parity_of(tiny_file, tiny_reference, tiny_cases)
    errors = [m for m in result.measurements if m.metric == "relative_error"]
    assert errors and all(m.limit is not None and m.value < m.limit / 20 for m in errors), max(m.value for m in errors)
    assert parity.LIMIT >= 0.9999999
