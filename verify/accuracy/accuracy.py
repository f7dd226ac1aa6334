"""The gate on a data set: average precision of the reference, and what the bundle loses of it.

The bundle is compared with the reference on the same pictures, so that their difference is much better known than either
figure. The reference is judged too: an average precision near zero, or far below the one that is known of the detector, is that
of a detector that was built otherwise than it was trained.
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace

import numpy as np

from detr2litert.host_runtime.decode import Detection
from detr2litert.verify.accuracy.average_precision import Answer, ClassMatches, Truth, average_precision, match_pictures
from detr2litert.verify.accuracy.bootstrap import Interval, draw, interval
from detr2litert.verify.accuracy.dataset import Dataset
from detr2litert.verify.gates import Finding, GateResult, Measurement, Verdict

GATE = "accuracy"
BOXES, MASKS, KEYPOINTS = "boxes", "masks", "keypoints"
_CHECKS = (
    "the detector is probably not built as it was trained: compare the resolution, mean and std, the class names and their "
    "order (--classes), and whether the EMA weights were exported; --expected shows which"
)
_LOSS_ADVICE = "see the gates numerics, fp16 and host; where they pass, judge more pictures with --dataset-size"
FEWEST = 5
"""Pictures from which a part of the data set is judged: that all of n pictures lose, each as likely as not, has a chance of
2^-n, and only from five on is that below the 5 % of the interval. Resampling fewer gives intervals that mean nothing."""


@dataclass(frozen=True)
class AccuracyLimits:
    """Bounds, as fractions (0.005 is half a point).

    Attributes:
        loss: of mAP, that the bundle may have.
        near_zero: AP50 of the reference below which nothing is proven but that it was built wrongly.
        stated: how far the reference's mAP may be below the stated one, beyond its interval.
    """

    loss: float = 0.005
    near_zero: float = 0.05
    stated: float = 0.01


@dataclass(frozen=True)
class Side:
    """The detections of the reference or the bundle.

    Attributes:
        name: ``"reference"``, ``"CPU"`` or ``"fp16"``.
        pictures: positions in the data set of those that were run.
        answers: their detections.
        missing: why nothing was run; "" if something was.
        advice: what to do about that.
    """

    name: str
    pictures: tuple[int, ...]
    answers: tuple[Answer, ...]
    missing: str = ""
    advice: str = ""


@dataclass(frozen=True)
class Row:
    """A line of the table.

    Attributes:
        side: the name.
        of: ``"boxes"``, ``"masks"`` or ``"keypoints"``.
        pictures: how many.
        ap, ap50: average precision.
        difference: of mAP from the reference's on the same pictures; None for the reference.
        low, high: 95 % interval of the difference, or of the reference's mAP.
        missing: why there are no figures.
    """

    side: str
    pictures: int
    ap: float | None = None
    ap50: float | None = None
    difference: float | None = None
    low: float | None = None
    high: float | None = None
    missing: str = ""
    of: str = "boxes"

    @property
    def name(self) -> str:
        """The side, and what is judged of it unless it is the boxes."""
        return self.side if self.of == BOXES else f"{self.side}, {self.of}"

    @property
    def metric(self) -> str:
        """What mAP is called."""
        return "mAP" if self.of == BOXES else f"mAP of {self.of}"


def answer_of(detections: Sequence[Detection], numbers: Mapping[str, int]) -> Answer:
    """Keeps the detections whose class the data set has.

    Args:
        detections: of a picture.
        numbers: class name → number in the data set.
    """
    kept = [found for found in detections if found.name in numbers]
    masks = tuple(found.mask for found in kept if found.mask is not None)
    points = tuple(
        None if found.keypoints is None else np.array([(point.x, point.y) for point in found.keypoints], np.float64)
        for found in kept
    )
    return Answer(
        np.array([found.box for found in kept], np.float64).reshape(-1, 4),
        np.array([numbers[found.name] for found in kept], np.int64),
        np.array([found.score for found in kept], np.float64),
        masks if len(masks) == len(kept) else None,
        points if any(one is not None for one in points) else None,
    )


def check_accuracy(
    dataset: Dataset, reference: Side, sides: Sequence[Side], limits: AccuracyLimits | None = None, note: str = ""
) -> GateResult:
    """Computes average precision and judges it: of boxes, and of masks where the annotations and every detection have them.

    Of keypoints as well, where the data set has sigmas for them.

    Args:
        dataset: the annotations.
        reference: PyTorch's detections in all pictures.
        sides: the bundle's, in all pictures or in some.
        limits: bounds [default: the project's].
        note: what else to say in the summary.

    Returns:
        FAILED if the reference's AP is near zero or below the stated one, or if a side loses too much. Where a side was run on
        a part of the pictures only, the interval of its loss must lie above zero too, since chance moves the AP of few
        pictures, and of fewer than ``FEWEST`` a loss is reported and not judged. NOT_RUN if a side was not run; else PASSED.
    """
    start = time.perf_counter()
    limits = limits or AccuracyLimits()
    instances = dataset.has_masks and all(answer.masks is not None for answer in reference.answers)
    judged = (BOXES, *([MASKS] if instances else []), *([KEYPOINTS] if dataset.sigmas else []))
    rows: list[Row] = []
    findings: list[Finding] = []
    for of in judged:
        first = _reference_row(dataset, reference, of)
        others = [_row(dataset, reference, side, of) for side in sides]
        rows += [first, *others]
        findings += [*_judge_reference(dataset, first, limits), *(f for row in others for f in _judge(dataset, row, limits))]
    missing = [side for side in sides if side.missing]
    verdict = Verdict.FAILED if findings else Verdict.NOT_RUN if missing else Verdict.PASSED
    advice = findings[0].advice if findings else missing[0].advice if missing else ""
    summary = f"{dataset.description}: {', '.join(_text(dataset, row) for row in rows)}"
    if note:
        summary = f"{summary}; {note}"
    if findings:
        summary = f"{findings[0].message}; {summary}"
    return GateResult(
        GATE,
        verdict,
        summary,
        advice,
        tuple(measurement for row in rows for measurement in _measurements(row)),
        tuple(findings),
        seconds=time.perf_counter() - start,
        data={"dataset": dataset.description, "stated_ap": dataset.stated_ap, "limits": asdict(limits),
              "average_precision": [asdict(row) for row in rows]},
    )  # fmt: skip


def _matched(dataset: Dataset, truths: Sequence[Truth], answers: Sequence[Answer], of: str) -> tuple[ClassMatches, ...]:
    return match_pictures(truths, answers, masks=of == MASKS, sigmas=dataset.sigmas if of == KEYPOINTS else None)


def _reference_row(dataset: Dataset, side: Side, of: str) -> Row:
    matches = _matched(dataset, [picture.truth for picture in dataset.pictures], side.answers, of)
    found = average_precision(matches)
    spread = interval(average_precision(matches, draw(len(side.pictures))).ap)
    return Row(side.name, len(side.pictures), float(found.ap[0]), float(found.ap50[0]), None, spread.low, spread.high, of=of)


def _row(dataset: Dataset, reference: Side, side: Side, of: str) -> Row:
    if side.missing:
        return Row(side.name, 0, missing=side.missing, of=of)
    truths = [dataset.pictures[i].truth for i in side.pictures]
    if not any(len(truth.classes) for truth in truths):
        return Row(side.name, 0, missing=f"no object is annotated in the {len(truths)} pictures that were run", of=of)
    answers = [_with_masks(answer) for answer in side.answers] if of == MASKS else side.answers
    ours, theirs = (_matched(dataset, truths, given, of) for given in (answers, [reference.answers[i] for i in side.pictures]))
    found, wanted = average_precision(ours), average_precision(theirs)
    counts = draw(len(truths))
    spread: Interval = interval(average_precision(ours, counts).ap - average_precision(theirs, counts).ap)
    difference = float(found.ap[0] - wanted.ap[0])
    return Row(side.name, len(truths), float(found.ap[0]), float(found.ap50[0]), difference, spread.low, spread.high, of=of)


def _with_masks(answer: Answer) -> Answer:
    """Returns an answer without masks as one without detections: they find no instance."""
    if answer.masks is not None:
        return answer
    return replace(answer, boxes=answer.boxes[:0], classes=answer.classes[:0], scores=answer.scores[:0], masks=())


def _judge_reference(dataset: Dataset, row: Row, limits: AccuracyLimits) -> list[Finding]:
    place, ap, ap50 = "the reference", row.ap or 0.0, row.ap50 or 0.0
    if not ap50 >= limits.near_zero:
        message = f"the reference itself detects next to nothing right ({row.metric} {ap:.3f}, AP50 {ap50:.3f})"
        return [Finding("reference-ap-near-zero", "wrong", place, message, _CHECKS)]
    stated = {BOXES: dataset.stated_ap, MASKS: dataset.stated_mask_ap}.get(row.of)
    if stated is not None and row.high is not None and row.high + limits.stated < stated:
        message = f"the reference has {row.metric} {ap:.3f} (95 %: up to {row.high:.3f}), and {stated:.3f} is known of it"
        return [Finding("reference-ap-below-stated", "wrong", place, message, _CHECKS)]
    return []


def _judge(dataset: Dataset, row: Row, limits: AccuracyLimits) -> list[Finding]:
    if row.difference is None:
        return []
    shown = row.pictures >= FEWEST and row.high is not None and row.high < 0
    certain = row.pictures == len(dataset.pictures) or shown
    if math.isnan(row.difference) or (row.difference < -limits.loss and certain):
        message = f"on the {row.side} the bundle loses {-100 * row.difference:.1f} points of {row.metric} ({_range(row)})"
        return [Finding("accuracy-lost", "wrong", f"the bundle, {row.side}", message, _LOSS_ADVICE)]
    return []


def _measurements(row: Row) -> list[Measurement]:
    if row.missing or row.ap is None or row.ap50 is None:
        return []
    figures = [Measurement(row.name, "mAP", row.ap), Measurement(row.name, "AP50", row.ap50)]
    return [*figures, *([Measurement(row.name, "difference of mAP", row.difference)] if row.difference is not None else [])]


def _text(dataset: Dataset, row: Row) -> str:
    if row.missing:
        return f"{row.side} not run ({row.missing})"
    if row.difference is None:
        return f"{row.metric} {row.ap:.3f}, AP50 {row.ap50:.3f}"
    judged = row.pictures >= FEWEST or row.pictures == len(dataset.pictures)
    how = _range(row) if judged else f"fewer than {FEWEST}, not judged"
    return f"{row.side} {_points(row.difference)} on {row.pictures} ({how})"


def _points(share: float) -> str:
    return f"{100 * share + 0.0:+.1f} points"


def _range(row: Row) -> str:
    return f"95 %: {100 * (row.low or 0.0):+.1f} to {100 * (row.high or 0.0):+.1f}"
