"""The part of the manifest that says which classes have keypoints, and which; re-exported by `manifest`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

CHANNELS = 7
"""Of a keypoint in a graph's output: x, y, findable, visible, log l11, l21, log l22; see `host_runtime.keypoints`."""


def numbered_names(count: int) -> tuple[str, ...]:
    """Returns the names of keypoints of which nothing states what they are."""
    return tuple(f"keypoint {number}" for number in range(1, count + 1))


@dataclass(frozen=True)
class ClassKeypoints:
    """The n keypoints of a class.

    Attributes:
        class_index: the logit column.
        names: n names; none for a class of the original's keypoint schema that has no keypoints, whose score is weighted like
            the others'.
        skeleton: pairs of keypoints, by their indices in `names`, to be joined by a line.
        sigmas: n constants of the object keypoint similarity, COCO's per-keypoint standard deviations.
    """

    class_index: int
    names: tuple[str, ...]
    skeleton: tuple[tuple[int, int], ...]
    sigmas: tuple[float, ...]

    @property
    def named(self) -> bool:
        """False if the names are numbers alone, as where nothing states what the keypoints are."""
        return self.names != numbered_names(len(self.names))


@dataclass(frozen=True)
class Keypoints:
    """How a graph's output `output`, float32 [1, Q, K, 7], becomes keypoints; K is the sum of the classes' keypoints.

    The keypoints of the classes follow each other in the order of `classes`. `score_weight` is the weight of the keypoints'
    uncertainty in a detection's score; 0 leaves the scores as they are. See `host_runtime.keypoints`.
    """

    score_weight: float
    classes: tuple[ClassKeypoints, ...]
    output: str = "keypoints"

    @property
    def total(self) -> int:
        """K, the number of keypoints of a query."""
        return sum(len(item.names) for item in self.classes)

    @property
    def slots(self) -> dict[int, slice]:
        """Which of a query's K keypoints are those of a class, by its index."""
        ends, end = {}, 0
        for item in self.classes:
            ends[item.class_index] = slice(end, end + len(item.names))
            end += len(item.names)
        return ends

    def of(self, class_index: int) -> ClassKeypoints | None:
        """The keypoints of a class; None if it has none."""
        return next((item for item in self.classes if item.class_index == class_index and item.names), None)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Keypoints:
        """Converts schema-valid JSON."""
        classes = tuple(
            ClassKeypoints(
                item["class_index"],
                tuple(item["names"]),
                tuple((first, second) for first, second in item["skeleton"]),
                tuple(item["sigmas"]),
            )
            for item in data["classes"]
        )
        return cls(data["score_weight"], classes, data["output"])
