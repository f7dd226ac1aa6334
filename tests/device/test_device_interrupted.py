"""``convert device`` disconnected or interrupted in the middle: one line, exit code 2, and nothing left behind."""

from __future__ import annotations

from pathlib import Path

import pytest

from detr2litert.verify.adb.app import PACKAGE
from tests.convert.command import assert_refused
from tests.device.commands import assert_clean, device_command, files_of, interrupted_when, reconnect
from tests.device.conftest import Plug
from tests.device.faults import Faults


@pytest.mark.parametrize(
    ("at", "delay"),
    [("am instrument", 1.5), ("cat files/runs", 0.0), ("logcat", 0.0), ("/in/host", 0.0)],
    ids=["running", "reading the result", "reading the log", "sending inputs"],
)
def test_a_cut_connection_is_reported_and_the_next_run_cleans_up(plug: Plug, bundle: Path, at: str, delay: float) -> None:
    device = plug(Faults(cut_at=at, cut_delay=delay))
    assert_refused(device_command(bundle), "connection was cut")
    reconnect(device)
    outcome = device_command(bundle)
    assert outcome.code == 0, outcome
    assert_clean(device)


def test_an_interrupt_ends_the_app_and_removes_the_run(plug: Plug, bundle: Path, tmp_path: Path) -> None:
    device = plug(Faults(app={"hang": "run"}))
    pid = device.root / ".emulator" / f"{PACKAGE}.pid"

    def running() -> bool:
        log = device.root / ".emulator/logcat"
        return pid.exists() and log.exists() and "graph_b" in log.read_text()

    outcome = interrupted_when(running, "device", bundle, "--report", tmp_path / "report", cwd=tmp_path)
    assert_refused(outcome, "interrupted", "run the same command again")
    assert_clean(device)
    assert not (tmp_path / "report").exists()
    assert any(path.name == "tiny-pixel" for path in files_of(device).glob("bundles/*")), "the bundle stays"
