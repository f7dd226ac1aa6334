"""Runs the commands that use a device, and checks what they leave on it."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from detr2litert.verify.adb.app import PACKAGE
from tests.convert.command import Outcome, invoke, start
from tests.device.conftest import call_adb
from tests.device.emulator import Emulator


def device_command(bundle: Path, *words: object) -> Outcome:
    """``convert device`` with few runs."""
    return invoke("device", bundle, "--runs", 2, *words)


def gates(outcome: Outcome) -> dict[str, str]:
    """Gate → verdict, of a report with one device."""
    return {gate["gate"]: gate["verdict"] for gate in outcome.json["devices"][0]["gates"]}


def gate(outcome: Outcome, name: str) -> Any:
    """One gate of a report with one device."""
    (found,) = [item for item in outcome.json["devices"][0]["gates"] if item["gate"] == name]
    return found


def files_of(device: Emulator) -> Path:
    """The app's files folder."""
    return device.root / "data/data" / PACKAGE / "files"


def assert_clean(device: Emulator) -> None:
    """Checks that there is no run folder, no partial file, and no process of the app."""
    assert not list(files_of(device).glob("runs/*"))
    assert not list((device.root / "data/local/tmp").iterdir())
    assert not (device.root / ".emulator" / f"{PACKAGE}.pid").exists()


def reconnect(device: Emulator) -> None:
    """Reconnects after a cut connection by ``adb connect``, like plugging in the cable.

    The server may still be busy with the connection that broke, and then forgets the new one.
    """
    call_adb("disconnect", device.serial)
    end = time.monotonic() + 30
    while call_adb("-s", device.serial, "get-state").strip() != "device":
        assert time.monotonic() < end, f"{device.serial} does not come back"
        call_adb("connect", device.serial)


def interrupted_when(happens: Callable[[], bool], *words: object, cwd: Path) -> Outcome:
    """Starts a command and sends its process group a Ctrl-C, as a terminal does, once a condition holds."""
    process = start(*words, cwd=cwd)
    end = time.monotonic() + 120
    while not happens() and process.poll() is None and time.monotonic() < end:
        time.sleep(0.02)
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGINT)
    stdout, stderr = process.communicate(timeout=120)
    return Outcome(process.returncode, stdout, stderr)
