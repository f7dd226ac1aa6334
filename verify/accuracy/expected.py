"""The gate on the reference itself: it finds what the user's own code finds in the same pictures.

Every other gate compares the bundle with the reference. A reference that was built with another resolution, normalisation or
class map than the training had passes them all; only the user's detections, or annotations, show it.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

from detr2litert.host_runtime.decode import Detection
from detr2litert.host_runtime.errors import UserError
from detr2litert.verify.accuracy.dataset import class_key, shown_names
from detr2litert.verify.accuracy.disagreement import ComparedPicture, Pattern, recognise
from detr2litert.verify.accuracy.expected_file import ExpectedDetection
from detr2litert.verify.gates import Finding, GateResult, Verdict
from detr2litert.verify.parity.detections import DetectionCase, DetectionLimits, check_detections

GATE = "expected"
_SIDES = ("the file", "the reference")


@dataclass(frozen=True)
class ExpectedPicture:
    """One picture: its name, size (width, height), what the user's code found and all that the reference finds."""

    name: str
    size: tuple[int, int]
    expected: tuple[ExpectedDetection, ...]
    reference: Sequence[Detection]


def limits_of(threshold: float) -> DetectionLimits:
    """As wide as the fp16 gate's: the user's code may resize with another library and compute in fp16.

    The third number of a keypoint has other meanings in other projects, so it is not compared.
    """
    return DetectionLimits(threshold, 0.97, 0.02, mask_iou=0.95, keypoint=0.02, keypoint_scores=False, outlier=None)


def class_columns(
    source: str, expected: Sequence[Sequence[ExpectedDetection]], classes: Sequence[str | None]
) -> tuple[tuple[Detection, ...], ...]:
    """Gives every expected detection a column of the detector: by its name, or by its id where names do not fit.

    Raises:
        UserError: a name is none of the detector's, and there is no id.
    """
    columns = {class_key(name): column for column, name in reversed(list(enumerate(classes))) if name is not None}
    rows = [found for picture in expected for found in picture]
    unknown = [found for found in rows if found.name is not None and class_key(found.name) not in columns]
    by_name = not unknown
    if unknown and any(found.class_id is None for found in rows):
        raise UserError(
            f"{source} has classes that the detector lacks: {shown_names(sorted({str(f.name) for f in unknown}))}; its classes "
            f"are {shown_names(name for name in classes if name is not None)}; name them with --classes"
        )

    def converted(found: ExpectedDetection) -> Detection:
        if by_name and found.name is not None:
            column: int | None = columns[class_key(found.name)]
        else:
            column = found.class_id
        column = -1 if column is None else column
        stated = classes[column] if 0 <= column < len(classes) else None
        return Detection(column, stated or found.name or f"class {column}", found.score, found.box, found.mask, found.keypoints)

    return tuple(tuple(map(converted, picture)) for picture in expected)


def check_expected(
    source: str, pictures: Sequence[ExpectedPicture], classes: Sequence[str | None], threshold: float
) -> GateResult:
    """Compares the reference's detections with the expected ones, as sets, and names the pattern of a disagreement.

    Args:
        source: where the expected detections are from.
        pictures: with both sides' detections, the reference's whatever their score.
        classes: names of the detector's columns.
        threshold: score above which a detection counts.

    Returns:
        FAILED if a detection is missing or extra; NOT_RUN if the file has none above the threshold; else PASSED.
    """
    start = time.perf_counter()
    limits = limits_of(threshold)
    instances = any(item.mask is not None for picture in pictures for item in picture.reference)
    if not instances:
        limits = replace(limits, mask_iou=None)
    points = any(item.keypoints is not None for picture in pictures for item in picture.reference)
    if not points:
        limits = replace(limits, keypoint=None)
    expected = class_columns(source, [picture.expected for picture in pictures], classes)
    lowest = min((found.score for picture in expected for found in picture), default=0.0)
    cases, below = [], 0
    for picture, wanted in zip(pictures, expected, strict=True):
        found = tuple(item for item in picture.reference if item.score > limits.floor)
        # A file that was written with a higher threshold says nothing about what is below it.
        judged = tuple(item for item in found if lowest <= threshold + limits.score or item.score >= lowest - limits.score)
        below += len(found) - len(judged)
        cases.append(DetectionCase(picture.name, wanted, judged, sides=_SIDES))
    result = check_detections(cases, limits)
    result = replace(result, gate=GATE, findings=tuple(replace(f, severity="wrong") for f in result.findings))
    if result.verdict is Verdict.FAILED:
        strong = [tuple(item for item in wanted if item.score > threshold + limits.score) for wanted in expected]
        compared = [ComparedPicture(p.name, p.size, p.reference, wanted) for p, wanted in zip(pictures, strong, strict=True)]
        result = _explained(result, recognise(compared, threshold), source)
    elif result.verdict is Verdict.NOT_RUN:
        advice = "give pictures with known objects in them, or lower --threshold"
        result = replace(result, summary=f"{source} has no detection clearly above {threshold:g}", advice=advice)
    else:
        result = replace(result, summary=f"PyTorch finds what {source} has: {result.summary}")
    if not instances and any(found.mask is not None for picture in expected for found in picture):
        result = replace(result, summary=f"{result.summary}; its masks were not compared: this detector gives boxes alone")
    if not points and any(found.keypoints is not None for picture in expected for found in picture):
        result = replace(result, summary=f"{result.summary}; its keypoints were not compared: this detector gives none")
    if below:
        note = f"{below} of the reference's score below everything in the file ({lowest:.2f}) and were not compared"
        result = replace(result, summary=f"{result.summary}; {note}")
    return replace(result, seconds=time.perf_counter() - start, data={**result.data, "source": source})


def _explained(result: GateResult, patterns: Sequence[Pattern], source: str) -> GateResult:
    findings = tuple(Finding(f"expected-{p.name}", "wrong", "the reference", p.message, p.cause) for p in patterns)
    first = patterns[0] if patterns else None
    summary = f"PyTorch does not find what {source} has: {result.summary}"
    if first is None:
        return replace(result, summary=summary, advice="the differences have no pattern: see the findings in the report")
    return replace(result, summary=f"{summary}; {first.message}", advice=first.cause, findings=(*findings, *result.findings))
