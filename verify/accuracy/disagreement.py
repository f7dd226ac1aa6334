"""Recognises why two detectors that should be the same find different objects, from the pattern of their differences.

Each pattern is looked for in pairs that ignore what the pattern changes: classes in pairs of one box, scales in pairs of one
score, scores in pairs of one box and class. The patterns and their usual causes are in ``_CAUSES``.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import median

import numpy as np
from numpy.typing import NDArray

from detr2litert.host_runtime.decode import Detection
from detr2litert.verify.parity.metrics import iou_matrix

_WEAKEST = 0.05
"""Detections of the reference with lower scores are noise and no partner."""
_PIXELS = "write boxes in pixels of the original picture"
_CAUSES = {
    "classes": "the class map is wrong: compare the class names in the report with those of the training, and give --classes; "
    "if the file has bare ids that do not begin at 0, write class names into it",
    "fractions": f"the file has fractions of the picture: {_PIXELS}",
    "scale": "another resolution, a letterbox, or boxes in pixels of the model's input: compare --resolution and the resize, "
    f"and {_PIXELS}",
    "offset": f"a letterbox's border, a crop, or boxes given by their centre: compare the pre-processing, and {_PIXELS}",
    "scores-low": "the network sees another picture or is another one: compare mean and std (or a missing division by 255), "
    "the resolution, the activation, and whether the EMA weights were exported",
    "scores-high": "the file's scores are lower than the reference's: compare mean and std of the code that wrote it, the "
    "resolution, and whether both use the EMA weights",
    "lost": "fewer candidates are read out: compare num_select and num_queries with those of the training, and look for "
    "classes that the class names leave out",
    "extra": "the file leaves objects out: compare its threshold, num_select, a limit of detections, and NMS",
    "imprecise": "compare the resolution, the resize filter (antialiased or not), the feature levels and the number of decoder "
    "layers with those of the training",
}


@dataclass(frozen=True)
class ComparedPicture:
    """One picture's detections: all of the reference, and the expected ones above the threshold.

    Attributes:
        name, size: of the picture, (width, height).
        reference, expected: their classes are columns of the detector, or negative for a class that it does not have.
    """

    name: str
    size: tuple[int, int]
    reference: Sequence[Detection]
    expected: Sequence[Detection]


@dataclass(frozen=True)
class Pattern:
    """A pattern of disagreement.

    Attributes:
        name: a key of the table of causes.
        message: what was observed.
        cause: what it usually means, and what to do.
    """

    name: str
    message: str

    @property
    def cause(self) -> str:
        return _CAUSES[self.name]


@dataclass(frozen=True)
class _Pair:
    expected: Detection
    found: Detection
    iou: float


def recognise(pictures: Sequence[ComparedPicture], threshold: float) -> tuple[Pattern, ...]:
    """Returns the patterns in the disagreement, the most fundamental first.

    Args:
        pictures: of both sides.
        threshold: above which a detection counts.
    """
    return tuple(pattern for look in (_classes, _boxes, _scores, _counts) for pattern in look(pictures, threshold))


def _classes(pictures: Sequence[ComparedPicture], threshold: float) -> Iterator[Pattern]:
    """Boxes and scores agree, classes do not."""
    pairs = [pair for picture in pictures for pair in _alike_in_all_but_class(picture)]
    other = [pair for pair in pairs if pair.expected.class_index != pair.found.class_index]
    if len(other) < max(1, 0.3 * len(pairs)):
        return
    shifts = Counter(pair.found.class_index - pair.expected.class_index for pair in other if pair.expected.class_index >= 0)
    shift, count = shifts.most_common(1)[0] if shifts else (0, 0)
    example = f"{other[0].expected.name} in the file is {other[0].found.name} here"
    if count >= 0.6 * len(other):
        message = (
            f"classes are shifted by {shift:+d}: {len(other)} of {len(pairs)} objects have the same box and score, {example}"
        )
    else:
        message = f"classes are exchanged: {len(other)} of {len(pairs)} objects have the same box and score, {example}"
    yield Pattern("classes", message)


def _alike_in_all_but_class(picture: ComparedPicture) -> Iterator[_Pair]:
    overlap = iou_matrix(_boxes_of(picture.expected), _boxes_of(picture.reference))
    for row, wanted in enumerate(picture.expected):
        gaps = np.array([abs(wanted.score - found.score) for found in picture.reference])
        good = np.flatnonzero((overlap[row] >= 0.8) & (gaps <= 0.15)) if len(gaps) else np.array([], int)
        if len(good):
            best = min(good, key=lambda i: gaps[i] - overlap[row, i] - (picture.reference[i].class_index == wanted.class_index))
            yield _Pair(wanted, picture.reference[best], float(overlap[row, best]))


def _boxes(pictures: Sequence[ComparedPicture], threshold: float) -> Iterator[Pattern]:
    """Scores and classes agree, and one scale and offset takes all boxes to the others."""
    pairs = [(pair, picture.size) for picture in pictures for pair in _alike_in_score(picture)]
    if not pairs or median(pair.iou for pair, _ in pairs) >= 0.9:
        return
    expected = np.array([pair.expected.box for pair, _ in pairs])
    found = np.array([pair.found.box for pair, _ in pairs])
    if expected.max() <= 1.5 and found.max() > 3:
        yield Pattern("fractions", f"the file's boxes are all below 1.5, the reference's reach {found.max():.0f} pixels")
        return
    across, down = (_line(expected[:, axis::2].ravel(), found[:, axis::2].ravel()) for axis in (0, 1))
    moved = expected * [across[0], down[0], across[0], down[0]] + [across[1], down[1], across[1], down[1]]
    fitted = float(np.median(np.diag(iou_matrix(moved, found))))
    if len(pairs) < 2 or fitted < 0.8 or fitted < median(pair.iou for pair, _ in pairs) + 0.1:
        return
    if max(abs(across[0] - 1), abs(down[0] - 1)) > 0.03:
        message = f"boxes are scaled by {across[0]:.3f} across and {down[0]:.3f} down"
        shifted = f", and moved by {across[1]:+.0f} and {down[1]:+.0f} pixels" if max(abs(across[1]), abs(down[1])) > 3 else ""
        yield Pattern("scale", f"{message}{shifted}: then {len(pairs)} boxes of equal score agree")
    else:
        yield Pattern("offset", f"boxes are moved by {across[1]:+.0f} pixels across and {down[1]:+.0f} down")


def _alike_in_score(picture: ComparedPicture) -> Iterator[_Pair]:
    """Pairs of one class whose scores are nearly the same and are nobody else's."""
    for wanted in picture.expected:
        near = [
            found
            for found in picture.reference
            if found.class_index == wanted.class_index and abs(found.score - wanted.score) <= 0.02
        ]
        if len(near) == 1:
            yield _Pair(wanted, near[0], float(iou_matrix(np.array([wanted.box]), np.array([near[0].box]))[0, 0]))


def _line(x: NDArray[np.float64], y: NDArray[np.float64]) -> tuple[float, float]:
    """Scale and offset of y over x, insensitive to a third of wrong pairs (Theil 1950, Sen 1968)."""
    first, second = np.triu_indices(len(x), 1)
    apart = x[second] - x[first]
    far = np.abs(apart) > 0.05 * max(float(np.ptp(x)), 1e-9)
    slope = float(np.median((y[second] - y[first])[far] / apart[far])) if far.any() else 1.0
    return slope, float(np.median(y - slope * x))


def _scores(pictures: Sequence[ComparedPicture], threshold: float) -> Iterator[Pattern]:
    """Most objects are found at their place, with scores that differ in one direction."""
    pairs = [pair for picture in pictures for pair in _alike_in_place(picture, 0.5)]
    gaps = [pair.found.score - pair.expected.score for pair in pairs]
    if not gaps:
        return
    typical = median(gaps)
    agreeing = sum(gap * typical > 0 for gap in gaps)
    if abs(typical) > 0.03 and agreeing >= 0.75 * len(gaps):
        side = "low" if typical < 0 else "high"
        relation = "lower" if typical < 0 else "higher"
        message = f"scores are {relation} for {agreeing} of {len(gaps)} objects, by {abs(typical):.2f} in the median"
        yield Pattern(f"scores-{side}", message)


def _counts(pictures: Sequence[ComparedPicture], threshold: float) -> Iterator[Pattern]:
    """Objects that only one side has, and boxes that are not quite the same."""
    pairs = [pair for picture in pictures for pair in _alike_in_place(picture, 0.3)]
    total = sum(len(picture.expected) for picture in pictures)
    lost = total - len(pairs)
    if lost:
        yield Pattern("lost", f"{lost} of {total} objects are not found at all, whatever the score")
    strong = sum(found.score > threshold for picture in pictures for found in picture.reference)
    paired = sum(pair.found.score > threshold for pair in pairs)
    if strong - paired > max(1, 0.1 * strong):
        yield Pattern("extra", f"the reference finds {strong - paired} objects that the file does not have")
    loose = [pair for pair in pairs if pair.iou < 0.97]
    if pairs and len(loose) > 0.2 * len(pairs):
        worst = min(pair.iou for pair in loose)
        yield Pattern("imprecise", f"{len(loose)} of {len(pairs)} boxes differ, lowest IoU {worst:.2f}")


def _alike_in_place(picture: ComparedPicture, least: float) -> Iterator[_Pair]:
    """Pairs of one class that overlap, best scores first, each detection once."""
    candidates = [found for found in picture.reference if found.score >= _WEAKEST]
    overlap = iou_matrix(_boxes_of(picture.expected), _boxes_of(candidates))
    taken: set[int] = set()
    for row in sorted(range(len(picture.expected)), key=lambda i: -picture.expected[i].score):
        wanted = picture.expected[row]
        fitting = [
            i
            for i, found in enumerate(candidates)
            if i not in taken and found.class_index == wanted.class_index and overlap[row, i] >= least
        ]
        if fitting:
            best = max(fitting, key=lambda i: overlap[row, i] + candidates[i].score)
            taken.add(best)
            yield _Pair(wanted, candidates[best], float(overlap[row, best]))


def _boxes_of(detections: Sequence[Detection]) -> NDArray[np.float64]:
    return np.array([found.box for found in detections], np.float64).reshape(-1, 4)
