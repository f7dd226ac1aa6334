"""Keypoints of detections: from a graph's output to the picture's pixels, their uncertainty, and its share in the score.

As rfdetr (1.11.2, `models/postprocess.py`, `_decode_keypoints_for_image`, `_apply_keypoint_trace_fusion`,
`_keypoint_log_mean_trace`; `utilities/keypoints.py`, `precision_cholesky_to_pixel_covariance`). A keypoint has 7 numbers: x and
y as fractions of the detector's input; the logits of "findable" and of "visible"; and log l11, l21, log l22 of the lower
triangular matrix L. P = L Lᵀ is the precision of (x, y), and its covariance is

    P⁻¹ = [[l22² + l21², -l11 l21], [-l11 l21, l11²]] / (l11 l22)²,   trace P⁻¹ = l11⁻² + l22⁻² + l21² l11⁻² l22⁻².

The score of a detection whose class is in the keypoint schema becomes σ(log score - w · t): t is the logarithm of the mean
trace of its keypoints, weighted by σ(findable), and 0 for a class of the schema without keypoints. Unlike a box, a keypoint is
not clamped to the picture. All but x and y is computed in float64 and then rounded to float32.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from detr2litert.host_runtime.manifest_keypoints import CHANNELS, Keypoints

Floats = NDArray[np.float32]
Doubles = NDArray[np.float64]
FINDABLE = 0.5
"""Score of a keypoint from which on it is drawn, and labelled in COCO's form."""
_BELOW_ONE = np.nextafter(np.float32(1), np.float32(0))
_FARTHEST = 1e9
"""Pixels: a coordinate beyond them, which is none of a picture, is set to them, so that JSON can hold it."""
_LEAST = 1e-12
"""Of l21 and of a weight, before their logarithm; rfdetr's."""


@dataclass(frozen=True)
class Keypoint:
    """A keypoint in a picture's pixels.

    Attributes:
        x, y: they may lie outside the picture.
        score: from 0 to 1, that it can be found.
        covariance: of (x, y), xx, xy and yy in square pixels; None if it is not finite, for a precision close to 0.
    """

    x: float
    y: float
    score: float
    covariance: tuple[float, float, float] | None

    def to_dict(self) -> dict[str, Any]:
        """Returns plain data for JSON."""
        covariance = {} if self.covariance is None else {"covariance": list(self.covariance)}
        return {"x": self.x, "y": self.y, "score": self.score, **covariance}

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Keypoint:
        """Parses the result of `to_dict`, which `Detections.from_dict` has checked."""
        xx, xy, yy = (float(value) for value in data.get("covariance", (0, 0, 0)))
        return cls(float(data["x"]), float(data["y"]), float(data["score"]), (xx, xy, yy) if "covariance" in data else None)


def check_keypoints(keypoints: Floats, queries: int, spec: Keypoints) -> None:
    """Checks a graph's output.

    Raises:
        ValueError: it is not [1, Q, K, 7], or not finite (the graph was computed wrong).
    """
    wanted = (1, queries, spec.total, CHANNELS)
    if keypoints.shape != wanted:
        raise ValueError(f"keypoints {list(keypoints.shape)} are not {list(wanted)}")
    if not np.isfinite(keypoints).all():
        raise ValueError(
            f"'{spec.output}' contains NaN or infinity: the graphs were computed wrong on this accelerator or for this picture"
        )


def weighted_scores(scores: Floats, labels: NDArray[np.int64], keypoints: Floats, spec: Keypoints) -> Floats:
    """Returns the scores [N] of detections with the keypoints' uncertainty: see the module.

    Args:
        scores: [N], from 0 to 1.
        labels: [N], the class of each.
        keypoints: [N, K, 7], of each one's query.
        spec: the manifest's.
    """
    if spec.score_weight <= 0:
        return scores
    result = scores.copy()
    for rows, own in _by_class(labels, keypoints, spec):
        with np.errstate(divide="ignore", over="ignore"):
            fused = np.log(scores[rows].astype(np.float64)) - spec.score_weight * _log_mean_trace(own)
            result[rows] = np.minimum((1 / (1 + np.exp(-fused))).astype(np.float32), _BELOW_ONE)
    return result


def to_keypoints(
    labels: NDArray[np.int64], keypoints: Floats, spec: Keypoints, scale: Floats, offset: Floats
) -> list[tuple[Keypoint, ...] | None]:
    """Returns the keypoints of each detection; None for one of a class without.

    Args:
        labels: [N], the class of each.
        keypoints: [N, K, 7], of each one's query.
        spec: the manifest's.
        scale, offset: [2] for x and y, from fractions of the input to pixels of the picture.
    """
    found: list[tuple[Keypoint, ...] | None] = [None] * len(labels)
    for rows, own in _by_class(labels, keypoints, spec):
        if own.shape[1] == 0:
            continue
        with np.errstate(over="ignore"):
            points = np.clip(own[..., :2].astype(np.float32) * scale + offset, -_FARTHEST, _FARTHEST)
            scores = (1 / (1 + np.exp(-own[..., 2]))).astype(np.float32)
        covariances = _covariances(own[..., 4:], scale)
        for row, xy, score, covariance in zip(
            rows.tolist(), points.tolist(), scores.tolist(), covariances.tolist(), strict=True
        ):
            found[row] = tuple(
                Keypoint(x, y, value, (xx, xy_, yy) if math.isfinite(xx + xy_ + yy) else None)
                for (x, y), value, (xx, xy_, yy) in zip(xy, score, covariance, strict=True)
            )
    return found


def _by_class(labels: NDArray[np.int64], keypoints: Floats, spec: Keypoints) -> Iterator[tuple[NDArray[np.intp], Doubles]]:
    """Yields the rows of the detections of a class, and their n keypoints [N, n, 7]."""
    for class_index, slots in spec.slots.items():
        rows = np.flatnonzero(labels == class_index)
        if rows.size:
            yield rows, keypoints[rows, slots].astype(np.float64)


def _log_mean_trace(own: Doubles) -> Doubles:
    """Returns the logarithm of the weighted mean trace [N] of keypoints [N, n, 7]; 0 without keypoints."""
    if own.shape[1] == 0:
        return np.zeros(len(own))
    first, second = -2 * own[..., 4], -2 * own[..., 6]
    mixed = 2 * np.log(np.maximum(np.abs(own[..., 5]), _LEAST)) + first + second
    traces = _log_sum_exp(np.stack((first, second, mixed), axis=-1))
    with np.errstate(over="ignore"):
        weights = np.log(np.maximum(1 / (1 + np.exp(-own[..., 2])), _LEAST))
    return _log_sum_exp(traces + weights) - _log_sum_exp(weights)


def _log_sum_exp(values: Doubles) -> Doubles:
    """Returns log Σ exp over the last axis, of finite values."""
    largest = values.max(axis=-1, keepdims=True)
    result: Doubles = np.log(np.exp(values - largest).sum(axis=-1)) + largest[..., 0]
    return result


def _covariances(cholesky: Doubles, scale: Floats) -> Floats:
    """Returns xx, xy, yy [..., 3] in square pixels, of log l11, l21, log l22 [..., 3] of fractions; not finite on overflow."""
    x, y = (float(value) for value in scale)
    first, mixed, second = (cholesky[..., index] for index in range(3))
    with np.errstate(over="ignore", invalid="ignore"):
        # (l21² + l22²) / (l11 l22)², in logarithms as far as factors may overflow where the product does not.
        xx = np.exp(-2 * first) + np.square(mixed * np.exp(-first - second))
        xy = -mixed * np.exp(-first - 2 * second)
        yy = np.exp(-2 * second)
        # Adding 0 makes -0.0 to 0.0.
        return np.stack((x * x * xx, x * y * xy + 0.0, y * y * yy), axis=-1).astype(np.float32)
