"""``convert push`` and ``convert device`` with the real adb, on an emulated device; every fault in one clear line."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.convert.command import Outcome, assert_refused, invoke
from tests.device.conftest import Plug, call_adb
from tests.device.emulator import Emulator
from tests.device.faults import Faults
from verify.adb.app import PACKAGE
from verify.device.parity import EMULATOR


def device_command(bundle: Path, *words: object) -> Outcome:
    return invoke("device", bundle, "--runs", 2, *words)


def assert_clean(device: Emulator) -> None:
    """No run folder, nothing pushed half, and no process of the app."""
    files = device.root / "data/data" / PACKAGE / "files"
    assert not list((files / "runs").glob("*")) if (files / "runs").exists() else True
    assert not list((device.root / "data/local/tmp").iterdir())
    assert not (device.root / ".emulator" / f"{PACKAGE}.pid").exists()


def gates(outcome: Outcome) -> dict[str, str]:
    return {gate["gate"]: gate["verdict"] for gate in outcome.json["devices"][0]["gates"]}


def test_everything_passes_and_is_called_an_emulator(plug: Plug, bundle: Path) -> None:
    device = plug()
    outcome = device_command(bundle, "--json")
    assert outcome.code == 0, outcome
    assert set(gates(outcome).values()) == {"passed"}
    assert outcome.json["ran_on"] == EMULATOR
    assert all(EMULATOR in gate["summary"] for gate in outcome.json["devices"][0]["gates"])
    page = (bundle / "device/report.html").read_text()
    assert f"<title>{EMULATOR}" in page and "says anything about a phone" in page
    assert_clean(device)
    assert "was there already" in invoke("push", bundle).stdout


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
    (found,) = [gate for gate in outcome.json["devices"][0]["gates"] if gate["gate"] == "stages"]
    assert found["verdict"] == "failed"
    assert {finding["rule"] for finding in found["findings"]} == {f"stage-{stage}"}
    assert_clean(device)


@pytest.mark.parametrize(
    ("fault", "gate", "words"),
    [
        ({"crash": "compile"}, "run", "process died in stage 'compile'"),
        ({"refused": True}, "run", "GATHER_ND"),
        ({"no_line": True}, "residency", "no line of the delegate"),
        ({"partial": 3}, "residency", "117 of 120 nodes in 2 partitions"),
        ({"silent_cpu": True}, "fallback", "suspected fallback"),
    ],
)
def test_a_fault_of_the_run_fails_its_gate(plug: Plug, bundle: Path, fault: dict[str, object], gate: str, words: str) -> None:
    device = plug(Faults(app=fault))
    outcome = device_command(bundle, "--json")
    assert outcome.code == 1
    (found,) = [item for item in outcome.json["devices"][0]["gates"] if item["gate"] == gate]
    assert found["verdict"] == "failed"
    assert words in found["summary"]
    assert_clean(device)


def test_a_hang_is_ended(plug: Plug, bundle: Path) -> None:
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
    assert_clean(device)


def test_stale_files_of_an_earlier_run_are_removed(plug: Plug, bundle: Path) -> None:
    device = plug()
    stale = device.root / "data/data" / PACKAGE / "files/runs/convert-old/run-1/out/a"
    stale.mkdir(parents=True)
    (stale / "memory.f32").write_bytes(bytes(8))
    (device.root / "data/local/tmp/detr2litert-old").write_bytes(b"old")
    assert device_command(bundle).code == 0
    assert_clean(device)


def test_no_adb(monkeypatch: pytest.MonkeyPatch, bundle: Path, tmp_path: Path) -> None:
    for name in ("ADB", "ANDROID_HOME", "ANDROID_SDK_ROOT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("HOME", str(tmp_path))
    assert_refused(invoke("push", bundle), "adb was not found", "apt-get install adb")


@pytest.mark.usefixtures("adb")
def test_no_device(bundle: Path) -> None:
    assert_refused(device_command(bundle), "no Android device is connected")


def test_unauthorized(plug: Plug, bundle: Path) -> None:
    plug(Faults(unauthorized=True))
    assert_refused(device_command(bundle), "unauthorized", "accept")


def test_offline(plug: Plug, bundle: Path) -> None:
    device = plug()
    device.unplug()
    assert_refused(device_command(bundle, "--serial", device.serial), "offline, not ready")


def test_two_devices(plug: Plug, bundle: Path) -> None:
    first, second = plug(), plug(installed={})
    assert_refused(invoke("push", bundle), first.serial, second.serial, "--serial")
    assert invoke("push", bundle, "--serial", first.serial).code == 0
    outcome = device_command(bundle, "--all", "--json")
    assert outcome.code == 2
    assert "not installed" in outcome.stderr
    assert [row["verdict"] for row in outcome.json["devices"] if not row["error"]] == ["passed"]


def test_app_missing_or_not_debuggable(plug: Plug, bundle: Path) -> None:
    device = plug(installed={"org.release.app": False})
    assert_refused(device_command(bundle), "not installed", "--package")
    assert_refused(device_command(bundle, "--package", "org.release.app"), "not debuggable")
    assert_clean(device)


def test_a_full_device(plug: Plug, bundle: Path) -> None:
    device = plug(Faults(full_after=1_000_000))
    assert_refused(invoke("push", bundle), "no space left")
    assert_clean(device)
    assert not list((device.root / "data/data" / PACKAGE / "files/bundles").iterdir())


def test_a_cut_push_goes_on_where_it_was(plug: Plug, bundle: Path) -> None:
    device = plug(Faults(cut_after=2_000_000))
    assert_refused(invoke("push", bundle), "connection was cut")
    call_adb("disconnect", device.serial)
    call_adb("connect", device.serial)
    outcome = invoke("push", bundle, "--serial", device.serial)
    assert outcome.code == 0, outcome
    assert "sent" in outcome.stdout
    sent, _, total = outcome.stdout.split("sent ")[1].split()[:3]
    assert int(sent) < int(total)
    assert_clean(device)
