"""How far the keypoints of two detections are apart."""

from __future__ import annotations

import math
from dataclasses import dataclass

from detr2litert.host_runtime.decode import Detection
from detr2litert.host_runtime.keypoints import FINDABLE


@dataclass(frozen=True)
class KeypointGap:
    """The largest distance of a keypoint, as a share of the diagonal of the first one's box, and difference of their scores.

    Both are of the keypoints that either side finds (score of 0.5 or more), and infinite where the numbers of keypoints differ.
    """

    distance: float
    score: float


def keypoint_gap(one: Detection, other: Detection) -> KeypointGap:
    """Compares the keypoints of two detections of a class, one by one."""
    left, right = one.keypoints or (), other.keypoints or ()
    if len(left) != len(right):
        return KeypointGap(math.inf, math.inf)
    diagonal = max(math.hypot(one.box[2] - one.box[0], one.box[3] - one.box[1]), 1e-9)
    found = [(a, b) for a, b in zip(left, right, strict=True) if max(a.score, b.score) >= FINDABLE]
    return KeypointGap(
        max((math.hypot(a.x - b.x, a.y - b.y) / diagonal for a, b in found), default=0.0),
        max((abs(a.score - b.score) for a, b in found), default=0.0),
    )
