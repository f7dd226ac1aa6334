"""The residency gate: the real delegate accepts every operator of every graph, in one partition, without an error line.

It proves that the graph runs on the GPU, not that its results are right: the numerics gate does that.
"""

from __future__ import annotations

import re
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from detr2litert.host_runtime.tflite.graph import Graph, Op, read_entries
from detr2litert.verify.delegate.adapters import Driver
from detr2litert.verify.delegate.driver import NO_ADAPTER, NoGpu
from detr2litert.verify.delegate.run import DelegateRun, Job, Outcome, run_models
from detr2litert.verify.delegate.stderr_log import RefusedOp
from detr2litert.verify.gates import Doing, Finding, GateResult, Measurement, TensorRef, Verdict, unheard
from detr2litert.verify.printable import printable

TIMEOUT = 900.0
"""Time limit in seconds for a graph. The delegate's time grows faster than the operators: 1000 take 3 s, 2000 take 15 s."""

# "Node number 0 (GATHER_ND) failed to prepare." is how the runtime itself refuses an operator, a custom one by its code.
_UNPREPARED = re.compile(r"Node number (\d+) \((.*?)\) failed to (?:prepare|invoke)")
# The prefix of a message: the exception's source location, or glog's letter, date, time, thread and location.
_LOG_PREFIX = re.compile(r"(?:ERROR: )?\[\S+:\d+\]\s*(?:└\s*)?|^ERROR: |^[EFW]\d{4} \S+\s+\d+ \S+:\d+\] ")


def check_residency(
    graphs: Mapping[str, Path], *, gpu: Driver | NoGpu = NO_ADAPTER, timeout: float = TIMEOUT, doing: Doing = unheard
) -> GateResult:
    """Compiles each file for the GPU alone, in a child process that may die.

    A file of several entries (signatures) must yield one partition for each.

    Args:
        graphs: name in the report to file.
        gpu: how to reach it (``driver.find_driver()``), or why there is none.
        timeout: seconds for each graph.
        doing: called with a description of each compilation.

    Returns:
        PASSED, FAILED, or NOT_RUN where there is no adapter.

    Raises:
        UserError: a file is not a readable LiteRT model.
    """
    start = time.perf_counter()
    # An adapter that was found may still not open for the delegate.
    driver, no_gpu = (None, gpu) if isinstance(gpu, NoGpu) else (gpu, NO_ADAPTER)
    jobs = [Job(path) for path in graphs.values()]
    if driver is not None:
        doing(f"compiling {' and '.join(graphs)} on {driver.adapter.name}")
    runs = dict(zip(graphs, run_models(jobs, driver=driver, query_full_acceleration=True, timeout=timeout), strict=True))
    if any(run.outcome is Outcome.NO_ADAPTER for run in runs.values()):
        return GateResult(
            "residency",
            Verdict.NOT_RUN,
            f"{no_gpu.reason}: nothing was compiled",
            advice=no_gpu.advice,
            seconds=time.perf_counter() - start,
        )
    entries = {name: read_entries(path) for name, path in graphs.items()}
    findings = tuple(finding for name, run in runs.items() for finding in _findings(name, run, entries[name]))
    figures = tuple(figure for name, run in runs.items() for figure in _measurements(name, run, entries[name]))
    adapter = next((run.adapter for run in runs.values() if run.adapter), "")
    good = sum(_resident(run, entries[name]) for name, run in runs.items())
    return GateResult(
        gate="residency",
        verdict=Verdict.PASSED if good == len(runs) else Verdict.FAILED,
        summary=f"{good} of {len(runs)} graphs fully on the GPU delegate ({adapter})",
        advice="" if good == len(runs) else f"{findings[0].place}: {findings[0].message}; {findings[0].advice}",
        measurements=figures,
        findings=findings,
        seconds=time.perf_counter() - start,
        data={"adapter": adapter, "graphs": {name: _record(run, entries[name]) for name, run in runs.items()}},
    )


def _expected(entries: Sequence[Graph]) -> int:
    """Returns the partitions of a file that is entirely on the GPU: one for each entry that computes anything."""
    return sum(bool(graph.ops) for graph in entries)


def _resident(run: DelegateRun, entries: Sequence[Graph]) -> bool:
    return run.fully_on_gpu and run.partitions == _expected(entries) and not run.error_lines


def _measurements(name: str, run: DelegateRun, entries: Sequence[Graph]) -> list[Measurement]:
    other = "partitions other than one" + (" an entry" if len(entries) > 1 else "")
    return [
        Measurement(name, "fully accelerated", float(run.fully_on_gpu), limit=1.0),
        # Both bounds at once: too few mean that something was not delegated, too many that something between them was not.
        Measurement(name, other, float(abs(run.partitions - _expected(entries))), limit=0.0, at_least=False),
        Measurement(name, "error lines", float(len(run.error_lines)), limit=0.0, at_least=False),
        Measurement(name, "compile seconds", run.compile_seconds),
    ]


def _findings(name: str, run: DelegateRun, entries: Sequence[Graph]) -> list[Finding]:
    """Returns why a file is not resident, the most informative finding first; empty if it is resident."""
    if _resident(run, entries):
        return []
    found = [_refusal(name, refused, entries) for refused in run.refused]
    if run.outcome in (Outcome.DIED, Outcome.TIMED_OUT, Outcome.FAILED):
        found.append(_unfinished(name, run, entries))
    elif not run.refused:
        if not _expected(entries):
            message, advice = "the graph has no operators", "nothing would run on a GPU: give a file with operators"
        elif run.error_lines:
            message, advice = _plain(run.error_lines[0]), "the outputs may be wrong: split or rewrite what the line names"
        else:
            message = f"{run.partitions} partitions, not {_expected(entries)}; "
            message += f"fully accelerated according to the C API: {run.non_cpu_fully_accelerated}"
            advice = "a part runs elsewhere: see the lint gate, or rewrite the operators between the partitions"
        found.append(Finding("compile", "wrong", name, printable(message), advice, graph=name))
    return found


def _refusal(name: str, refused: RefusedOp, entries: Sequence[Graph]) -> Finding:
    """Makes a finding from one line of the delegate's list: an operator once per reason, a tensor only if it is the reason."""
    makers = [(graph, op) for graph in entries for op in graph.ops if op.name.removeprefix("CUSTOM:") == refused.op]
    touching = [(graph, op) for graph, op in makers if refused.tensor in _names(graph, op)]
    places = touching if refused.tensor and touching else makers
    graph, op = places[0] if places else (None, None)
    tensors = () if graph is None or op is None else _refs(graph, op, refused.tensor)
    count = f" ({len(places)} in the graph, the first at op {op.index})" if op is not None and len(places) > 1 else ""
    tensor = f" ({refused.tensor})" if refused.tensor else ""
    return Finding(
        "refused-op",
        "refused",
        printable(f"{name}{f' op {op.index}' if op is not None and len(places) == 1 else ''} {refused.op}{tensor}"),
        printable(f"the delegate reports: {refused.reason}{count}"),
        "rewrite the operator, or leave it to the host; if the lint gate names it, see the suggested fix there",
        graph=name,
        op=op.index if op is not None and len(places) == 1 else None,
        operator=op.name if op is not None else refused.op,
        tensors=tensors,
    )


def _unfinished(name: str, run: DelegateRun, entries: Sequence[Graph]) -> Finding:
    """Makes a finding from a compilation that gave no model."""
    # The log's own error or fatal line is more informative than the exception that follows from it.
    lines = [line for line in run.error_lines if line[:1] in "EF" and line[1:5].isdigit()] or list(run.error_lines[-1:])
    message = f"{run.outcome}: {_plain(run.error)}{f': {_plain(lines[0])}' if lines else ''}"
    advice = "see the lint gate; the whole log is in the JSON output of this gate"
    if run.outcome is Outcome.TIMED_OUT:
        advice = "give it more time, or look at the lint gate alone"
    place: dict[str, object] = {}
    if match := _UNPREPARED.search("\n".join((run.error, run.log))):
        index, kind = int(match[1]), match[2]
        for graph in entries:
            if index < len(graph.ops) and graph.ops[index].name.removeprefix("CUSTOM:") == kind:
                op = graph.ops[index]
                custom = op.name.startswith("CUSTOM:")
                message = f"the runtime cannot prepare op {index} {op.name}"
                advice = (
                    "the runtime has no kernel for this custom operator: write it in builtin ones, or leave it to the host"
                    if custom
                    else "its operands or options are not valid, on the CPU either: fix the converter, or the file"
                )
                place = {"op": index, "operator": op.name, "tensors": _refs(graph, op, "")}
                break
    where = f"{name} op {place['op']} {place['operator']}" if place else name
    return Finding("compile", "refused", printable(where), printable(message), advice, graph=name, **place)  # type: ignore[arg-type]


def _names(graph: Graph, op: Op) -> set[str]:
    return {graph.tensors[t].name for t in (*op.inputs, *op.outputs) if t >= 0}


def _refs(graph: Graph, op: Op, name: str) -> tuple[TensorRef, ...]:
    """Returns the tensor of that name among an operator's operands, or its outputs."""
    beside = [graph.tensors[t] for t in dict.fromkeys((*op.inputs, *op.outputs)) if t >= 0]
    chosen = [t for t in beside if t.name == name] or [graph.tensors[t] for t in op.outputs]
    return tuple(TensorRef(t.index, t.name, t.shape, t.dtype) for t in chosen)


def _plain(line: str) -> str:
    """Strips the logger's prefix from a message: it holds a time and a thread, which differ at every run."""
    return " ".join(_LOG_PREFIX.sub("", line).split())


def _record(run: DelegateRun, entries: Sequence[Graph]) -> dict[str, object]:
    return {
        "outcome": str(run.outcome),
        "partitions": run.partitions,
        "entries": len(entries),
        "non_cpu_fully_accelerated": run.non_cpu_fully_accelerated,
        "ops_on_gpu": run.ops_on_gpu,
        "ops_on_cpu": run.ops_on_cpu,
        "compile_seconds": run.compile_seconds,
        "error": run.error,
        "error_lines": list(run.error_lines[:20]),
        "log": "" if _resident(run, entries) else run.log[-8000:],
    }
