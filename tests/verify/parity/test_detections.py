"""The rule of the detections gate, case by case."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from detr2litert.host_runtime.decode import Detection
from detr2litert.verify.gates import GateResult, Verdict
from detr2litert.verify.parity.detections import DetectionCase, DetectionLimits, check_detections, compare_detections
from detr2litert.verify.parity.fp16 import Fp16Limits
from detr2litert.verify.report.report import rejudge

LIMITS = DetectionLimits(threshold=0.3, iou=0.99, score=0.01, outlier=None)
MANY = replace(LIMITS, outlier=0.025)


def found(score: float, *, kind: int = 0, shift: float = 0.0) -> Detection:
    return Detection(kind, f"kind {kind}", score, (10 + shift, 20 + shift, 110 + shift, 220 + shift))


def far(score: float, kind: int = 0) -> Detection:
    return replace(found(score, kind=kind), box=(300.0, 300.0, 340.0, 350.0))


def judge(reference: list[Detection], candidate: list[Detection]) -> GateResult:
    return check_detections([DetectionCase("scene", reference, candidate)], LIMITS)


def statuses(reference: list[Detection], candidate: list[Detection]) -> list[str]:
    return [row.status for row in compare_detections(DetectionCase("scene", reference, candidate), LIMITS)]


def test_equal_sets_in_any_order_pass() -> None:
    reference = [found(0.9), far(0.8), found(0.5, kind=2)]
    result = judge(reference, [replace(d, score=d.score - 0.009) for d in reversed(reference)])
    assert result.verdict is Verdict.PASSED and not result.findings and "3 detections" in result.summary
    figures = {m.metric: m.value for m in result.measurements}
    assert figures == {
        "matched": 3, "missing": 0, "extra": 0, "lowest iou": 1.0, "score difference": pytest.approx(0.009),
    }  # fmt: skip
    json.dumps(result.to_json())


@pytest.mark.parametrize(
    ("candidate", "note"),
    [
        (found(0.9, shift=1.0), "IoU 0.9"),  # box
        (found(0.88), "0.880, IoU 1.0000"),  # score
        (found(0.9, kind=1), "kind 1 0.900"),  # class
        (far(0.9), "nothing there"),
    ],
)
def test_unmatched_detections_are_missing_and_extra(candidate: Detection, note: str) -> None:
    result = judge([found(0.9)], [candidate])
    assert result.verdict is Verdict.FAILED and "1 missing, 1 extra" in result.summary
    assert [f.rule for f in result.findings] == ["detection-missing", "detection-extra"]
    assert note in result.findings[0].message and "scene" in result.advice
    assert any(not m.passed for m in result.measurements)


def test_one_missing_one_extra_one_doubled() -> None:
    assert statuses([found(0.9), far(0.8)], [found(0.9)]) == ["matched", "missing"]
    assert statuses([found(0.9)], [found(0.9), far(0.8)]) == ["matched", "extra"]
    assert statuses([found(0.9)], [found(0.9), found(0.9)]) == ["matched", "extra"]  # pairs are one to one


def test_an_extra_one_that_the_reordered_reference_finds_too_is_a_near_tie() -> None:
    def rows(reference: list[Detection], candidate: list[Detection], reordered: list[Detection]) -> list[str]:
        case = DetectionCase("scene", reference, candidate, reordered)
        return [row.status for row in compare_detections(case, LIMITS)]

    both, one = [found(0.9), far(0.5)], [found(0.9)]
    assert rows(one, both, both) == ["matched", "near tie"]
    assert rows(one, both, one) == ["matched", "extra"]
    assert rows(one, both, [found(0.9), far(0.52)]) == ["matched", "extra"]  # not the same one
    assert rows(both, one, one) == ["matched", "missing"]  # a missing one is missing
    assert rows(one, [*both, far(0.5)], both) == ["matched", "near tie", "extra"]  # it explains one, not two
    result = check_detections([DetectionCase("scene", one, both, both)], LIMITS)
    assert result.verdict is Verdict.PASSED and "1 more that PyTorch finds too" in result.summary


@pytest.mark.parametrize(
    ("reference", "candidate", "status"),
    [
        (0.312, 0.306, "matched"),
        (0.305, None, "borderline"),  # within the tolerance of the threshold: it may be missing,
        (None, 0.305, "borderline"),  # or extra
        (0.295, 0.302, "matched"),
        (0.295, None, "borderline"),
        (0.31, None, "borderline"),  # threshold + tolerance is still near it
        (0.311, None, "missing"),
        (None, 0.311, "extra"),
        (0.315, 0.306, "matched"),  # a pair near the threshold matches
        (0.319, 0.308, "missing"),  # but not one that differs by more than the tolerance
    ],
)
def test_near_the_threshold(reference: float | None, candidate: float | None, status: str) -> None:
    rows = statuses([] if reference is None else [found(reference)], [] if candidate is None else [found(candidate)])
    assert rows[0] == status


@pytest.mark.parametrize(
    ("reference", "candidate", "note"),
    [
        (0.305, 0.304, ""),
        (0.304, 0.299, "not above 0.3 on one side, nor drawn there"),
        (0.299, 0.298, "not above 0.3, nor drawn"),
    ],
)
def test_a_pair_that_the_pictures_do_not_show_is_named(reference: float, candidate: float, note: str) -> None:
    (row,) = compare_detections(DetectionCase("scene", [found(reference)], [found(candidate)]), LIMITS)
    assert (row.status, row.note) == ("matched", note)


def test_below_the_band_detections_are_ignored() -> None:
    assert statuses([found(0.29), far(0.05)], [found(0.28, kind=3)]) == []


def test_score_difference_of_exactly_the_tolerance_passes() -> None:
    assert statuses([found(0.9)], [found(0.91)]) == ["matched"]
    assert sorted(statuses([found(0.9)], [found(0.9101)])) == ["extra", "missing"]


def test_pairs_are_found_where_greedy_pairing_fails() -> None:
    # The second reference fits only the first candidate, which is also the best for the first reference.
    reference = [found(0.900), found(0.892)]
    candidate = [found(0.900), found(0.909)]
    assert statuses(reference, candidate) == ["matched", "matched"]


def test_nothing_to_compare_does_not_pass() -> None:
    for cases in ([], [DetectionCase("a", [found(0.2)], [found(0.2)])], [DetectionCase("a", [found(0.305)], [])]):
        result = check_detections(cases, LIMITS)
        assert result.verdict is Verdict.NOT_RUN and "trained weights" in result.advice
    assert "nothing above" in check_detections([DetectionCase("a", [found(0.2)], [])], LIMITS).summary
    assert "too near to compare" in check_detections([DetectionCase("a", [found(0.305)], [])], LIMITS).summary
    # An extra detection in an empty picture is a failure.
    assert judge([], [found(0.9)]).verdict is Verdict.FAILED
    # One picture with a detection is enough.
    both = [DetectionCase("a", [], []), DetectionCase("b", [found(0.9)], [found(0.9)])]
    assert check_detections(both, LIMITS).verdict is Verdict.PASSED


def test_floor_is_the_decoding_threshold() -> None:
    assert LIMITS.floor == pytest.approx(0.29) and DetectionLimits(threshold=0.005).floor == 0


def differing(*differences: float) -> GateResult:
    """One picture with a pair of each difference of scores."""
    places = [replace(found(0.8), box=(100.0 * place, 0.0, 100.0 * place + 50, 50.0)) for place in range(len(differences))]
    moved = [replace(one, score=one.score + by) for one, by in zip(places, differences, strict=True)]
    result = check_detections([DetectionCase("scene", places, moved)], MANY)
    assert result.verdict is rejudge(result)
    return result


def test_a_pair_alone_may_differ_by_the_tolerance_and_one_of_many_by_more() -> None:
    assert differing(0.0099).verdict is Verdict.PASSED and differing(-0.0101).verdict is Verdict.FAILED
    assert differing(0.0101, *[0.0] * 3).verdict is Verdict.PASSED
    assert differing(0.0249, *[0.0] * 9).verdict is Verdict.FAILED  # one of ten
    passed = differing(0.0249, *[0.0] * 24)
    assert passed.verdict is Verdict.PASSED and "scores within 0.0249 (root mean square 0.0050)" in passed.summary
    assert "1 missing, 1 extra" in differing(0.0251, *[0.0] * 99).summary


def test_scores_that_all_differ_are_found_though_each_is_within_the_tolerance() -> None:
    assert differing(*[0.009] * 2).verdict is Verdict.FAILED  # the root mean square of two may be 0.0079
    assert differing(*[-0.006] * 6).verdict is Verdict.PASSED and differing(*[-0.006] * 8).verdict is Verdict.FAILED
    result = differing(*[0.006, -0.006] * 10)
    assert [(finding.rule, finding.place) for finding in result.findings] == [("detection-scores", "1 image")]
    assert "20 detections matched in 1 image, their scores differ by 0.0060" in result.summary


def test_an_outlier_widens_neither_the_band_around_the_threshold_nor_what_is_listed() -> None:
    assert MANY.floor == pytest.approx(0.285) and replace(MANY, score=0.1).floor == pytest.approx(0.2)
    for score, status in ((0.305, ["borderline"]), (0.311, ["missing"]), (0.288, [])):
        rows = compare_detections(DetectionCase("scene", [found(score)], []), MANY)
        assert [row.status for row in rows] == status
    rows = compare_detections(DetectionCase("scene", [found(0.311)], [found(0.287)]), MANY)
    assert [row.status for row in rows] == ["matched"]


FP16 = Fp16Limits().detections(0.3)
SIDES = (8, 12, 16, 24, 40, 60, 90)
"""Pixels of the input."""
FAULTS = {
    "half a pixel to the right": (0.5, 0, 0.5, 0),
    "half a pixel up": (0, -0.5, 0, -0.5),
    "half a pixel along the diagonal": (0.5, 0.5, 0.5, 0.5),
    "a pixel higher": (0, -0.5, 0, 0.5),
    "one side by half a pixel": (0, 0, 0, 0.5),
}


def box(side: float, moved: tuple[float, ...] = (0, 0, 0, 0), scale: float = 1.0) -> Detection:
    """An object of ``side`` x ``side`` pixels of the input, its sides moved, in pixels of a finer picture by ``scale``."""
    left, top, right, bottom = ((300 + place + move) * scale for place, move in zip((0, 0, side, side), moved, strict=True))
    return Detection(0, "star", 0.9, (left, top, right, bottom))


def fits(side: float, moved: tuple[float, ...], limits: DetectionLimits, scale: float = 1.0) -> bool:
    case = DetectionCase("scene", [box(side, scale=scale)], [box(side, moved, scale)], scale=(1 / scale, 1 / scale))
    result = check_detections([case], limits)
    assert result.verdict is rejudge(result)
    return result.verdict is Verdict.PASSED


@pytest.mark.parametrize("scale", [0.25, 1.0, 3.0])
@pytest.mark.parametrize("fault", FAULTS)
def test_half_a_pixel_of_the_input_is_found_wherever_the_iou_alone_finds_it(fault: str, scale: float) -> None:
    """In pictures coarser and finer than the input: half a pixel of the input is an eighth of theirs, or one and a half."""
    alone = replace(FP16, corner=None)
    found = [side for side in SIDES if not fits(side, FAULTS[fault], alone, scale)]
    assert found[0] == SIDES[0] and [side for side in SIDES if not fits(side, FAULTS[fault], FP16, scale)] == found


def test_a_small_object_moves_by_what_fp16_moves_a_large_one_by() -> None:
    moved = (0.2, -0.2, 0.2, -0.2)
    assert fits(90, moved, FP16) and not fits(12, moved, replace(FP16, corner=None)) and fits(12, moved, FP16)
    row = compare_detections(DetectionCase("scene", [box(12)], [box(12, moved)]), FP16)[0]
    assert row.corner == pytest.approx(0.2) and row.iou is not None and row.iou < FP16.iou
    result = check_detections([DetectionCase("scene", [box(12), far(0.9)], [box(12, moved), far(0.9)])], FP16)
    assert "(1 below 0.98, within 0.20 pixels of the input)" in result.summary and rejudge(result) is Verdict.PASSED
    figures = {m.metric: m for m in result.measurements}
    assert figures["pixels of the input"].limit == FP16.corner and figures["lowest iou"].value == 1
