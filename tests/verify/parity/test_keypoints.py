"""The gate detections compares keypoints by their distance, as a share of the box's diagonal, and by their scores."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from detr2litert.host_runtime.decode import Detection
from detr2litert.host_runtime.keypoints import Keypoint
from detr2litert.verify.gates import Verdict
from detr2litert.verify.parity.detections import DetectionCase, DetectionLimits, check_detections

POINTS = tuple(Keypoint(10.0 * i, 20.0, score, (1, 0, 1)) for i, score in enumerate((0.9, 0.8, 0.2)))
RIGHT = Detection(0, "kind", 0.9, (0, 0, 30, 40), None, POINTS)
Change = Callable[[tuple[Keypoint, ...]], tuple[Keypoint, ...] | None]


def moved(index: int, **fields: float) -> Change:
    return lambda points: tuple(replace(p, **fields) if i == index else p for i, p in enumerate(points))


ALLOWED: dict[str, Change] = {
    "a little": moved(1, x=10.24),
    "one that neither side finds": moved(2, x=90.0),
    "a little less findable": moved(0, score=0.8905),
    "another covariance": lambda points: tuple(replace(p, covariance=None) for p in points),
}
WRONG: dict[str, Change] = {
    "farther than half a percent of the diagonal": moved(1, x=10.26),
    "found on one side only": lambda points: moved(2, x=90.0, score=0.6)(points),
    "another score": moved(0, score=0.88),
    "fewer": lambda points: points[:2],
    "none": lambda points: None,
    "two exchanged": lambda points: (points[1], points[0], points[2]),
}


@pytest.mark.parametrize("name", ALLOWED)
def test_allowed(name: str) -> None:
    case = DetectionCase("scene", [RIGHT], [replace(RIGHT, keypoints=ALLOWED[name](POINTS))])
    result = check_detections([case], DetectionLimits())
    assert result.verdict is Verdict.PASSED and "keypoints within" in result.summary
    assert any(m.metric == "keypoint distance" for m in result.measurements)


@pytest.mark.parametrize("name", WRONG)
def test_wrong(name: str) -> None:
    case = DetectionCase("scene", [RIGHT], [replace(RIGHT, keypoints=WRONG[name](POINTS))])
    result = check_detections([case], DetectionLimits())
    assert result.verdict is Verdict.FAILED and "keypoints" in result.findings[0].message
    assert check_detections([case], DetectionLimits(keypoint=None)).verdict is Verdict.PASSED


def test_of_two_objects_of_one_box_the_keypoints_decide() -> None:
    other = replace(RIGHT, keypoints=moved(0, x=5.0)(POINTS))
    result = check_detections([DetectionCase("scene", [RIGHT, other], [other, RIGHT])], DetectionLimits())
    assert result.verdict is Verdict.PASSED
