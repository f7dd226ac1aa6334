"""The rule of the detections gate, case by case."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from detr2litert.host_runtime.decode import Detection
from detr2litert.verify.gates import GateResult, Verdict
from detr2litert.verify.parity.detections import DetectionCase, DetectionLimits, check_detections, compare_detections

LIMITS = DetectionLimits(threshold=0.3, iou=0.99, score=0.01)


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
