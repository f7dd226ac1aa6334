"""``convert device`` with a bundle with keypoints, which come with the boxes."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.device.commands import assert_clean, device_command, gate, gates
from tests.device.conftest import Plug
from tests.device.faults import Faults

sys.path.insert(0, str(Path(__file__).parents[1] / "host_runtime"))

import keypoints_bundle

# In fp32: its numbers are exact in fp16, so that a GPU's outputs would be the CPU's bit for bit.
FP32 = ("--json", "--precision", "fp32")


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    keypoints_bundle.write_bundle(tmp_path / "keypoints", recorded=True)
    return tmp_path / "keypoints"


def test_everything_passes_and_keypoints_are_compared(plug: Plug, bundle: Path) -> None:
    device = plug()
    outcome = device_command(bundle, *FP32)
    assert {name: verdict for name, verdict in gates(outcome).items() if verdict != "passed"} == {}
    assert outcome.code == 0
    assert "keypoints within 0.00% of the box's diagonal" in gate(outcome, "detections")["summary"]
    subjects = {item["subject"] for item in gate(outcome, "stages")["measurements"]}
    assert "graph_a / keypoints (golden inputs)" in subjects
    assert_clean(device)


def test_wrong_keypoints_are_named_and_not_accepted(plug: Plug, bundle: Path) -> None:
    plug(Faults(app={"wrong": "keypoints"}))
    outcome = device_command(bundle, *FP32)
    assert outcome.code == 1
    found = gate(outcome, "stages")
    assert found["verdict"] == "failed"
    assert {item["place"] for item in found["findings"]} == {"graph_a / keypoints (golden inputs)"}
    assert gate(outcome, "detections")["verdict"] == "failed"
