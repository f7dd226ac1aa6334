"""The residency gate: the real delegate takes every operator of every graph, in one partition, without an error line.

It proves that the graph runs on the GPU, not that it computes the right thing: the numbers gate does that.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path

from verify.delegate.adapters import Driver
from verify.delegate.driver import NO_ADAPTER, NoGpu
from verify.delegate.run import DelegateRun, Job, Outcome, run_models
from verify.gates import Finding, GateResult, Measurement, Verdict


def check_residency(
    graphs: Mapping[str, Path], *, driver: Driver | None, no_gpu: NoGpu = NO_ADAPTER, timeout: float = 900.0
) -> GateResult:
    """Compiles each graph for the GPU alone, each in a child process that may die.

    Args:
        graphs: name in the report to file.
        driver: how to reach the GPU (``driver.find_driver()``); None where there is none.
        no_gpu: what to say where there is none.
        timeout: seconds for each graph.

    Returns:
        PASSED, FAILED, or NOT_RUN where there is no adapter.
    """
    start = time.perf_counter()
    jobs = [Job(path) for path in graphs.values()]
    runs = dict(zip(graphs, run_models(jobs, driver=driver, honest=True, timeout=timeout), strict=True))
    if any(run.outcome is Outcome.NO_ADAPTER for run in runs.values()):
        return GateResult(
            "residency",
            Verdict.NOT_RUN,
            f"{no_gpu.reason}: nothing was compiled",
            advice=no_gpu.advice,
            seconds=time.perf_counter() - start,
        )
    findings = tuple(finding for name, run in runs.items() for finding in _findings(name, run))
    adapter = next((run.adapter for run in runs.values() if run.adapter), "")
    good = sum(_resident(run) for run in runs.values())
    return GateResult(
        gate="residency",
        verdict=Verdict.PASSED if good == len(runs) else Verdict.FAILED,
        summary=f"{good} of {len(runs)} graphs fully on the GPU delegate ({adapter})",
        advice="" if good == len(runs) else f"{findings[0].place}: {findings[0].message}; {findings[0].advice}",
        measurements=tuple(measurement for name, run in runs.items() for measurement in _measurements(name, run)),
        findings=findings,
        seconds=time.perf_counter() - start,
        data={"adapter": adapter, "graphs": {name: _record(run) for name, run in runs.items()}},
    )


def _resident(run: DelegateRun) -> bool:
    return run.fully_on_gpu and run.partitions == 1 and not run.error_lines


def _measurements(name: str, run: DelegateRun) -> list[Measurement]:
    return [
        Measurement(name, "fully accelerated", float(run.fully_on_gpu), limit=1.0),
        # Both bounds at once: none means that nothing was delegated, two that something between them was not.
        Measurement(name, "partitions other than one", float(abs(run.partitions - 1)), limit=0.0, at_least=False),
        Measurement(name, "error lines", float(len(run.error_lines)), limit=0.0, at_least=False),
        Measurement(name, "compile seconds", run.compile_seconds),
    ]


def _findings(name: str, run: DelegateRun) -> list[Finding]:
    """Why a graph is not resident, most telling first; empty if it is."""
    if _resident(run):
        return []
    found = [
        Finding(
            "refused-op", "refused", f"{name} {op.op}{f' ({op.tensor})' if op.tensor else ''}", op.reason,
            "rewrite the operator; the lint gate names the place and the way",
        )
        for op in run.refused
    ]  # fmt: skip
    if run.outcome in (Outcome.DIED, Outcome.TIMED_OUT, Outcome.FAILED):
        last = f": {run.error_lines[-1]}" if run.error_lines else ""
        found.append(
            Finding(
                "compile", "refused", name, f"{run.outcome}: {run.error}{last}", "see the lint gate, and the log in report.json"
            )
        )
    elif not run.refused:
        told = (
            run.error_lines[0]
            if run.error_lines
            else f"{run.partitions} partitions, C API says {run.non_cpu_fully_accelerated}"
        )
        found.append(
            Finding("compile", "wrong", name, told, "the outputs are not to be trusted: split or rewrite what the line names")
        )
    return found


def _record(run: DelegateRun) -> dict[str, object]:
    return {
        "outcome": str(run.outcome),
        "partitions": run.partitions,
        "non_cpu_fully_accelerated": run.non_cpu_fully_accelerated,
        "ops_on_gpu": run.ops_on_gpu,
        "ops_on_cpu": run.ops_on_cpu,
        "compile_seconds": run.compile_seconds,
        "error": run.error,
        "error_lines": list(run.error_lines[:20]),
        "log": "" if _resident(run) else run.log[-8000:],
    }
