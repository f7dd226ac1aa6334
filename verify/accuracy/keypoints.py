"""Keypoints of annotated objects, and their similarity to a detector's: COCO's object keypoint similarity (OKS).

The rules are those of ``COCOeval.computeOks`` (github.com/cocodataset/cocoapi, PythonAPI/pycocotools/cocoeval.py): the mean
over the annotated keypoints of exp(-d² / (2 A (2 σ)²)), with the object's area A. Of an object without an annotated keypoint,
which does not count, the distance is that of each detected keypoint from the box enlarged by its own size on every side.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from detr2litert.verify.accuracy.strict_json import number

Float64 = NDArray[np.float64]
_EPS = np.spacing(1)


def read_keypoints(value: Any) -> Float64:
    """Returns the keypoints ``[n, 3]``, x, y and v, of COCO's form: ``[x, y, v, x, y, v, …]``.

    Raises:
        ValueError: it is not of that form; the message completes "the object …".
    """
    numbers = [number(v) for v in value] if isinstance(value, list) else [None]
    if not numbers or len(numbers) % 3 or None in numbers:
        raise ValueError("has keypoints that are not a list of x, y, v, x, y, v, … of finite numbers")
    points = np.array(numbers, np.float64).reshape(-1, 3)
    if (points[:, 2] < 0).any():
        raise ValueError("has a keypoint whose third number is negative; COCO's are 0, 1 or 2")
    return points


def similarity(detected: Float64, annotated: Float64, box: Float64, area: float, sigmas: Float64) -> Float64:
    """Returns the OKS ``[D]`` of detections with an object.

    Args:
        detected: ``[D, n, 2]``.
        annotated: ``[n, 3]``; a keypoint of v = 0 is not annotated.
        box: left, top, right, bottom of the object.
        area: of the object.
        sigmas: ``[n]``.
    """
    labelled = annotated[:, 2] > 0
    if labelled.any():
        apart = detected[:, labelled] - annotated[labelled, :2]
        sigmas = sigmas[labelled]
    else:
        size = box[2:] - box[:2]
        apart = np.maximum(box[:2] - size - detected, 0) + np.maximum(detected - (box[2:] + size), 0)
    exponent = np.square(apart).sum(axis=-1) / np.square(2 * sigmas) / (area + _EPS) / 2
    result: Float64 = np.exp(-exponent).mean(axis=-1)
    return result
