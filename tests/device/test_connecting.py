"""Choosing a device and accessing its app, with the real adb: each failure is one line."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.convert.command import assert_refused, invoke
from tests.device.commands import assert_clean, device_command
from tests.device.conftest import Plug
from tests.device.faults import Faults


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


def test_a_serial_number_given_twice_is_one_device(plug: Plug, bundle: Path) -> None:
    device = plug()
    outcome = device_command(bundle, "--serial", device.serial, "--serial", device.serial, "--json")
    assert outcome.code == 0, outcome
    assert [row["serial"] for row in outcome.json["devices"]] == [device.serial]


def test_a_device_without_sha256sum(plug: Plug, bundle: Path) -> None:
    device = plug(Faults(lacks=("sha256sum",)))
    assert_refused(invoke("push", bundle), device.serial, "no sha256sum", "Android 8")
    assert_clean(device)


def test_a_report_that_could_not_be_written_is_refused_before_the_device_is_used(
    plug: Plug, bundle: Path, tmp_path: Path
) -> None:
    device = plug()
    (tmp_path / "taken").write_text("a file")
    assert_refused(device_command(bundle, "--report", tmp_path / "taken/report"), "no report", "--report")
    assert device.commands == []
