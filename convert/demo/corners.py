"""The corners of the demo scenes' shapes, as keypoints.

A square turned by a right angle is the same square, so that corners are told apart by where they are and not by which they are:
the topmost is the first, the others follow clockwise. The two tips of a crescent are told apart by the shape: seen from its
back, the first is on the left. A circle has no corners.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

COUNTS: Mapping[str, int] = {"circle": 0, "square": 4, "triangle": 3, "star": 5, "cross": 4, "crescent": 2}
"""How many keypoints each class has: corners, a star's outer tips, the middles of the ends of a cross's arms, tips."""

REACH = 0.95
"""How far the arms of a cross reach, relative to its radius."""
BITE, BITE_RADIUS = 0.55, 0.75
"""Where the disc that is cut out of a crescent's lies, and its radius, relative to the crescent's."""

Points = NDArray[np.float64]


def corners_of(name: str, centre: Points, radius: float, angle: float) -> Points:
    """Returns the keypoints ``[K, 2]`` of a shape (x, y), in their order.

    Args:
        name: of its class.
        centre: ``[2]``.
        radius: of the circle around it.
        angle: its rotation, from the x axis towards the y axis (clockwise in a picture).
    """
    count = COUNTS[name]
    if name == "crescent":
        # Where two circles meet, seen from the first along the line through their centres.
        along = (BITE**2 + 1 - BITE_RADIUS**2) / (2 * BITE)
        half = math.acos(along)
        tips: Points = centre + radius * _directions(np.array([angle - half, angle + half], np.float64))
        return tips
    start = angle + (math.pi / 2 if name == "cross" else 0.0)
    reach = REACH if name == "cross" else 1.0
    steps = np.arange(count, dtype=np.float64)
    points: Points = centre + reach * radius * _directions(start + 2 * math.pi / max(count, 1) * steps)
    return in_order(name, points)


def in_order(name: str, points: Points, mirrored: bool = False) -> Points:
    """Returns a shape's keypoints ``[K, …]`` (x, y, …) in their order, after they were moved with their picture.

    Args:
        name: of its class.
        points: clockwise before the move.
        mirrored: the move was one after which they are not clockwise any more.
    """
    if mirrored:
        points = points[::-1]
    if name == "crescent" or not len(points):
        return points
    return np.roll(points, -int(np.argmin(points[:, 1])), axis=0)


def _directions(angles: Points) -> Points:
    return np.stack([np.cos(angles), np.sin(angles)], axis=1)
