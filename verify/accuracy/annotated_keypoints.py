"""Brings a data set's keypoints to the order of the detector's, as classes: by name.

- The same names in the same order, or no names on one side: by position. A detector's are unnamed where nothing stated them.
- The same names in another order: the annotations are reordered, and the gate says so.
- Other names: refused. They may be other keypoints, of which a similarity says nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from detr2litert.host_runtime.errors import UserError
from detr2litert.host_runtime.manifest_keypoints import ClassKeypoints, Keypoints
from detr2litert.verify.accuracy.average_precision import Truth
from detr2litert.verify.accuracy.dataset import Dataset, class_key, class_numbers, shown_names

Order = NDArray[np.int64]


def with_keypoints(dataset: Dataset, spec: Keypoints, columns: Sequence[str | None]) -> Dataset:
    """Adds the sigmas of the classes of which keypoints are annotated; returns the data set as it is if none are.

    Args:
        dataset: the annotations.
        spec: the manifest's keypoints.
        columns: the detector's class names.

    Raises:
        UserError: the keypoints of a class have another number, or other names, in the annotations than in the detector.
    """
    numbers = class_numbers(dataset, columns)
    sigmas: dict[int, NDArray[np.float64]] = {}
    orders: dict[int, Order] = {}
    for item in spec.classes:
        number = numbers.get(columns[item.class_index] or "")
        if number is None or not item.names or not (counts := _counts(dataset, number)):
            continue
        if counts - {len(item.names)}:
            raise UserError(
                f"the annotations of {dataset.source} have {max(counts - {len(item.names)})} keypoints for "
                f"{dataset.classes[number]}, and the detector {len(item.names)} ({shown_names(item.names)}); give the data set "
                "that it was trained for"
            )
        order = _order(dataset, number, item)
        if order is not None:
            orders[number] = order
        sigmas[number] = np.array(item.sigmas, np.float64)
    if not orders:
        return replace(dataset, sigmas=sigmas)
    pictures = tuple(replace(one, truth=_reordered(one.truth, orders)) for one in dataset.pictures)
    classes = shown_names(dataset.classes[number] for number in orders)
    remark = f"the annotations have the keypoints of {classes} in another order, and were brought to the detector's by name"
    return replace(dataset, pictures=pictures, sigmas=sigmas, remark=remark)


def _counts(dataset: Dataset, number: int) -> set[int]:
    """Returns the numbers of keypoints that objects of a class are annotated with."""
    return {
        len(points)
        for picture in dataset.pictures
        for points, own in zip(picture.truth.keypoints or (), picture.truth.classes, strict=False)
        if points is not None and own == number
    }


def _order(dataset: Dataset, number: int, item: ClassKeypoints) -> Order | None:
    """Returns the place of each of the detector's keypoints in the annotations; None where positions are the same."""
    annotated = dataset.keypoint_names.get(number, ())
    if not item.named or len(annotated) != len(item.names):
        return None
    theirs, ours = [class_key(name) for name in annotated], [class_key(name) for name in item.names]
    if theirs == ours:
        return None
    if len(set(ours)) == len(ours) and sorted(theirs) == sorted(ours):
        return np.array([theirs.index(name) for name in ours], np.int64)
    raise UserError(
        f"the annotations of {dataset.source} name the keypoints of {dataset.classes[number]} {shown_names(annotated)}, and "
        f"the detector {shown_names(item.names)}; if they are the same, in this order, name the detector's by giving the "
        "annotation file to --classes of run"
    )


def _reordered(truth: Truth, orders: Mapping[int, Order]) -> Truth:
    if truth.keypoints is None:
        return truth
    points = (
        own if own is None or int(number) not in orders else own[orders[int(number)]]
        for own, number in zip(truth.keypoints, truth.classes, strict=True)
    )
    return replace(truth, keypoints=tuple(points))
