"""The golden gate: which vectors count as equal."""

from __future__ import annotations

import numpy as np
import pytest

from detr2litert.convert.proof.golden import check_golden
from detr2litert.host_runtime.decode import Detection, Detections
from detr2litert.verify.gates import GateResult, Verdict
from detr2litert.verify.parity.detections import DetectionLimits

VALUES = {"image": np.ones((1, 3, 2, 2), np.float32), "boxes": np.linspace(0, 1, 8, dtype=np.float32).reshape(1, 2, 4)}
BOX = Detection(0, "ball", 0.9, (1.0, 2.0, 30.0, 40.0))
FOUND = Detections((BOX,), 64, 64)
LIMITS = DetectionLimits(threshold=0.5)


def judge(golden: dict[str, np.ndarray], found: Detections = FOUND) -> GateResult:
    return check_golden(golden, VALUES, (found, FOUND), LIMITS)


def test_equal_vectors_pass_with_their_figures() -> None:
    result = judge(dict(VALUES))
    assert result.verdict is Verdict.PASSED
    assert result.summary == "2 golden vectors agree with the checkpoint to 0.0e+00, and 1 detection"
    assert {m.subject: m.passed for m in result.measurements} == {"image": True, "boxes": True}
    assert result.advice == ""


@pytest.mark.parametrize(
    ("golden", "message"),
    [
        ({}, "lack"),
        ({"image": VALUES["image"]}, "lack boxes"),
        ({**VALUES, "boxes": VALUES["boxes"] + np.float32(0.01)}, "golden boxes differs"),
        ({**VALUES, "boxes": VALUES["boxes"] * np.float32(np.nan)}, "golden boxes differs"),
        ({**VALUES, "boxes": VALUES["boxes"][:, :1]}, "golden boxes differs"),
        ({**VALUES, "image": VALUES["image"] * 2}, "golden image differs"),
    ],
    ids=["nothing", "missing", "off", "not a number", "shape", "input"],
)
def test_anything_else_fails_and_is_named(golden: dict[str, np.ndarray], message: str) -> None:
    result = judge(golden)
    assert result.verdict is Verdict.FAILED
    assert message in result.summary
    assert "convert run" in result.advice


@pytest.mark.parametrize(
    ("found", "message"),
    [
        (Detections((), 64, 64), "missing ball"),
        (Detections((BOX, Detection(1, "box", 0.8, (5.0, 5.0, 9.0, 9.0))), 64, 64), "extra box"),
    ],
)
def test_stale_detections_fail(found: Detections, message: str) -> None:
    result = judge(dict(VALUES), found)
    assert result.verdict is Verdict.FAILED
    assert message in result.summary
