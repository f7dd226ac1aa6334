"""Runs .tflite models on TensorFlow's own interpreter.

In a child process: TensorFlow takes seconds to start, and it conflicts with PyTorch, since each brings its own libraries of the
same names.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from detr2litert.host_runtime.scratch import scratch_folder
from detr2litert.verify.arrays import load_arrays, save_arrays
from detr2litert.verify.delegate.run import Job

HOW_TO_GET = "pip install -c constraints.txt -e '.[second-runtime]' (TensorFlow's CPU build, 270 MB)"
_CHILD = Path(__file__).with_name("tensorflow_child.py")
# TensorFlow's messages for an operator, or a version of one, for which it has no kernel.
_NO_KERNEL = ("unresolved custom op", "Didn't find op for builtin opcode", "Op builtin_code out of range")
_THREADS = 2


@dataclass(frozen=True)
class TensorFlowRun:
    """One graph on TensorFlow.

    Attributes:
        outputs: for each input set, signature name to array.
        error: the error, "" if there is none.
        unable: True if that is not a fault of the file: TensorFlow lacks an operator, or takes too long.
    """

    outputs: tuple[dict[str, NDArray[Any]], ...] = field(default=(), repr=False)
    error: str = ""
    unable: bool = False


@dataclass(frozen=True)
class Answer:
    """The child's answer.

    Attributes:
        version: TensorFlow's, "" if it did not load.
        runs: one for each graph; empty if it did not load.
        error: why it did not load.
    """

    version: str = ""
    runs: tuple[TensorFlowRun, ...] = ()
    error: str = ""


def installed() -> bool:
    """Returns whether TensorFlow is installed, without importing it: that takes seconds and conflicts with PyTorch."""
    return find_spec("tensorflow") is not None


def run_tensorflow(jobs: Sequence[Job], *, timeout: float, python: str = sys.executable) -> Answer:
    """Runs models on TensorFlow's interpreter in one child process, each on all its input sets.

    Args:
        jobs: models and inputs, by signature name.
        timeout: seconds for all models together.
        python: interpreter that has TensorFlow.
    """
    with scratch_folder() as work:
        listed = [
            {
                "model": str(job.model.resolve()),
                "threads": _THREADS,
                "inputs": [str(save_arrays(values, work / f"in_{i}_{j}.npz")) for j, values in enumerate(job.inputs)],
            }
            for i, job in enumerate(jobs)
        ]
        (work / "jobs.json").write_text(json.dumps(listed))
        ended, timed_out = _spawn(work, timeout, python)
        if not (work / "started.json").exists():
            return Answer(error=f"TensorFlow does not load here ({ended})")
        version = json.loads((work / "started.json").read_text())["version"]
        runs = [_finished(work, index, len(job.inputs), ended, timed_out=timed_out) for index, job in enumerate(jobs)]
        return Answer(version, tuple(runs))


def _spawn(work: Path, timeout: float, python: str) -> tuple[str, bool]:
    """Runs the child until it ends; returns how it ended, with its last line, and whether that was at the time limit."""
    # TensorFlow searches for no GPU and runs no operator of its own: only its interpreter is used.
    quiet = {"TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": "-1", "TF_ENABLE_ONEDNN_OPTS": "0"}
    # -P: keeps this script's folder off the import path, where its neighbours could shadow other modules.
    command = [python, "-P", str(_CHILD), str(work)]
    environment = {**os.environ, **quiet}
    try:
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, env=environment, cwd=work, timeout=timeout, check=False
        )
    except subprocess.TimeoutExpired:
        return f"not done after {timeout:.0f} s", True
    except OSError as error:
        return f"{python}: {error.strerror}", False
    lines = done.stderr.decode(errors="replace").strip().splitlines()
    return ", ".join([*lines[-1:], f"exit code {done.returncode}"]), False


def _finished(work: Path, index: int, sets: int, ended: str, *, timed_out: bool) -> TensorFlowRun:
    result = work / f"result_{index}.json"
    if not result.exists():
        return TensorFlowRun(error=f"its process ended before this graph was done ({ended})", unable=timed_out)
    error = str(json.loads(result.read_text())["error"])
    if error:
        return TensorFlowRun(error=error, unable=any(words in error for words in _NO_KERNEL))
    return TensorFlowRun(tuple(load_arrays(work / f"out_{index}_{position}.npz") for position in range(sets)))
