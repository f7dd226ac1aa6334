"""The detections gate: compares the bundle's detections with the reference's, as sets.

As sets, because near ties at the query selection may reorder queries without moving any box.

The rule. With threshold t, score tolerance d and IoU limit u, a reference detection and a candidate detection fit if they are
of the same class, their boxes have IoU >= u and their scores differ by at most d. Detections are paired one to one.

- With a limit w > d, a pair among many may have scores that differ by up to w, so long as the sum of squared differences of all
  n pairs is at most (d / 2)² (n + 3): as if three more pairs did not differ at all. So a pair alone may differ by d, as without
  w, and the root mean square of many by d / 2. A detector is unsure of a few objects, whose scores rounding moves ten times
  further than the others', and how far is a matter of the order of summation: their largest difference grows with the number
  of pictures without end, and says nothing about the bundle, while the root mean square has a value.
- With a limit c, boxes of any IoU fit whose four sides each lie within c pixels of the input of each other: IoU alone would ask
  more of a small object than of a large one, since the same error is a larger share of it.
- Every detection that scores more than t + d, on either side, must be paired: an unpaired one of the reference is *missing*,
  one of the candidate is *extra*.
- A detection that scores within d of t (t - d < score <= t + d) may be on the other side of the threshold in the other list, so
  it need not be paired (*borderline*); it may be the partner of another detection.
- If the reference detection has a mask, the candidate's must have an IoU of at least m with it, pixel by pixel.
- If the reference detection has keypoints, the candidate's must lie within a share k of the diagonal of its box of them, and
  their scores differ by at most d: those that either side finds with a score of 0.5 or more.
- Detections that score t - d or less are ignored, but as partners of others.
- A detector decodes its best-scored proposals, each with the query of its rank. A small change of the scores can swap two of
  them, and then the detector may find one object twice. An extra detection that the reference also finds once its proposals are
  in the candidate's order is a *near tie*, and allowed. A missing one is never allowed.

Both lists are decoded with a threshold of t - d or lower, so that a pair on the two sides of t is seen as one; with w,
of t + d - w or lower.
"""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace

import numpy as np

from detr2litert.host_runtime.decode import Detection
from detr2litert.verify.gates import Finding, GateResult, Measurement, Verdict
from detr2litert.verify.parity.keypoints import keypoint_gap
from detr2litert.verify.parity.metrics import Float64, iou_matrix, match_sets

MATCHED, MISSING, EXTRA, BORDERLINE, NEAR_TIE = "matched", "missing", "extra", "borderline", "near tie"
# Scores are float32 while limits are decimal fractions: a difference of exactly the tolerance must not fail by rounding.
_ROUNDING = 1e-7
_QUIET = 3  # pairs that count as equal beside those that were found, so that one alone may differ by twice the noise


@dataclass(frozen=True)
class DetectionLimits:
    """Bounds: lowest IoU, largest difference of scores, and the score above which detections count.

    ``mask_iou`` is the lowest IoU of masks; None to compare boxes alone. ``keypoint`` is the largest distance of keypoints, as
    a share of the box's diagonal, likewise; ``keypoint_scores`` is whether their scores are compared as well. ``corner`` is the
    largest displacement of a box's side, in pixels of the input, at which boxes fit whatever their IoU; None for none.
    ``outlier`` is the largest difference of scores of a pair among many; None to hold every pair to ``score``.
    """

    threshold: float = 0.3
    iou: float = 0.99
    score: float = 0.01
    mask_iou: float | None = 0.98
    keypoint: float | None = 0.005
    keypoint_scores: bool = True
    corner: float | None = None
    outlier: float | None = 0.025

    @property
    def floor(self) -> float:
        """Returns the threshold with which to decode both lists."""
        return max(0.0, self.threshold - max(self.score, self.widest - self.score))

    @property
    def widest(self) -> float:
        """Returns the largest difference of scores of any pair."""
        return max(self.score, self.outlier or 0.0)

    def noise(self, pairs: int) -> float:
        """Returns the largest root mean square of this many pairs' differences of scores; infinite without ``outlier``."""
        return math.inf if self.outlier is None else self.score / 2 * math.sqrt(1 + _QUIET / max(pairs, 1))


@dataclass(frozen=True)
class DetectionCase:
    """One picture and its detections, decoded down to ``DetectionLimits.floor``.

    Attributes:
        name: of the picture.
        reference, candidate: the detections of each side.
        reordered: the reference's detections with its proposals in the candidate's order; empty where not computed.
        sides: what the two sides are called in messages.
        scale: pixels of the input to one of the picture, in x and y; only used with ``DetectionLimits.corner``.
    """

    name: str
    reference: Sequence[Detection]
    candidate: Sequence[Detection]
    reordered: Sequence[Detection] = ()
    sides: tuple[str, str] = ("the reference", "the bundle")
    scale: tuple[float, float] = (1.0, 1.0)


@dataclass(frozen=True)
class MatchRow:
    """One line of a comparison.

    Attributes:
        status: ``"matched"``, ``"missing"`` (reference only), ``"extra"`` (candidate only), ``"borderline"`` (one side only,
            and allowed, since it scores within the tolerance of the threshold), or ``"near tie"`` (candidate only, and allowed,
            since the reference finds it with its proposals in the candidate's order).
        class_name, class_index: of the detection.
        reference_score, candidate_score: None on the side that lacks it.
        iou: with its partner; None without one.
        mask_iou: of the masks; None without a partner, or where the masks were not compared.
        note: for a missing or extra detection, the nearest one on the other side; for a pair, whether it scores below the
            threshold, where the pictures do not show it.
        keypoint: the largest distance of the keypoints, as a share of the box's diagonal; None as ``mask_iou``.
        corner: the largest displacement of a side of the box, in pixels of the input, where the IoU is below its limit.
    """

    status: str
    class_name: str
    class_index: int
    reference_score: float | None = None
    candidate_score: float | None = None
    iou: float | None = None
    note: str = ""
    mask_iou: float | None = None
    keypoint: float | None = None
    corner: float | None = None


@dataclass(frozen=True)
class _Sides:
    """The detections of a case that are compared; of each pair the IoU, the difference of scores, and the largest displacement
    of a side of the box in pixels of the input.
    """

    reference: tuple[Detection, ...]
    candidate: tuple[Detection, ...]
    iou: Float64
    gap: Float64
    corner: Float64


def compare_detections(case: DetectionCase, limits: DetectionLimits) -> tuple[MatchRow, ...]:
    """Pairs one picture's detections by the rule above; rows by descending score."""
    sides = _sides(case.reference, case.candidate, limits, case.scale)
    pairs = _match(sides, limits)
    rows = [_pair(sides, left, right, limits) for left, right in pairs]
    paired_left, paired_right = {left for left, _ in pairs}, {right for _, right in pairs}
    for index, found in enumerate(sides.reference):
        if index not in paired_left:
            status = MISSING if _required(found, limits) else BORDERLINE
            note = _nearest(found, sides.candidate, sides.iou[index], case.sides[1]) if status == MISSING else ""
            rows.append(MatchRow(status, found.name, found.class_index, reference_score=found.score, note=note))
    explained = _explained(case, sides, limits)
    for index, found in enumerate(sides.candidate):
        if index not in paired_right:
            status = BORDERLINE if not _required(found, limits) else NEAR_TIE if index in explained else EXTRA
            note = _nearest(found, sides.reference, sides.iou[:, index], case.sides[0]) if status == EXTRA else ""
            rows.append(MatchRow(status, found.name, found.class_index, candidate_score=found.score, note=note))
    # A lower score is only decoded to be the partner of a higher one.
    shown = [row for row in rows if _best_score(row) > limits.threshold - limits.score]
    return tuple(sorted(shown, key=_best_score, reverse=True))


def check_detections(cases: Sequence[DetectionCase], limits: DetectionLimits | None = None) -> GateResult:
    """Compares the detections of every picture.

    Returns:
        FAILED if a detection is missing or extra, or the scores of all pairs differ too much. NOT_RUN if the reference detects
        nothing above the threshold on any picture (as with random weights), or only unpaired borderline detections, since then
        nothing was compared. Else PASSED.
    """
    start = time.perf_counter()
    limits = limits or DetectionLimits()
    rows = {case.name: compare_detections(case, limits) for case in cases}
    wrong = [(name, row) for name, found in rows.items() for row in found if row.status in (MISSING, EXTRA)]
    total = sum(d.score > limits.threshold for case in cases for d in case.reference)
    matched = [row for found in rows.values() for row in found if row.status == MATCHED]
    images = f"{len(cases)} image{'s' if len(cases) != 1 else ''}"
    shown = f"{len(matched)} detections matched in {images}"
    noise = math.sqrt(sum(_gap(row) ** 2 for row in matched) / max(len(matched), 1))
    allowed = limits.noise(len(matched)) + _ROUNDING
    if wrong:
        missing = sum(row.status == MISSING for _, row in wrong)
        verdict, summary = Verdict.FAILED, f"{missing} missing, {len(wrong) - missing} extra; {shown}"
        advice = (
            f"{wrong[0][0]}: {_describe(wrong[0][1])}; if numerics passes, the host step or the post-processing is at fault"
        )
    elif noise > allowed:
        verdict = Verdict.FAILED
        summary = f"{shown}, their scores differ by {noise:.4f} (root mean square); {allowed:.4f} allowed"
        advice = "see the scores in the report: a few rare ones may differ so much, all of them should not"
    elif not matched:
        verdict, summary = Verdict.NOT_RUN, f"the reference detects nothing above {limits.threshold} in {images}"
        if total:
            summary = (
                f"what the reference detects in {images} is within {limits.score} of {limits.threshold}: too near to compare"
            )
        advice = "use trained weights, give --image pictures with known objects in them, or lower the threshold"
    else:
        verdict, advice = Verdict.PASSED, ""
        lowest, apart = min(_iou(row) for row in matched), max(_gap(row) for row in matched)
        corners = [row.corner for row in matched if row.corner is not None]
        tied = sum(row.status == NEAR_TIE for found in rows.values() for row in found)
        masks = [row.mask_iou for row in matched if row.mask_iou is not None]
        instances = f", of masks {min(masks):.4f}" if masks else ""
        points = [row.keypoint for row in matched if row.keypoint is not None]
        instances += f", keypoints within {max(points):.2%} of the box's diagonal" if points else ""
        small = f" ({len(corners)} below {limits.iou}, within {max(corners):.2f} pixels of the input)" if corners else ""
        summary = f"{shown}, lowest IoU {lowest:.4f}{small}{instances}, scores within {apart:.4f}"
        summary += f" (root mean square {noise:.4f})" if apart > limits.score else ""
        if tied:
            summary += f"; {tied} more that PyTorch finds too with its queries in this order"
    return GateResult(
        gate="detections",
        verdict=verdict,
        summary=summary,
        advice=advice,
        measurements=tuple(m for name, found in rows.items() for m in _measurements(name, found, limits))
        + (
            (Measurement("all", "score difference, root mean square", noise, limit=allowed, at_least=False),)
            if matched and limits.outlier is not None
            else ()
        ),
        findings=tuple(
            Finding(f"detection-{row.status}", "wrong", name, _describe(row), "see the picture in the report")
            for name, row in wrong
        )
        + ((Finding("detection-scores", "wrong", images, summary, advice),) if noise > allowed and not wrong else ()),
        seconds=time.perf_counter() - start,
        data={"limits": asdict(limits), "scenes": {name: [asdict(row) for row in found] for name, found in rows.items()}},
    )


def _sides(
    reference: Sequence[Detection], candidate: Sequence[Detection], limits: DetectionLimits, scale: tuple[float, float]
) -> _Sides:
    left, right = (tuple(d for d in side if d.score > limits.floor) for side in (reference, candidate))
    boxes = [np.array([d.box for d in side], np.float64).reshape(-1, 4) for side in (left, right)]
    scores = [np.array([d.score for d in side], np.float64) for side in (left, right)]
    corner = (np.abs(boxes[0][:, None] - boxes[1][None, :]) * np.array([*scale, *scale])).max(axis=-1)
    return _Sides(left, right, iou_matrix(*boxes), np.abs(scores[0][:, None] - scores[1][None, :]), corner)


def _match(sides: _Sides, limits: DetectionLimits) -> list[tuple[int, int]]:
    """Returns the indices of the paired detections."""
    required = [[_required(d, limits) for d in side] for side in (sides.reference, sides.candidate)]
    alike = np.array([[r.class_index == c.class_index for c in sides.candidate] for r in sides.reference], bool)
    near = sides.iou >= limits.iou
    if limits.corner is not None:
        near |= sides.corner <= limits.corner
    fits = alike.reshape(sides.iou.shape) & near & (sides.gap <= limits.widest + _ROUNDING)
    for left, right in np.argwhere(fits):
        one, other = sides.reference[left], sides.candidate[right]
        fits[left, right] = _masks_fit(one, other, limits) and _keypoints_fit(one, other, limits)
    return match_sets(fits, sides.iou - sides.gap, *required)


def _masks_fit(one: Detection, other: Detection, limits: DetectionLimits) -> bool:
    if limits.mask_iou is None or one.mask is None:
        return True
    return _mask_iou(one, other) >= limits.mask_iou


def _keypoints_fit(one: Detection, other: Detection, limits: DetectionLimits) -> bool:
    if limits.keypoint is None or one.keypoints is None:
        return True
    gap = keypoint_gap(one, other)
    alike = not limits.keypoint_scores or gap.score <= limits.score + _ROUNDING
    return gap.distance <= limits.keypoint and alike


def _mask_iou(one: Detection, other: Detection) -> float:
    """Returns the IoU of the masks; 0 if the other has none, or one of another size."""
    if one.mask is None or other.mask is None or (one.mask.width, one.mask.height) != (other.mask.width, other.mask.height):
        return 0.0
    return one.mask.iou(other.mask)


def _explained(case: DetectionCase, sides: _Sides, limits: DetectionLimits) -> set[int]:
    """Returns the candidate's detections that have a partner in the reordered reference."""
    return {right for _, right in _match(_sides(case.reordered, sides.candidate, limits, case.scale), limits)}


def _required(found: Detection, limits: DetectionLimits) -> bool:
    return found.score > limits.threshold + limits.score


def _pair(sides: _Sides, left: int, right: int, limits: DetectionLimits) -> MatchRow:
    one, other = sides.reference[left], sides.candidate[right]
    masks = _mask_iou(one, other) if one.mask is not None and limits.mask_iou is not None else None
    points = keypoint_gap(one, other).distance if one.keypoints is not None and limits.keypoint is not None else None
    iou = float(sides.iou[left, right])
    corner = float(sides.corner[left, right]) if iou < limits.iou else None
    below = sum(found.score <= limits.threshold for found in (one, other))
    low = f"not above {limits.threshold:g}"
    note = ("", f"{low} on one side, nor drawn there", f"{low}, nor drawn")[below]
    row = MatchRow(MATCHED, one.name, one.class_index, one.score, other.score, iou, note, masks, points)
    return replace(row, corner=corner)


def _nearest(found: Detection, others: Sequence[Detection], ious: Float64, side: str) -> str:
    """Describes the nearest detection of the other side: of the same class if one overlaps at all, else of any class."""
    same = [i for i, other in enumerate(others) if other.class_index == found.class_index and ious[i] > 0]
    pool = same or [i for i in range(len(others)) if ious[i] > 0]
    if not pool:
        return f"{side} has nothing there"
    best = max(pool, key=lambda i: float(ious[i]))
    masks = f", mask IoU {_mask_iou(found, others[best]):.4f}" if found.mask is not None else ""
    points = ""
    if found.keypoints is not None and others[best].class_index == found.class_index:
        gap = keypoint_gap(found, others[best])
        points = f", keypoints {gap.distance:.2%} of the diagonal apart, their scores {gap.score:.3f}"
    return f"nearest of {side}: {others[best].name} {others[best].score:.3f}, IoU {ious[best]:.4f}{masks}{points}"


def _describe(row: MatchRow) -> str:
    score = row.reference_score if row.status == MISSING else row.candidate_score
    return f"{row.status} {row.class_name} {score:.3f}: {row.note}"


def _best_score(row: MatchRow) -> float:
    return max(row.reference_score or 0.0, row.candidate_score or 0.0)


def _iou(row: MatchRow) -> float:
    return math.nan if row.iou is None else row.iou


def _gap(row: MatchRow) -> float:
    one, other = row.reference_score, row.candidate_score
    return math.nan if one is None or other is None else abs(one - other)


def _measurements(name: str, rows: Sequence[MatchRow], limits: DetectionLimits) -> list[Measurement]:
    matched = [row for row in rows if row.status == MATCHED]
    counts = [
        Measurement(name, status, float(sum(row.status == status for row in rows)), limit=0.0, at_least=False)
        for status in (MISSING, EXTRA)
    ]
    counts.insert(0, Measurement(name, MATCHED, float(len(matched))))
    if not matched:
        return counts
    return [
        *counts,
        *(
            [Measurement(name, "lowest iou", min(ious), limit=limits.iou)]
            if (ious := [_iou(row) for row in matched if row.corner is None])
            else []
        ),
        *(
            [Measurement(name, "pixels of the input", max(corners), limit=limits.corner, at_least=False)]
            if (corners := [row.corner for row in matched if row.corner is not None])
            else []
        ),
        *(
            [Measurement(name, "lowest mask iou", min(masks), limit=limits.mask_iou)]
            if (masks := [row.mask_iou for row in matched if row.mask_iou is not None])
            else []
        ),
        *(
            [Measurement(name, "keypoint distance", max(points), limit=limits.keypoint, at_least=False)]
            if (points := [row.keypoint for row in matched if row.keypoint is not None])
            else []
        ),
        Measurement(name, "score difference", max(map(_gap, matched)), limit=limits.widest + _ROUNDING, at_least=False),
    ]
