"""How far two detections' keypoints are apart.

The largest distance counts, not a mean such as the object keypoint similarity: among 17 points, a mean hides one that is wrong.
"""

from __future__ import annotations

import math

from detr2litert.host_runtime.decode import Detection
from detr2litert.host_runtime.keypoints import FINDABLE


def keypoint_gap(one: Detection, other: Detection) -> float:
    """Returns the largest distance of the keypoints of a reference detection from another's, as a share of the object's size.

    That size is the longer side of the reference's box, of at least one pixel. Only keypoints that the reference scores
    ``FINDABLE`` or more count: of the others nothing is drawn, and nothing is known of their place.

    Args:
        one: the reference, with keypoints.
        other: infinitely far away if it has not as many.
    """
    points, others = one.keypoints or (), other.keypoints or ()
    if len(points) != len(others):
        return math.inf
    left, top, right, bottom = one.box
    apart = (math.hypot(p.x - q.x, p.y - q.y) for p, q in zip(points, others, strict=True) if p.score >= FINDABLE)
    return max(apart, default=0.0) / max(right - left, bottom - top, 1.0)


def keypoint_score_gap(one: Detection, other: Detection) -> float:
    """Returns the largest difference of the keypoints' scores; infinity if the other detection has not as many."""
    points, others = one.keypoints or (), other.keypoints or ()
    if len(points) != len(others):
        return math.inf
    return max((abs(p.score - q.score) for p, q in zip(points, others, strict=True)), default=0.0)
