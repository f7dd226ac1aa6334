"""A device that answers with too much, with something else, or never: one line, exit code 2, in a bounded time.

What a result.json of something else can hold is tested without a device in ``tests.verify.device.test_protocol``.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from detr2litert.verify.adb.client import SHORT, Adb, Answer
from tests.convert.command import assert_refused, invoke
from tests.device.commands import assert_clean, device_command
from tests.device.conftest import Plug
from tests.device.faults import Faults

PATIENCE = 5.0
"""Seconds for a call that has 30."""


def test_an_answer_without_an_end(plug: Plug, bundle: Path) -> None:
    device = plug(Faults(endless_at="sha256sum"))
    assert_refused(invoke("push", bundle), "adb", device.serial, "wrote more than", "look at the device")
    for at in ("getprop", "am instrument", "cat files/runs"):
        device.faults.endless_at = at
        assert_refused(device_command(bundle), "adb", device.serial, "wrote more than", "look at the device")
        assert any(at in command for command in device.commands)
        assert_clean(device)


def test_an_answer_that_only_drips(plug: Plug, bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    call = Adb.call

    def hurried(self: Adb, *arguments: str, timeout: float = SHORT, **limits: int) -> Answer:
        return call(self, *arguments, timeout=PATIENCE if timeout == SHORT else timeout, **limits)

    monkeypatch.setattr(Adb, "call", hurried)
    device = plug(Faults(drip_at="getprop"))
    assert_refused(device_command(bundle), device.serial, "did not end within 5 s", "adb reconnect")
    assert_clean(device)


def test_a_result_of_something_else(plug: Plug, bundle: Path) -> None:
    device = plug(Faults(app={"more_tensors": 10**6}))
    assert_refused(device_command(bundle), device.serial, "wrote more than 8388608 bytes")
    device.faults.app = {"record": {"protocol": 7}}
    assert_refused(device_command(bundle), "parity protocol 7, not 1", "install its build")
    assert_clean(device)
