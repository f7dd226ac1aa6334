"""A program's output up to its limits: what is below them is whole, what is above ends the program."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest

from detr2litert.verify.adb.bounded import TooMuchOutputError, run_bounded
from tests.convert.command import environment

# Only what any Linux and macOS have, without Python's own start, so that a time limit measures the program.
ENDLESS = "while :; do printf '%4096s' x; done"


def sh(script: str, timeout: float = 60.0, limit: int = 2**20) -> subprocess.CompletedProcess[bytes]:
    return run_bounded(["/bin/sh", "-c", script], timeout, limit)


def test_both_outputs_and_the_exit_code_are_whole() -> None:
    done = sh("printf '%300000s' a; printf '%200000s' b >&2; printf c; exit 7", limit=500_001)
    assert (done.returncode, len(done.stdout), len(done.stderr)) == (7, 300_001, 200_000)
    assert (done.stdout[-2:], done.stderr[-1:]) == (b"ac", b"b")
    done = sh("exec >&- 2>&-; exit 3")
    assert (done.returncode, done.stdout, done.stderr) == (3, b"", b"")


@pytest.mark.parametrize("script", [ENDLESS, f"{{ {ENDLESS}; }} >&2", "printf '%2000000s' x"])
def test_too_much_ends_the_program(script: str) -> None:
    start = time.monotonic()
    with pytest.raises(TooMuchOutputError):
        sh(script)
    assert time.monotonic() - start < 30


@pytest.mark.parametrize(
    "script",
    ["printf so; exec sleep 60", "while :; do printf so; sleep 0.1; done", "printf so; exec >&- 2>&-; exec sleep 60"],
    ids=["silent", "dripping", "closed"],
)
def test_the_time_is_up_however_it_is_spent(script: str) -> None:
    start = time.monotonic()
    with pytest.raises(subprocess.TimeoutExpired) as caught:
        sh(script, timeout=1.0)
    assert caught.value.stdout.startswith(b"so")
    assert time.monotonic() - start < 30


def test_nothing_is_left_of_a_program(tmp_path: Path) -> None:
    before = len(list(Path("/proc/self/fd").iterdir()))
    for script in ("true", ENDLESS):
        with suppress(TooMuchOutputError):
            sh(f"echo $$ > {tmp_path}/pid; {script}")
        with pytest.raises(ProcessLookupError):
            os.kill(int((tmp_path / "pid").read_text()), 0)
    with pytest.raises(FileNotFoundError):
        run_bounded(["/nothing"], 1.0, 1)
    assert len(list(Path("/proc/self/fd").iterdir())) == before


def test_an_interrupt_ends_the_program(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pid")
    code = """
import os, pathlib, signal, sys, threading
from detr2litert.verify.adb.bounded import run_bounded
pids = []
def interrupt():
    pids.append(int(pathlib.Path(sys.argv[1]).read_text()))
    os.kill(os.getpid(), signal.SIGINT)
threading.Thread(target=interrupt).start()
try:
    run_bounded(["/bin/sh", "-c", f"echo $$ > {sys.argv[1]}; exec sleep 60"], 60.0, 100)
except KeyboardInterrupt:
    try:
        os.kill(pids[0], 0)
    except ProcessLookupError:
        print("interrupted, and nothing is left")
"""
    command = [sys.executable, "-c", code, str(tmp_path / "pid")]
    done = subprocess.run(command, env=environment(), capture_output=True, text=True, timeout=50, check=False)
    assert done.stdout == "interrupted, and nothing is left\n", done.stderr
