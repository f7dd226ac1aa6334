"""A termination signal to the parent only: the children end with it, and their folders are removed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

from detr2litert.host_runtime.tflite.writer import ModelWriter

ROOT = Path(__file__).parents[3]
PARENT = """
import sys
from pathlib import Path
import numpy as np
from detr2litert.host_runtime import interrupt
from detr2litert.verify.delegate import run
from detr2litert.verify.delegate.adapters import Adapter, Driver
from detr2litert.verify.parity.fp16 import check_fp16
from detr2litert.verify.parity.numerics import GraphCase

interrupt.install()
run._CHILD = Path(sys.argv[1])
driver = Driver("system", {}, (Adapter("none", "software", "1.3.0", True),))
value = {"x": np.zeros((1, 4), np.float32)}
try:
    check_fp16([GraphCase(name, None, Path(sys.argv[2]), (value,), (value,)) for name in ("a", "b")], gpu=driver)
except KeyboardInterrupt:
    interrupt.acknowledge()
    interrupt.exit_process(2)
"""
SLEEPER = """
import os, sys, time
from pathlib import Path
with Path(os.environ["STARTED"]).open("a") as file:
    file.write(f"{os.getpid()}\\n")
time.sleep(120)
"""


def test_both_graphs_of_the_fp16_gate_end_with_the_command(tmp_path: Path) -> None:
    (tmp_path / "sleeper.py").write_text(SLEEPER)
    w = ModelWriter()
    w.op("ADD", [w.input("x", (1, 4)), w.constant("c", np.ones((1, 4), np.float32))], {"y": (1, 4)})
    model = w.write(tmp_path / "adder.tflite", ["y"])
    scratch, started = tmp_path / "scratch", tmp_path / "started"
    scratch.mkdir()
    env = {**os.environ, "PYTHONPATH": str(ROOT), "TMPDIR": str(scratch), "STARTED": str(started)}
    command = [sys.executable, "-c", PARENT, str(tmp_path / "sleeper.py"), str(model)]
    parent = subprocess.Popen(command, env=env, start_new_session=True)
    try:
        children = [int(line) for line in _lines(started, 2)]
        parent.send_signal(signal.SIGTERM)
        assert parent.wait(timeout=30) == 2
        assert list(scratch.iterdir()) == []
        assert [pid for pid in children if _alive(pid)] == []
    finally:
        if parent.poll() is None:
            os.killpg(parent.pid, signal.SIGKILL)
        for pid in map(int, _lines(started, 0)):
            if _alive(pid):
                os.kill(pid, signal.SIGKILL)


def _lines(path: Path, count: int) -> list[str]:
    """Waits until a file has this many lines, and returns them."""
    deadline = time.monotonic() + 60
    while True:
        lines = path.read_text().split() if path.exists() else []
        if len(lines) >= count:
            return lines
        assert time.monotonic() < deadline, "the children did not start"
        time.sleep(0.05)


def _alive(pid: int) -> bool:
    """Whether a process runs; a zombie does not."""
    try:
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except FileNotFoundError:
        return False
