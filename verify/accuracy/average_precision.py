"""COCO's average precision of boxes, masks or keypoints, as pycocotools', for one set of pictures or many resamples of it.

Matching, the expensive part, is done once a picture; a resample of the pictures only changes how often each one counts. The
rules are those of ``COCOeval`` for ``iouType="bbox"`` and ``"segm"``, all areas and at most 100 detections a picture and class,
and for ``"keypoints"``, at most 20, where an object without an annotated keypoint does not count
(github.com/cocodataset/cocoapi, PythonAPI/pycocotools/cocoeval.py): greedy matching by descending score at ten IoU thresholds,
crowds absorb any number of detections and count as neither hits nor misses, precision is interpolated at 101 recalls.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from detr2litert.host_runtime.masks import Mask
from detr2litert.verify.accuracy.keypoints import similarity
from detr2litert.verify.accuracy.segmentation import shared_pixels

Float64 = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

IOUS = np.linspace(0.5, 0.95, 10)
_RECALLS = np.linspace(0.0, 1.0, 101)
_MOST, _MOST_KEYPOINTS = 100, 20
_EPS = np.spacing(1)


@dataclass(frozen=True)
class Truth:
    """A picture's annotated objects: boxes ``[N, 4]`` (left, top, right, bottom), classes ``[N]``, and which are crowds.

    Their N masks have the picture's size; None where none were annotated, or read. Of their N keypoints ``[n, 3]``, x, y and
    COCO's visibility, those of an object without any are None. ``areas`` ``[N]`` are the annotated ones, which keypoints need.
    """

    boxes: Float64
    classes: Ints
    crowd: Bools
    masks: tuple[Mask, ...] | None = None
    keypoints: tuple[Float64 | None, ...] | None = None
    areas: Float64 | None = None


@dataclass(frozen=True)
class Answer:
    """A picture's detections: boxes ``[N, 4]``, classes ``[N]``, scores ``[N]``, and N masks of a detector of instances.

    Of a detector of keypoints, N times x and y of the keypoints, ``[n, 2]``, or None for a class without.
    """

    boxes: Float64
    classes: Ints
    scores: Float64
    masks: tuple[Mask, ...] | None = None
    keypoints: tuple[Float64 | None, ...] | None = None


@dataclass(frozen=True)
class ClassMatches:
    """All detections of one class, by descending score.

    Attributes:
        picture: ``[D]``, the number of each detection's picture.
        hits: ``[10, D]``, whether it found an object, at each IoU threshold.
        ignored: ``[10, D]``, whether it is inside a crowd, or found an object that does not count, and so does not either.
        objects: ``[P]``, objects that count in each picture, so no crowds.
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


def match_pictures(
    truths: Sequence[Truth],
    answers: Sequence[Answer],
    *,
    masks: bool = False,
    sigmas: Mapping[int, Float64] | None = None,
) -> tuple[ClassMatches, ...]:
    """Matches every picture's detections with its objects, class by class.

    Args:
        truths, answers: one a picture, in the same order.
        masks: whether the overlap of masks counts, which all of them must have, in place of that of boxes.
        sigmas: of the keypoints of each class that has any: the similarity of keypoints counts, of these classes.

    Returns:
        An entry for every class with an object that counts; others have no precision.
    """
    kind: _Overlaps
    if sigmas is not None:
        uncounted = [truth.crowd | ~_labelled(truth) for truth in truths]
        kind, most = partial(_similarities, sigmas), _MOST_KEYPOINTS
    else:
        uncounted = [truth.crowd for truth in truths]
        kind, most = _mask_overlaps if masks else _box_overlaps, _MOST
    annotated = {int(c) for truth, out in zip(truths, uncounted, strict=True) for c in truth.classes[~out]}
    wanted = sorted(annotated if sigmas is None else annotated & set(sigmas))
    return tuple(_match_class(truths, uncounted, answers, number, kind, most) for number in wanted)


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


def _match_class(
    truths: Sequence[Truth],
    uncounted: Sequence[Bools],
    answers: Sequence[Answer],
    number: int,
    overlaps_of: _Overlaps,
    most: int,
) -> ClassMatches:
    pictures, scores, hits, ignored = [], [], [], []
    objects = np.zeros(len(truths), np.int64)
    for index, (truth, answer) in enumerate(zip(truths, answers, strict=True)):
        wanted, found = np.flatnonzero(truth.classes == number), np.flatnonzero(answer.classes == number)
        found = found[np.argsort(-answer.scores[found], kind="stable")][:most]
        # Crowds and what else does not count last: they get what no object wants.
        wanted = wanted[np.argsort(uncounted[index][wanted], kind="stable")]
        out = uncounted[index][wanted]
        objects[index] = int((~out).sum())
        hit, inside = _match_picture(overlaps_of(truth, wanted, answer, found), truth.crowd[wanted], out)
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


def _match_picture(overlaps: Float64, crowd: Bools, uncounted: Bools) -> tuple[Bools, Bools]:
    """Returns ``[10, D]`` flags: the detection found an object, the detection found one that does not count.

    Args:
        overlaps: ``[D, N]``, detections by descending score, objects that do not count last.
        crowd: ``[N]``, whether any number of detections may find it.
        uncounted: ``[N]``.
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
            real = possible & ~uncounted
            choice = real if real.any() else possible
            if not choice.any():
                continue
            # The last of equally good ones, as COCOeval takes it.
            values = np.where(choice, overlaps[detection], -1.0)
            best = len(values) - 1 - int(np.argmax(values[::-1]))
            free[best] = False
            hits[row, detection], inside[row, detection] = not uncounted[best], uncounted[best]
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


def _labelled(truth: Truth) -> Bools:
    """Whether each object ``[N]`` has an annotated keypoint."""
    points = truth.keypoints or (None,) * len(truth.classes)
    return np.array([one is not None and bool((one[:, 2] > 0).any()) for one in points], np.bool_)


def _similarities(sigmas: Mapping[int, Float64], truth: Truth, wanted: Ints, answer: Answer, found: Ints) -> Float64:
    """Object keypoint similarity in place of IoU; 0 with an object, or of a detection, that has no keypoints."""
    result = np.zeros((len(found), len(wanted)))
    if truth.keypoints is None or truth.areas is None or answer.keypoints is None or not len(found):
        return result
    points = [answer.keypoints[place] for place in found]
    rows = [row for row, one in enumerate(points) if one is not None]
    if not rows:
        return result
    detected = np.stack([one for one in points if one is not None])
    for column, place in enumerate(wanted):
        annotated = truth.keypoints[place]
        if annotated is not None:
            own = sigmas[int(truth.classes[place])]
            result[rows, column] = similarity(detected, annotated, truth.boxes[place], float(truth.areas[place]), own)
    return result


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
