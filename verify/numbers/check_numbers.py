"""The gate "numbers" of ``convert check``: the delegate's outputs equal the CPU's, on inputs of several magnitudes.

It needs no rule and no reference of the model's author, so it finds what the lint does not know; what it finds is matched with
the lint's rules afterwards. It judges what it computed: other inputs may show what these do not.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from detr2litert.host_runtime.scratch import scratch_folder
from detr2litert.host_runtime.tflite.graph import Graph, read_entries, read_graph
from detr2litert.verify.arrays import Arrays
from detr2litert.verify.delegate.adapters import Driver
from detr2litert.verify.delegate.driver import NO_ADAPTER, NoGpu
from detr2litert.verify.delegate.run import DelegateRun, Job, Outcome, run_models
from detr2litert.verify.gates import Doing, Finding, GateResult, Measurement, TensorRef, Verdict, unheard
from detr2litert.verify.lint.op_lint import lint_file
from detr2litert.verify.numbers.compare import LIMIT, LIMIT_FP16, compare, failing, sensitive, worse
from detr2litert.verify.numbers.extract import write_entry
from detr2litert.verify.numbers.first_wrong import FirstWrong, first_wrong
from detr2litert.verify.numbers.inputs import GIVEN, moved, random_inputs, read_inputs
from detr2litert.verify.numbers.reference import write_reference
from detr2litert.verify.parity.figures import describe
from detr2litert.verify.parity.locate import LocateError
from detr2litert.verify.parity.metrics import Difference
from detr2litert.verify.printable import printable

_OPS_SHOWN = 6
_SHORT = 5.0  # seconds of a run after which the outputs can be read at once
_CPU = "the CPU cannot run it on random inputs"
_UNKNOWN = "not known: please report it with that file; until then rewrite these operators in another form"


@dataclass
class _Entry:
    """One entry of a file and what was computed with it."""

    name: str
    path: Path
    graph: Graph
    sets: Mapping[str, Arrays]
    cpu: DelegateRun | None = None
    runs: dict[str, DelegateRun] = field(default_factory=dict)
    worst: dict[tuple[str, str], Difference] = field(default_factory=dict)  # by precision and output
    bad: dict[str, tuple[int, str, Difference]] = field(default_factory=dict)  # by precision: set, output
    unjudged: list[str] = field(default_factory=list)


def check_numbers(
    graphs: Mapping[str, Path],
    *,
    gpu: Driver | NoGpu = NO_ADAPTER,
    fp16: Driver | NoGpu | None = None,
    inputs: Path | None = None,
    rules: Sequence[str] = (),
    parts: Path | None = None,
    timeout: float = 900.0,
    doing: Doing = unheard,
) -> GateResult:
    """Compares every entry of every file on the delegate with the CPU.

    Args:
        graphs: name in the report to file.
        gpu: how to reach it, in fp32, or why there is none.
        fp16: how to reach an adapter that computes in fp16; None leaves it out. What differs in fp16 alone is a risk.
        inputs: an .npz file with a set of inputs by signature name, compared on in addition.
        rules: of the lint, that hold for the target besides the general ones.
        parts: folder for the smallest graphs that show what no rule knows [default: the current one].
        timeout: seconds for each file.
        doing: called with a description of each computation.

    Returns:
        FAILED where an output differs or the delegate ends the process; NOT_RUN without an adapter, or where nothing could be
        judged; else PASSED. What the delegate refuses is the residency gate's.

    Raises:
        UserError: a file is not a readable LiteRT model, or ``inputs`` do not fit it.
    """
    start = time.perf_counter()
    driver, no_gpu = (None, gpu) if isinstance(gpu, NoGpu) else (gpu, NO_ADAPTER)
    with scratch_folder() as work:
        entries = [entry for name, path in graphs.items() for entry in _entries(name, path, inputs, work)]
        if driver is None:
            return _not_run(no_gpu.reason, no_gpu.advice, start)
        doing("the inputs on the CPU")
        _run_cpu(entries, work, timeout)
        adapters = {"fp32": driver} | ({"fp16": fp16} if isinstance(fp16, Driver) else {})
        for precision, one in adapters.items():
            doing(f"the inputs in {precision} on {one.adapter.name}")
            _run_gpu(entries, one, precision, timeout)
        if any(entry.runs["fp32"].outcome is Outcome.NO_ADAPTER for entry in entries):
            return _not_run(NO_ADAPTER.reason, NO_ADAPTER.advice, start)
        findings = []
        for entry in entries:
            doing(f"{entry.name}: finding the first operator that differs")
            findings += _findings(entry, driver, rules, parts or Path.cwd(), work, timeout)
    return _result(entries, findings, adapters, time.perf_counter() - start)


def outcomes(graphs: Mapping[str, Path], driver: Driver, *, timeout: float = 120.0) -> dict[str, str]:
    """Says of each file what the delegate does with it, in fp32 on random inputs, without looking for the place.

    Returns:
        By name: ``"right"``, ``"wrong"``, ``"died"``, ``"refused"`` or ``"not judged"``; of several entries the worst.
    """
    with scratch_folder() as work:
        entries = [(name, entry) for name, path in graphs.items() for entry in _entries(name, path, None, work)]
        _run_cpu([entry for _, entry in entries], work, timeout)
        _run_gpu([entry for _, entry in entries], driver, "fp32", timeout)
    order = ("right", "not judged", "refused", "wrong", "died")
    found = dict.fromkeys(graphs, order[0])
    for name, entry in entries:
        found[name] = max(found[name], _outcome(entry), key=order.index)
    return found


def _outcome(entry: _Entry) -> str:
    run = entry.runs["fp32"]
    if run.outcome is Outcome.DIED:
        return "died"
    if not run.ok:
        return "refused"
    if "fp32" in entry.bad:
        return "wrong"
    return "right" if entry.worst else "not judged"


def _entries(name: str, path: Path, inputs: Path | None, work: Path) -> list[_Entry]:
    found = []
    graphs = read_entries(path)
    for position, graph in enumerate(graphs):
        label = name if len(graphs) == 1 else f"{name}:{graph.signature or f'subgraph {position}'}"
        if not graph.ops:
            continue
        own = write_entry(path, position, work / f"entry_{len(list(work.iterdir()))}.tflite")
        entry = replace(read_graph(own), name=label)
        sets = dict(random_inputs(entry))
        if inputs is not None:
            sets = {GIVEN: read_inputs(inputs, entry), **sets}
        found.append(_Entry(label, own, entry, sets))
    return found


def _run_cpu(entries: Sequence[_Entry], work: Path, timeout: float) -> None:
    """Runs every set, and every set moved by roundings."""
    jobs = []
    for index, entry in enumerate(entries):
        given = tuple(entry.sets.values())
        reference = write_reference(entry.path, work / f"reference_{index}.tflite")
        jobs.append(Job(reference, (*given, *(moved(values) for values in given))))
    for entry, run in zip(entries, run_models(jobs, accelerator="cpu", timeout=timeout), strict=True):
        entry.cpu = run


def _run_gpu(entries: Sequence[_Entry], driver: Driver, precision: str, timeout: float) -> None:
    jobs = [Job(entry.path, tuple(entry.sets.values())) for entry in entries]
    runs = run_models(jobs, driver=driver, enforce_f32=precision == "fp32", timeout=timeout)
    limit = LIMIT if precision == "fp32" else LIMIT_FP16
    for entry, run in zip(entries, runs, strict=True):
        entry.runs[precision] = run
        if run.ok and entry.cpu is not None and entry.cpu.ok:
            _judge(entry, run, entry.cpu, precision, limit)


def _judge(entry: _Entry, run: DelegateRun, cpu: DelegateRun, precision: str, limit: float) -> None:
    count = len(entry.sets)
    for index, about in enumerate(entry.sets):
        reference, again = cpu.outputs[index], cpu.outputs[count + index]
        found = compare(run.outputs[index], reference, limit)
        unsure = sensitive(reference, again, limit)
        # In fp16 a large input overflows by itself; --inputs has the user's own range.
        skipped = precision == "fp16" and "magnitude 8" in about
        for name in reference:
            if name not in found or name in unsure or skipped:
                if precision == "fp32":
                    entry.unjudged.append(f"{name} ({about})")
                continue
            key = (precision, name)
            entry.worst[key] = worse(entry.worst.get(key), found[name])
            if failing({name: found[name]}, limit) and precision not in entry.bad:
                entry.bad[precision] = (index, name, found[name])


def _findings(entry: _Entry, driver: Driver, rules: Sequence[str], parts: Path, work: Path, timeout: float) -> list[Finding]:
    run, cpu = entry.runs["fp32"], entry.cpu
    if cpu is None or not cpu.ok:
        return []
    if run.outcome is Outcome.DIED:
        return [_finding(entry, f"the delegate ends the process: {run.death}", None, rules, parts)]
    found = []
    if "fp32" in entry.bad:
        index, output, difference = entry.bad["fp32"]
        about = list(entry.sets)[index]
        message = f"{output} differs from the CPU, {about}: {describe(difference)} (limit {LIMIT})"
        try:
            place = first_wrong(
                entry.path, entry.sets[about], output, driver, work,
                limit=LIMIT, timeout=timeout, settle=max(run.run_seconds) > _SHORT,
            )  # fmt: skip
        except LocateError as error:
            place, message = None, f"{message}; {error}"
        found.append(_finding(entry, message, place, rules, parts))
    elif "fp16" in entry.bad:
        index, output, difference = entry.bad["fp16"]
        message = f"{output} differs from the CPU in fp16 only, {list(entry.sets)[index]}: {describe(difference)}"
        advice = "phones compute in fp16: give your own inputs with --inputs, and see what overflows or cancels"
        if any(op.name == "TOPK_V2" for op in entry.graph.ops):
            advice = "it has a top-k, and in fp16 nearly equal scores change places: judge detections, as `convert run` does"
        found.append(Finding("numbers-fp16", "risk", printable(entry.name), printable(message), advice, graph=entry.name))
    return found


def _finding(entry: _Entry, message: str, place: FirstWrong | None, rules: Sequence[str], parts: Path) -> Finding:
    """Makes the finding and matches it with the lint's: on the smallest part if there is one, else on the whole entry."""
    graph = entry.graph
    file = place.part if place is not None else entry.path
    known = sorted({f.rule for f in lint_file(file, add=rules) if f.severity in ("wrong", "refused")})
    op = graph.ops[place.op] if place is not None else None
    kinds = " > ".join(f"{i} {graph.ops[i].name}" for i in place.ops[-_OPS_SHOWN:]) if place is not None else ""
    if kinds:
        message = f"{message}; first wrong at op {op.index if op else '?'}, needed to see it: {kinds}"
    if known:
        advice = f"known: {', '.join(known)}; the lint's finding has the suggested fix"
    elif place is not None:
        parts.mkdir(parents=True, exist_ok=True)
        kept = parts / f"{_safe(entry.name)}-op{place.op}.tflite"
        shutil.copyfile(place.part, kept)
        advice = f"{_UNKNOWN}; the smallest graph is in {kept}"
    else:
        advice = f"{_UNKNOWN.replace('with that file', 'with this file')}"
    tensors = tuple(
        TensorRef(t.index, t.name, t.shape, t.dtype) for t in (graph.tensors[i] for i in (op.outputs if op else ()))
    )
    return Finding(
        "numbers", "wrong", printable(f"{entry.name}{f' op {op.index} {op.name}' if op else ''}"), printable(message), advice,
        graph=entry.name, op=op.index if op else None, operator=op.name if op else "", tensors=tensors,
        why=f"matches {', '.join(known)}" if known else "no rule of the lint matches",
    )  # fmt: skip


def _safe(name: str) -> str:
    return "".join(c if c.isascii() and (c.isalnum() or c in "-_.") else "_" for c in name)[:80]


def _not_run(reason: str, advice: str, start: float) -> GateResult:
    summary = f"{reason}: nothing was compared"
    return GateResult("numbers", Verdict.NOT_RUN, summary, advice=advice, seconds=time.perf_counter() - start)


def _result(
    entries: Sequence[_Entry], findings: Sequence[Finding], adapters: Mapping[str, Driver], seconds: float
) -> GateResult:
    judged = [entry for entry in entries if entry.worst or any(f.graph == entry.name for f in findings)]
    failed = any(finding.severity == "wrong" for finding in findings)
    broken = [entry for entry in entries if entry.cpu is not None and not entry.cpu.ok]
    verdict = Verdict.FAILED if failed else Verdict.PASSED if judged and len(judged) == len(entries) else Verdict.NOT_RUN
    measurements = [
        figure
        for entry in entries
        for (precision, output), worst in entry.worst.items()
        for figure in _figures(f"{entry.name} / {output}: {precision} vs CPU", worst, precision)
    ]
    wrong = sum(bool(entry.bad.get("fp32")) or entry.runs["fp32"].outcome is Outcome.DIED for entry in entries)
    summary = f"{len(judged) - wrong} of {len(entries)} graphs equal the CPU ({', '.join(adapters)})"
    if unjudged := sum(len(entry.unjudged) for entry in entries):
        summary += f"; {unjudged} outputs not judged: undefined or decided by roundings"
    advice = ""
    if failed:
        first = next(finding for finding in findings if finding.severity == "wrong")
        advice = f"{first.place}: {first.message}; {first.advice}"
    elif verdict is Verdict.NOT_RUN:
        advice = (
            f"{_CPU}: {broken[0].cpu.error if broken[0].cpu else ''}; give a set with --inputs"
            if broken
            else _unjudged(entries)
        )
    return GateResult(
        "numbers", verdict, printable(summary), advice=printable(advice), measurements=tuple(measurements),
        findings=tuple(findings), seconds=seconds, data={"graphs": {entry.name: _record(entry) for entry in entries}},
    )  # fmt: skip


def _unjudged(entries: Sequence[_Entry]) -> str:
    if any(not entry.runs["fp32"].ok for entry in entries):
        return "the delegate does not run it: see the residency gate"
    return "no output could be judged on random inputs: give a set with --inputs"


def _figures(subject: str, worst: Difference, precision: str) -> tuple[Measurement, ...]:
    limit = LIMIT if precision == "fp32" else None  # fp16 is reported as a risk
    return (
        Measurement(subject, "correlation", worst.correlation, limit),
        Measurement(subject, "max_abs_error", worst.max_abs_error, at_least=False),
    )


def _record(entry: _Entry) -> dict[str, Any]:
    return {
        "sets": list(entry.sets),
        "outcomes": {precision: str(run.outcome) for precision, run in entry.runs.items()},
        "worst": {f"{precision} {output}": found.as_dict() for (precision, output), found in entry.worst.items()},
        "not_judged": entry.unjudged,
    }
