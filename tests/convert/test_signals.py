"""What ends a command from outside: Ctrl-C, ``kill``, and a terminal or connection that is closed, all alike."""

from __future__ import annotations

import os
import pty
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.convert.command import Outcome, assert_refused, environment, start
from tests.host_runtime import tiny_bundle


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    """The smallest."""
    tiny_bundle.write_bundle(tmp_path / "bundle")
    return tmp_path / "bundle"


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    """A pipe, on which a command waits for as long as the test wants."""
    path = tmp_path / "picture.png"
    os.mkfifo(path)
    return path


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_a_command_in_one_line(bundle: Path, picture: Path, number: signal.Signals) -> None:
    process = start("detect", bundle, picture, cwd=picture.parent)
    with picture.open("wb", buffering=0):  # returns when the command has opened the other end
        os.kill(process.pid, number)
        stdout, stderr = process.communicate(timeout=120)
    assert_refused(Outcome(process.returncode, stdout, stderr), "interrupted", "run the same command again")


def test_a_ctrl_c_while_the_command_starts() -> None:
    code = """
import os, signal, sys
class Finder:
    def find_spec(self, name, path=None, target=None):
        if name == "click":
            os.kill(os.getpid(), signal.SIGINT)
sys.meta_path.insert(0, Finder())
from detr2litert.__main__ import main
main()
"""
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment(), capture_output=True, text=True, timeout=60, check=False
    )
    assert_refused(Outcome(done.returncode, done.stdout, done.stderr), "interrupted", "run the same command again")


def test_a_hangup_is_ignored_where_nohup_asks(bundle: Path, picture: Path) -> None:
    command = ["nohup", sys.executable, "-m", "detr2litert", "detect", str(bundle), str(picture)]
    process = subprocess.Popen(
        command,
        cwd=picture.parent,
        env=environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with picture.open("wb", buffering=0):
        os.kill(process.pid, signal.SIGHUP)
    stdout, stderr = process.communicate(timeout=120)
    assert_refused(Outcome(process.returncode, stdout, stderr), picture, "is empty")


def test_a_closed_terminal_ends_a_command_though_it_can_write_nothing_more(bundle: Path, picture: Path) -> None:
    process, terminal = pty.fork()
    if process == 0:
        os.execve(sys.executable, [sys.executable, "-m", "detr2litert", "detect", str(bundle), str(picture)], environment())
    with picture.open("wb", buffering=0):
        os.close(terminal)
        _, status = os.waitpid(process, 0)
    assert os.waitstatus_to_exitcode(status) == 2


def test_a_second_signal_inside_the_handler_of_the_first_does_not_wait_for_it() -> None:
    """As a terminal's Ctrl-C arrives: at each line and call of the handler, and of what it calls."""
    code = """
import signal, sys
from detr2litert.host_runtime import interrupt

interrupt.install()
for nth in range(60):
    left = nth

    def traced(frame, event, _):
        global left
        inside = frame
        while inside is not None and inside.f_code is not interrupt._interrupt.__code__:
            inside = inside.f_back
        if inside is not None:
            left -= 1
            if left == -1:
                signal.raise_signal(signal.SIGINT)
        return traced

    sys.settrace(traced)
    try:
        signal.raise_signal(signal.SIGINT)
    except KeyboardInterrupt:
        pass
    sys.settrace(None)
    signal.setitimer(signal.ITIMER_REAL, 0)
print(interrupt.was_interrupted())
"""
    done = subprocess.run([sys.executable, "-c", code], env=environment(), capture_output=True, text=True, timeout=30)
    assert (done.returncode, done.stdout) == (0, "True\n"), done.stderr
