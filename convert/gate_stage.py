"""Runs a gate as a stage of its own: the line on the terminal says what it found."""

from __future__ import annotations

from collections.abc import Callable

from detr2litert.convert.progress import Progress
from detr2litert.verify.gates import Doing, GateResult, Verdict


def run_gate(progress: Progress, name: str, gate: Callable[[Doing], GateResult]) -> GateResult:
    """Returns a gate's result.

    Args:
        progress: shows the stage.
        name: of the gate.
        gate: judges; passes a description of each computation to its argument.
    """
    with progress.stage(f"gate: {name}") as stage:
        result = gate(stage.doing)
        stage.detail = f"{result.verdict}: {result.summary}"
        stage.good = None if result.verdict is Verdict.NOT_RUN else result.verdict is Verdict.PASSED
    return result
