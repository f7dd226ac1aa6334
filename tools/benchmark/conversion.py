"""Measures time and memory of ``convert run`` in a separate process."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from detr2litert.convert.models.variants import Variant
from detr2litert.host_runtime.errors import UserError
from detr2litert.verify.report.report import RunReport, load_report

_GATE_FAILED = 1


@dataclass(frozen=True)
class Conversion:
    """One run of ``convert run``.

    Attributes:
        seconds: wall time of the process, from its start to its exit.
        peak_bytes: largest resident set of any one process of the run.
        stages: stage → seconds, in order.
        ops: graph → number of operators; a native form is a graph of its own (``graph_a.native``).
        file_bytes: graph → size of the file with float16 weights.
        gates: gate → verdict.
        random_weights: True if no trained weights were available.
        dispatches: graph → GPU dispatches of a run, None if they were not counted; empty without ``gpu``.
    """

    seconds: float
    peak_bytes: int
    stages: Mapping[str, float]
    ops: Mapping[str, int]
    file_bytes: Mapping[str, int]
    gates: Mapping[str, str]
    random_weights: bool
    dispatches: Mapping[str, int | None] = field(default_factory=dict)


def convert(variant: Variant, target: str, out: Path, gpu: bool = False, fp16: bool = True) -> Conversion:
    """Converts ``variant`` into the folder ``out``, with its bundled weights or, if there are none, random ones.

    Without ``gpu`` the gates that need one are skipped, without ``fp16`` that gate.

    Call it before this process imports PyTorch: Linux counts the parent's memory as a child's until the child's exec.

    Raises:
        UserError: the conversion did not end with a bundle.
    """
    command = [sys.executable, "-m", "detr2litert", "run", "--gpu" if gpu else "--no-gpu", "--fp16" if fp16 else "--no-fp16"]
    command += ["--variant", variant.name, "--target", target, "--out", str(out)]
    # Cost of a conversion and its gates, alike for all variants.
    command += ["--dataset", "none"]
    if variant.bundled is None:
        command += ["--weights", "random"]
    log = out.with_name(f"{out.name}.log")
    start = time.perf_counter()
    with log.open("w", encoding="utf-8") as stream:
        process = subprocess.Popen(command, stdout=stream, stderr=subprocess.STDOUT)
        try:
            _, status, usage = os.wait4(process.pid, 0)
        except BaseException:
            process.kill()
            raise
    seconds = time.perf_counter() - start
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode not in (0, _GATE_FAILED):
        raise UserError(f"{' '.join(command[1:])} ended with {process.returncode}: {_last_line(log)}")
    return from_report(load_report(out / "report.json"), seconds, usage.ru_maxrss * 1024)


def from_report(report: RunReport, seconds: float, peak_bytes: int) -> Conversion:
    """Returns the figures of a run, with externally measured time and memory."""
    return Conversion(
        seconds=seconds,
        peak_bytes=peak_bytes,
        stages={stage.name: stage.seconds for stage in report.stages},
        ops={graph: sum(counts.values()) for graph, counts in report.op_counts.items()},
        file_bytes={graph: report.files[f"{graph}.tflite"] for graph in report.op_counts},
        gates={gate.gate: str(gate.verdict) for gate in report.gates},
        random_weights=report.weights.random,
        dispatches=dict(report.dispatches),
    )


def _last_line(log: Path) -> str:
    lines = log.read_text(encoding="utf-8", errors="replace").split("\n")
    return next((line.strip() for line in reversed(lines) if line.strip()), "no output")
