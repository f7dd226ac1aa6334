"""Tries many files that may end the process, in few child processes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

ROOT = Path(__file__).parents[1]


def trials(action: Literal["run", "check", "detect"], paths: Sequence[Path], work: Path, *, timeout: float = 600) -> list[str]:
    """What happened to each file: ``"ran"``, ``"exit 2 error: …"``, an exception's name and text, or a signal's name.

    Args:
        action: see ``trial_child``.
        paths: the files, tried in order; a new child goes on after one that died.
        work: an empty folder for lists and logs.
        timeout: seconds for one child; the file that it reached counts as ``"hangs"``.
    """
    outcomes: list[str] = []
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join((str(ROOT), os.environ.get("PYTHONPATH", "")))}
    command = [sys.executable, str(ROOT / "tests/trial_child.py"), action, str(work / "paths.txt")]
    while len(outcomes) < len(paths):
        (work / "paths.txt").write_text("".join(f"{path}\n" for path in paths[len(outcomes) :]))
        with (work / "out.txt").open("wb") as out, (work / "err.txt").open("wb") as err:
            child = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out, stderr=err, env=environment)
            try:
                code = child.wait(timeout)
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()
                code = 1000
        lines = (work / "out.txt").read_bytes().split(b"\n")[:-1]  # the last has no end
        outcomes += [json.loads(line) for line in lines if line.startswith(b'"')]
        if len(outcomes) < len(paths):
            assert code != 0, (work / "err.txt").read_text(errors="replace")[-2000:]
            outcomes.append("hangs" if code == 1000 else signal.Signals(-code).name if code < 0 else f"exit code {code}")
    return outcomes
