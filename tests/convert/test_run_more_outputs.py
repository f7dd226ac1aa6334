"""The demo detectors with masks and with keypoints, end to end: every gate runs and passes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from detr2litert.verify.delegate.adapters import Driver
from tests.convert.command import DEMO_PASSED, FEWER_SCENES, gate_of, invoke, verdicts


@pytest.mark.ci
@pytest.mark.parametrize(("name", "of", "ap50"), [("tiny-seg", "masks", 0.9), ("tiny-keypoints", "keypoints", 0.75)])
def test_every_gate_runs_and_passes(driver: Driver, tmp_path: Path, name: str, of: str, ap50: float) -> None:
    """The slow lane has tiny-seg with its native form on all scenes (test_run_tiny_seg)."""
    bundle = tmp_path / name
    native = () if of == "keypoints" else ("--no-native",)
    options = ("--target", "pixel", *FEWER_SCENES, *native, "--json")
    outcome = invoke("run", "--variant", name, *options, "--out", bundle)
    assert outcome.code == 0, outcome.stderr
    report = outcome.json
    assert verdicts(report["gates"]) == DEMO_PASSED
    rows = {(row["side"], row["of"]): row for row in gate_of(report, "accuracy")["data"]["average_precision"]}
    assert set(rows) == {(side, judged) for side in ("reference", "CPU", "fp16") for judged in ("boxes", of)}
    assert rows["reference", of]["ap50"] >= ap50 and rows["reference", "boxes"]["ap50"] >= 0.95
    found = [m for gate in ("detections", "fp16") for m in gate_of(report, gate)["measurements"]]
    assert any(
        measurement["metric"] == "lowest mask iou" if of == "masks" else "keypoint" in measurement["metric"]
        for measurement in found
    )
    graphs = set(json.loads((bundle / "manifest.json").read_text())["graphs"])
    assert graphs == ({"a", "b", "m"} if of == "masks" else {"a", "b"})
