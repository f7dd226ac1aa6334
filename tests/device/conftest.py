"""A private adb server, emulated devices connected to it, and a bundle to send."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from detr2litert.verify.adb.app import PACKAGE
from tests.conversions import Made
from tests.device.debian_adb import adb_program
from tests.device.emulator import Emulator
from tests.device.faults import Faults

Plug = Callable[..., Emulator]


@pytest.fixture(scope="package")
def adb(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The real adb with its own server, key and home folder; no device is connected.

    A wrapper script sets them, not this process, whose home other tests need.
    """
    folder = tmp_path_factory.mktemp("adb")
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    program = folder / "adb"
    own = f"HOME={folder} ANDROID_ADB_SERVER_PORT={port} ADB_MDNS=0"
    program.write_text(f'#!/bin/sh\nunset ANDROID_SERIAL\n{own} exec {adb_program()} "$@"\n', encoding="utf-8")
    program.chmod(0o755)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ADB", str(program))
        call_adb("start-server")
        yield program
        call_adb("kill-server")


@pytest.fixture
def plug(adb: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Plug]:
    """Connects emulated devices and disconnects them at the end."""
    with ExitStack() as stack:

        def connect(faults: Faults | None = None, installed: dict[str, bool] | None = None) -> Emulator:
            root = tmp_path_factory.mktemp("device")
            stack.callback(shutil.rmtree, root, ignore_errors=True)
            given = {PACKAGE: True} if installed is None else installed
            device = stack.enter_context(Emulator(root, faults, given))
            stack.callback(call_adb, "disconnect", device.serial)
            call_adb("connect", device.serial)
            return device

        yield connect


@pytest.fixture(scope="session")
def bundle(tiny: Made, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of tiny's bundle; ``convert device`` writes its report into it."""
    return Path(shutil.copytree(tiny.bundle, tmp_path_factory.mktemp("bundle") / "tiny"))


def call_adb(*words: str) -> str:
    """The adb program for the tests' own use."""
    command = [os.environ["ADB"], *words]
    return subprocess.run(command, capture_output=True, text=True, timeout=30, check=False, stdin=subprocess.DEVNULL).stdout
