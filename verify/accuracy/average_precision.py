"""COCO's average precision of boxes or of masks, equal to pycocotools', for one set of pictures or many resamples of it.

Matching, the expensive part, is done once a picture; a resample of the pictures only changes how often each one counts. The
rules are those of ``COCOeval`` for ``iouType="bbox"`` and ``"segm"``, all areas and at most 100 detections a picture and class
(github.com/cocodataset/cocoapi, PythonAPI/pycocotools/cocoeval.py): greedy matching by descending score at ten IoU thresholds,
crowds absorb any number of detections and count as neither hits nor misses, precision is interpolated at 101 recalls.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from detr2litert.host_runtime.masks import Mask
from detr2litert.verify.accuracy.segmentation import shared_pixels

Float64 = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

IOUS = np.linspace(0.5, 0.95, 10)
_RECALLS = np.linspace(0.0, 1.0, 101)
_MOST = 100
_EPS = np.spacing(1)


@dataclass(frozen=True)
class Truth:
    """A picture's annotated objects: boxes ``[N, 4]`` (left, top, right, bottom), classes ``[N]``, and which are crowds.

    Their N masks have the picture's size; None where none were annotated, or read.
    """

    boxes: Float64
    classes: Ints
    crowd: Bools
    masks: tuple[Mask, ...] | None = None


@dataclass(frozen=True)
class Answer:
    """A picture's detections: boxes ``[N, 4]``, classes ``[N]``, scores ``[N]``, and N masks of a detector of instances."""

    boxes: Float64
    classes: Ints
    scores: Float64
    masks: tuple[Mask, ...] | None = None


@dataclass(frozen=True)
class ClassMatches:
    """All detections of one class, by descending score.

    Attributes:
        picture: ``[D]``, the number of each detection's picture.
        hits: ``[10, D]``, whether it found an object, at each IoU threshold.
        ignored: ``[10, D]``, whether it is inside a crowd and does not count.
        objects: ``[P]``, objects in each picture, crowds not counted.
    """

    picture: Ints
    hits: Bools
    ignored: Bools
    objects: Ints


@dataclass(frozen=True)
class AveragePrecision:
    """Mean over IoU 0.50 to 0.95, and at IoU 0.50, one value a resample; NaN where no object is annotated."""

    ap: Float64
    ap50: Float64


def match_pictures(truths: Sequence[Truth], answers: Sequence[Answer], *, masks: bool = False) -> tuple[ClassMatches, ...]:
    """Matches every picture's detections with its objects, class by class.

    Args:
        truths, answers: one a picture, in the same order.
        masks: whether the overlap of masks counts, which all of them must have, in place of that of boxes.

    Returns:
        An entry for every class with an object that counts; others have no precision.
    """
    annotated = sorted({int(c) for truth in truths for c in truth.classes[~truth.crowd]})
    return tuple(_match_class(truths, answers, number, _mask_overlaps if masks else _box_overlaps) for number in annotated)


def average_precision(matches: Sequence[ClassMatches], counts: Ints | None = None) -> AveragePrecision:
    """Computes the average precision.

    Args:
        matches: of every class.
        counts: ``[B, P]``, how often each picture counts in each of B resamples; None for every picture once.
    """
    if not matches:
        nothing = np.full(1 if counts is None else len(counts), np.nan)
        return AveragePrecision(nothing, nothing)
    weights = np.ones((1, len(matches[0].objects)), np.int64) if counts is None else counts
    by_class = np.stack([_precision(found, weights) for found in matches])  # [K, B, 10]
    # A class without an object in a resample does not count in it.
    defined = ~np.isnan(by_class[:, :, 0])
    number = np.maximum(defined.sum(axis=0), 1)
    means = np.where((defined.sum(axis=0) > 0)[:, None], np.nansum(by_class, axis=0) / number[:, None], np.nan)
    return AveragePrecision(means.mean(axis=1), means[:, 0])


def _match_class(truths: Sequence[Truth], answers: Sequence[Answer], number: int, overlaps_of: _Overlaps) -> ClassMatches:
    pictures, scores, hits, ignored = [], [], [], []
    objects = np.zeros(len(truths), np.int64)
    for index, (truth, answer) in enumerate(zip(truths, answers, strict=True)):
        wanted, found = np.flatnonzero(truth.classes == number), np.flatnonzero(answer.classes == number)
        found = found[np.argsort(-answer.scores[found], kind="stable")][:_MOST]
        # Crowds last: they get what no object wants.
        wanted = wanted[np.argsort(truth.crowd[wanted], kind="stable")]
        crowd = truth.crowd[wanted]
        objects[index] = int((~crowd).sum())
        hit, inside = _match_picture(overlaps_of(truth, wanted, answer, found), crowd)
        pictures.append(np.full(len(found), index))
        scores.append(answer.scores[found])
        hits.append(hit)
        ignored.append(inside)
    order = np.argsort(-np.concatenate(scores), kind="stable")
    return ClassMatches(
        np.concatenate(pictures)[order].astype(np.int64),
        np.concatenate(hits, axis=1)[:, order],
        np.concatenate(ignored, axis=1)[:, order],
        objects,
    )


def _match_picture(overlaps: Float64, crowd: Bools) -> tuple[Bools, Bools]:
    """Returns ``[10, D]`` flags: the detection found an object, the detection fell into a crowd.

    Args:
        overlaps: ``[D, N]``, detections by descending score, crowds last.
        crowd: ``[N]``.
    """
    hits: Bools = np.zeros((len(IOUS), len(overlaps)), np.bool_)
    inside: Bools = np.zeros((len(IOUS), len(overlaps)), np.bool_)
    if not overlaps.size or overlaps.max() < IOUS[0]:
        return hits, inside
    # In the order of scores; a detection that reaches no threshold anywhere matches nothing.
    for row, iou in enumerate(IOUS):
        free = np.ones(len(crowd), np.bool_)
        for detection in np.flatnonzero(overlaps.max(axis=1) >= iou - 1e-10):
            possible = (overlaps[detection] >= min(iou, 1 - 1e-10)) & (free | crowd)
            real = possible & ~crowd
            choice = real if real.any() else possible
            if not choice.any():
                continue
            # The last of equally good ones, as COCOeval takes it.
            values = np.where(choice, overlaps[detection], -1.0)
            best = len(values) - 1 - int(np.argmax(values[::-1]))
            free[best] = False
            hits[row, detection], inside[row, detection] = not crowd[best], crowd[best]
    return hits, inside


_Overlaps = Callable[[Truth, Ints, Answer, Ints], Float64]
"""IoU ``[D, N]`` of detections of an answer and objects of a truth; with a crowd, the detection's share in it."""


def _box_overlaps(truth: Truth, wanted: Ints, answer: Answer, found: Ints) -> Float64:
    a, b = answer.boxes[found].reshape(-1, 1, 4), truth.boxes[wanted].reshape(1, -1, 4)
    both = np.maximum(np.minimum(a[..., 2:], b[..., 2:]) - np.maximum(a[..., :2], b[..., :2]), 0).prod(axis=-1)
    area_a, area_b = (np.maximum(box[..., 2:] - box[..., :2], 0).prod(axis=-1) for box in (a, b))
    return _shares(both, area_a, area_b, truth.crowd[wanted])


def _mask_overlaps(truth: Truth, wanted: Ints, answer: Answer, found: Ints) -> Float64:
    assert truth.masks is not None and answer.masks is not None
    both, area_a, area_b = shared_pixels([answer.masks[i] for i in found], [truth.masks[i] for i in wanted])
    return _shares(both, area_a[:, None], area_b[None], truth.crowd[wanted])


def _shares(both: Float64, area_a: Float64, area_b: Float64, crowd: Bools) -> Float64:
    union = np.where(crowd[None], area_a, area_a + area_b - both)
    result: Float64 = np.where(union > 0, both / np.where(union > 0, union, 1.0), 0.0)
    return result


def _precision(found: ClassMatches, counts: Ints) -> Float64:
    """Mean interpolated precision ``[B, 10]``; NaN in a resample without objects of the class."""
    objects = counts @ found.objects
    weights = counts[:, found.picture]
    seen = np.cumsum(weights, axis=1)
    result = np.zeros((len(counts), len(IOUS)))
    for row in range(len(IOUS)):
        # The envelope of precision over recall has its corners at hits, so only these are looked at.
        places = np.flatnonzero(found.hits[row])
        if not len(places):
            continue
        true = np.cumsum(weights[:, places], axis=1)
        skipped = np.cumsum(weights * found.ignored[row], axis=1)[:, places] if found.ignored[row].any() else 0
        precision = true / (seen[:, places] - skipped + _EPS)
        envelope = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]
        # A hit stands for the recalls that it is the first to reach.
        reached = np.searchsorted(_RECALLS, true / np.maximum(objects, 1)[:, None], side="right")
        result[:, row] = (envelope * np.diff(reached, axis=1, prepend=0)).sum(axis=1) / len(_RECALLS)
    result[objects == 0] = np.nan
    return result
