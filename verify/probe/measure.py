"""Runs probes on the delegate and compares each with its reference.

All run in child processes: one for as many probes as possible, and a fresh one after each probe that ended its process.
"""

from __future__ import annotations

import datetime
import math
import re
from collections.abc import Sequence

import numpy as np

from detr2litert.host_runtime.scratch import scratch_folder
from detr2litert.verify.delegate.adapters import Driver
from detr2litert.verify.delegate.run import DelegateRun, Job, Outcome, run_models
from detr2litert.verify.lint.op_support import installed_runtime
from detr2litert.verify.probe.probe import Behaviour, Probe, Values
from detr2litert.verify.probe.table import BACKEND, Measured, Result

_TIME_LIMIT = 120.0
_NOTHING_MORE = ("Some ops are not accelerated", "Failed to initialize kernel")
_STATIC_ONLY = "Attempting to use a delegate that only supports static-sized tensors"
_FATAL = re.compile(r"^F\d{4} .*\] (.*)$")
# Level, time, thread and source line at the start of a log line: they change from run to run.
_PREFIX = re.compile(r"^(?:[EWF]\d{4} [\d:.]+\s+\d+ [^\]]+\] |(?:ERROR|WARNING): )+")


def measure(probes: Sequence[Probe], driver: Driver, *, fp16: bool = False) -> Measured:
    """Runs probes and records the result of each.

    Args:
        probes: what to run.
        driver: how to reach the GPU.
        fp16: compute in fp16, as the delegate prefers where the adapter can; in fp32 otherwise.
    """
    with scratch_folder() as folder:
        models = [probe.write(folder) for probe in probes]
        given = [probe.inputs(model) for probe, model in zip(probes, models, strict=True)]
        jobs = [Job(model, (values,)) for model, values in zip(models, given, strict=True)]
        runs = run_models(jobs, driver=driver, enforce_f32=not fp16, settle=False, timeout=_TIME_LIMIT)
        references = references_of(probes, jobs, [run.ok for run in runs])
    results = {probe.name: judge(probe, run, reference) for probe, run, reference in zip(probes, runs, references, strict=True)}
    adapter = next((run.adapter for run in runs if run.adapter), driver.adapter.name)
    today = datetime.datetime.now(datetime.UTC).date().isoformat()
    return Measured(installed_runtime(), BACKEND, adapter, "fp16" if fp16 else "fp32", today, results)


def references_of(probes: Sequence[Probe], jobs: Sequence[Job], ran: Sequence[bool]) -> list[Values | None]:
    """Returns the reference outputs of the probes that ran: NumPy's where the probe has them, else the CPU's, else None.

    Args:
        probes: the probes.
        jobs: a model and one set of inputs of each.
        ran: whether it ran.
    """
    found: list[Values | None] = [
        probe.reference(job.inputs[0]) if did and probe.reference is not None else None
        for probe, job, did in zip(probes, jobs, ran, strict=True)
    ]
    asked = [index for index, did in enumerate(ran) if did and probes[index].reference is None]
    on_cpu = run_models([jobs[index] for index in asked], accelerator="cpu", timeout=_TIME_LIMIT)
    for index, run in zip(asked, on_cpu, strict=True):
        found[index] = run.outputs[0] if run.ok else None
    return found


def judge(probe: Probe, run: DelegateRun, reference: Values | None) -> Result:
    """Judges a probe's run by its reference outputs, or None where none are available."""
    if run.outcome is Outcome.NO_ADAPTER:
        return Result(Behaviour.NOT_RUN, refusal=run.error)
    if run.outcome is Outcome.DIED:
        fatal = next((match[1].strip() for match in map(_FATAL.match, run.log.splitlines()) if match), "")
        return Result(Behaviour.DIED, refusal=fatal, death=run.death)
    if run.outcome is Outcome.TIMED_OUT:
        return Result(Behaviour.DIED, death="time limit")
    if not run.ok:
        return Result(Behaviour.REFUSED, refusal=_refusal(run))
    return judge_outputs(probe, run.outputs[0], reference)


def judge_outputs(probe: Probe, outputs: Values, reference: Values | None) -> Result:
    """Judges computed outputs by the reference's, or None where there is no reference."""
    if reference is None:
        return Result(Behaviour.NOT_RUN, refusal="computed, but not judged: the CPU gave no reference")
    difference, right = _compare(outputs, reference, probe.limit)
    return Result(Behaviour.ACCEPTED if right else Behaviour.WRONG, _two_digits(difference))


def _compare(outputs: Values, reference: Values, limit: float) -> tuple[float, bool]:
    """Returns the largest absolute difference over all outputs, and whether all are within the limit."""
    difference, right = 0.0, True
    for name, wanted in reference.items():
        with np.errstate(invalid="ignore"):  # uninitialised memory may hold a signalling NaN
            left, true = (np.asarray(array, np.float64) for array in (outputs[name], wanted))
        same = (left == true) | (np.isnan(left) & np.isnan(true))
        finite = np.isfinite(left) & np.isfinite(true)
        # A value that is infinite or NaN on one side only counts as an infinite difference.
        gaps = np.where(same, 0.0, math.inf)
        gaps[finite] = np.abs(left[finite] - true[finite])
        allowed = np.zeros_like(gaps)
        allowed[finite] = limit + limit * np.abs(true[finite])
        difference = max(difference, float(gaps.max(initial=0.0)))
        right = right and bool((gaps <= allowed).all())
    return difference, right


def _two_digits(value: float) -> float:
    return value if math.isinf(value) else float(f"{value:.1e}")


def _refusal(run: DelegateRun) -> str:
    """Returns the first line in which the delegate, or the runtime, gives the reason."""
    if run.refused:
        return f"{run.refused[0].op}: {run.refused[0].reason}"
    static = next((line for line in run.log.splitlines() if _STATIC_ONLY in line), "")
    lines = [static, *(line for line in run.error_lines if not any(text in line for text in _NOTHING_MORE)), run.error]
    return _PREFIX.sub("", next(line for line in lines if line).strip()).strip()
