"""Ctrl-C and SIGTERM at several moments of a run: exit code 2, one line, no files left, no traceback."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.convert.command import Outcome, assert_refused, environment, invoke, start, tree


def interrupted_after(line: str, number: signal.Signals, cwd: Path, delay: float = 0.0) -> Outcome:
    """Starts a conversion and signals its process group, as a terminal does, after a stage has ended."""
    process = start("run", "--variant", "tiny", "--target", "pixel", "--out", "made/b", "--no-gpu", cwd=cwd)
    assert process.stdout is not None
    assert process.stderr is not None
    read = []
    for message in process.stderr:
        read.append(message)
        if line in message:
            break
    time.sleep(delay)
    os.killpg(process.pid, number)
    stdout, rest = process.communicate(timeout=300)
    return Outcome(process.returncode, stdout, "".join(read) + rest)


@pytest.mark.parametrize(
    ("after", "number", "delay"),
    [
        pytest.param("start PyTorch", signal.SIGINT, 0.0, marks=pytest.mark.ci),
        pytest.param("start PyTorch", signal.SIGTERM, 1.5, marks=pytest.mark.ci),
        pytest.param("load weights", signal.SIGINT, 2.0, marks=pytest.mark.slow),
        ("detect with PyTorch", signal.SIGINT, 1.0),
    ],
    ids=["loading", "terminated", "exporting", "converting"],
)
def test_nothing_is_left_behind(tmp_path: Path, after: str, number: signal.Signals, delay: float) -> None:
    outcome = interrupted_after(after, number, tmp_path, delay)
    assert_refused(outcome, "interrupted", "run the same command again")
    assert "Exception ignored" not in outcome.stderr
    assert tree(tmp_path) == set()


def test_an_interrupt_turned_into_another_error_is_recognised(monkeypatch: pytest.MonkeyPatch) -> None:
    """Native code that is interrupted in a callback reports an error of its own."""
    from detr2litert.convert import targets
    from detr2litert.host_runtime import interrupt

    def native(_name: str) -> None:
        raise RuntimeError("callback failed")

    monkeypatch.setattr(targets, "find_target", native)
    monkeypatch.setattr(interrupt, "_seen", False)
    with pytest.raises(RuntimeError):
        invoke("run", "--variant", "tiny", "--target", "pixel")
    monkeypatch.setattr(interrupt, "_seen", True)
    assert_refused(invoke("run", "--variant", "tiny", "--target", "pixel"), "interrupted")


def test_an_interrupt_lost_in_a_destructor_is_sent_again() -> None:
    code = """
import os, signal, time
from detr2litert.host_runtime import interrupt
interrupt.install()

class Swallows:
    def __del__(self):
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(0.01)

try:
    thing = Swallows()
    del thing
    time.sleep(20)
    print("lost")
except KeyboardInterrupt:
    print("caught")
"""
    done = subprocess.run([sys.executable, "-c", code], env=environment(), capture_output=True, text=True, timeout=60)
    assert done.stdout == "caught\n"
    assert done.stderr == ""


def test_an_interrupt_that_a_library_swallows_is_sent_again() -> None:
    code = """
import os, signal, time
from detr2litert.host_runtime import interrupt
interrupt.install()
try:
    try:
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(5)
    except BaseException:
        pass
    time.sleep(20)
    print("lost")
except KeyboardInterrupt:
    interrupt.acknowledge()
    time.sleep(1)
    print("caught once")
"""
    done = subprocess.run([sys.executable, "-c", code], env=environment(), capture_output=True, text=True, timeout=60)
    assert done.stdout == "caught once\n"
    assert done.stderr == ""


def test_native_code_with_callbacks_is_abandoned() -> None:
    """``sorted`` calls back for every element, as the converter does; the process ends at once with its exit code."""
    code = """
import os, signal, threading, time
from detr2litert.host_runtime import interrupt
interrupt.install()

def key(number):
    if number == 3:
        threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGINT)).start()
    time.sleep(0.05)
    return -number

try:
    interrupt.in_thread(lambda: sorted(range(1000), key=key))
except KeyboardInterrupt:
    interrupt.acknowledge()
    print("left", flush=False)
    interrupt.exit_process(2)
"""
    began = time.monotonic()
    done = subprocess.run([sys.executable, "-c", code], env=environment(), capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (2, "left\n", "")
    assert time.monotonic() - began < 40


def test_an_interrupted_exec_does_not_change_the_exit_code(tmp_path: Path) -> None:
    """A dataclass is defined by ``exec``, so an interrupt while modules load often occurs inside one."""
    (tmp_path / "command.py").write_text("""
import os, signal, time
from detr2litert.host_runtime import interrupt
interrupt.install()
try:
    exec("os.kill(os.getpid(), signal.SIGINT); time.sleep(20)")
except KeyboardInterrupt:
    interrupt.acknowledge()
    interrupt.exit_process(2)
""")
    command = [sys.executable, "-m", "command"]
    done = subprocess.run(command, cwd=tmp_path, env=environment(), capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (2, "", "")


def test_in_thread_returns_and_raises() -> None:
    from detr2litert.host_runtime.interrupt import in_thread

    assert in_thread(lambda: 7) == 7
    with pytest.raises(ZeroDivisionError):
        in_thread(lambda: 1 // 0)
