"""``convert device`` with the real adb, on an emulated device: its gates, and every fault of a run."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from detr2litert.verify.device.parity import EMULATOR
from tests.conversions import Made
from tests.convert.command import assert_refused, invoke
from tests.device.commands import assert_clean, device_command, files_of, gate, gates
from tests.device.conftest import Plug
from tests.device.faults import Faults


def test_everything_passes_and_is_called_an_emulator(plug: Plug, bundle: Path) -> None:
    device = plug()
    outcome = device_command(bundle, "--json")
    assert outcome.code == 0, outcome
    assert set(gates(outcome).values()) == {"passed"}
    assert outcome.json["ran_on"] == EMULATOR
    assert all(EMULATOR in gate["summary"] for gate in outcome.json["devices"][0]["gates"])
    page = (bundle / "device/report.html").read_text()
    assert f"<title>{EMULATOR}" in page and "None of its results apply to a phone" in page
    assert_clean(device)
    assert "was already there" in invoke("push", bundle).stdout


def test_the_terminal_says_emulator_in_every_gate(plug: Plug, dfine_tiny: Made, tmp_path: Path) -> None:
    """With the other family's bundle, whose host step is longer."""
    device = plug()
    outcome = device_command(dfine_tiny.bundle, "--report", tmp_path)
    assert outcome.code == 0, outcome
    assert f"{device.serial}  {EMULATOR}" in outcome.stdout
    names = ("run", "residency", "stages", "fallback", "detections", "latency")
    lines = [line for line in outcome.stdout.splitlines() if line.startswith(names)]
    assert len(lines) == len(names)
    assert all(f"[{EMULATOR}]" in line for line in lines)
    record = json.loads((tmp_path / "report.json").read_text())
    assert record["variant"] == "dfine-tiny"
    assert record["ran_on"] == EMULATOR
    assert record["devices"][0]["emulator"] is True
    assert_clean(device)


def test_cpu_and_fp32(plug: Plug, bundle: Path) -> None:
    plug()
    assert gates(device_command(bundle, "--json", "--precision", "fp32"))["stages"] == "passed"
    outcome = device_command(bundle, "--json", "--accelerator", "cpu")
    assert outcome.code == 0
    assert gates(outcome)["residency"] == "not run"


@pytest.mark.parametrize("stage", ["a", "host", "b"])
def test_a_wrong_stage_is_the_one_named(plug: Plug, bundle: Path, stage: str) -> None:
    device = plug(Faults(app={"wrong": stage}))
    outcome = device_command(bundle, "--json")
    assert outcome.code == 1
    found = gate(outcome, "stages")
    assert found["verdict"] == "failed"
    assert {finding["rule"] for finding in found["findings"]} == {f"stage-{stage}"}
    assert_clean(device)


@pytest.mark.parametrize(
    ("fault", "name", "words"),
    [
        ({"crash": "compile"}, "run", "process died in stage 'compile'"),
        ({"refused": True}, "run", "GATHER_ND"),
        ({"no_line": True}, "residency", "no line of the delegate"),
        ({"partial": 3}, "residency", "117 of 120 nodes in 2 partitions"),
        ({"silent_cpu": True}, "fallback", "suspected fallback"),
    ],
)
def test_a_fault_of_the_run_fails_its_gate(plug: Plug, bundle: Path, fault: dict[str, object], name: str, words: str) -> None:
    device = plug(Faults(app=fault))
    outcome = device_command(bundle, "--json")
    assert outcome.code == 1
    found = gate(outcome, name)
    assert found["verdict"] == "failed"
    assert words in found["summary"]
    assert_clean(device)


def test_a_hanging_app_is_stopped(plug: Plug, bundle: Path) -> None:
    device = plug(Faults(app={"hang": "compile"}))
    outcome = device_command(bundle, "--json", "--timeout", 8)
    assert outcome.code == 1
    assert "hung in stage 'compile'" in outcome.json["devices"][0]["gates"][0]["summary"]
    assert_clean(device)


def test_results_that_are_not_this_runs_are_refused(plug: Plug, bundle: Path) -> None:
    device = plug(Faults(app={"old_result": True}))
    assert_refused(device_command(bundle), "another run")
    device.faults.app = {"truncated": "b"}
    assert_refused(device_command(bundle), "cut short")
    device.faults.app = {"reshaped": "b"}
    assert_refused(device_command(bundle), " as [", "install the app's build")
    assert_clean(device)


def test_stale_files_of_an_earlier_run_are_removed(plug: Plug, bundle: Path) -> None:
    device = plug()
    stale = files_of(device) / "runs/convert-old/run-1/out/a"
    stale.mkdir(parents=True)
    (stale / "memory.f32").write_bytes(bytes(8))
    (device.root / "data/local/tmp/detr2litert-old").write_bytes(b"old")
    assert device_command(bundle).code == 0
    assert_clean(device)


def test_a_clock_set_back_does_not_hide_the_log(plug: Plug, bundle: Path) -> None:
    device = plug(Faults(app={"clock_back": 7200}))
    outcome = device_command(bundle, "--json")
    assert gates(outcome)["residency"] == "passed", outcome
    assert_clean(device)
