"""A command whose process is killed by native code ends in one line; the process that watches it forwards signals."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.convert.command import environment

_WATCHED = """
import os, signal, sys, time
from pathlib import Path
from detr2litert.convert.cli.supervise import supervise
from detr2litert.host_runtime.activity import doing
supervise()
"""


def watched(code: str, **options: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", _WATCHED + code],
        env=environment(),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        **options,  # type: ignore[call-overload]
    )


@pytest.mark.parametrize(
    "number", [signal.SIGSEGV, signal.SIGABRT, signal.SIGFPE, signal.SIGBUS, signal.SIGILL, signal.SIGKILL]
)
def test_a_death_is_one_line(number: signal.Signals, tmp_path: Path) -> None:
    done = watched(
        f"""
with doing("LiteRT compiles a.tflite"):
    with doing("LiteRT runs b\\x1b.tflite"):
        pass
    os.kill(os.getpid(), {number})
    time.sleep(30)
""",
        cwd=tmp_path,
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.count("\n") == 1 and done.stderr.startswith("error: ")
    assert number.name in done.stderr and "while LiteRT compiles a.tflite" in done.stderr and ";" in done.stderr
    assert list(tmp_path.iterdir()) == []  # no core file


def test_a_death_elsewhere_has_no_place() -> None:
    done = watched("os.kill(os.getpid(), signal.SIGSEGV); time.sleep(30)")
    assert done.returncode == 2 and done.stderr.startswith("error: native code died (SIGSEGV); run the same command again")


@pytest.mark.parametrize("code", [0, 1, 2, 141])
def test_an_exit_code_is_passed_on(code: int) -> None:
    done = watched(f"print('out'); sys.exit({code})")
    assert (done.returncode, done.stdout, done.stderr) == (code, "out\n", "")


def test_a_full_standard_error_changes_nothing() -> None:
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-c", _WATCHED + "os.kill(os.getpid(), signal.SIGSEGV); time.sleep(30)"],
            env=environment(),
            stderr=full,
            timeout=60,
            check=False,
        )
    assert done.returncode == 2


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_to_the_watching_process_alone_is_forwarded(number: signal.Signals, tmp_path: Path) -> None:
    code = """
from detr2litert.host_runtime import interrupt
interrupt.install()
try:
    Path(sys.argv[1]).touch()
    time.sleep(30)
except KeyboardInterrupt:
    interrupt.acknowledge()
    interrupt.exit_process(7)
"""
    process = _started(_WATCHED + code, tmp_path / "ready")
    process.send_signal(number)
    assert process.wait(timeout=30) == 7


def test_the_child_ends_with_the_process_that_watches_it(tmp_path: Path) -> None:
    process = _started(_WATCHED + "Path(sys.argv[1]).write_text(str(os.getpid())); time.sleep(60)", tmp_path / "ready")
    child = int((tmp_path / "ready").read_text())
    assert child != process.pid
    process.kill()
    process.wait()
    deadline = time.monotonic() + 10
    while _alive(child):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def _started(code: str, ready: Path) -> subprocess.Popen[bytes]:
    process = subprocess.Popen([sys.executable, "-c", code, str(ready)], env=environment())
    deadline = time.monotonic() + 30
    while not ready.exists() or (ready.stat().st_size == 0 and "write_text" in code):
        assert time.monotonic() < deadline and process.poll() is None
        time.sleep(0.02)
    return process


def _alive(process: int) -> bool:
    try:
        os.kill(process, 0)
        return "\nState:\tZ" not in Path(f"/proc/{process}/status").read_text()
    except (ProcessLookupError, FileNotFoundError):
        return False
