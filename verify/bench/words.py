"""A run in words, for the terminal and the page alike."""

from __future__ import annotations

from detr2litert.verify.bench.budget import Budget
from detr2litert.verify.bench.machine import Machine
from detr2litert.verify.bench.pipeline import Pipelined
from detr2litert.verify.bench.ratio import LEAST
from detr2litert.verify.bench.record import BenchRecord, Comparison, ContenderRecord
from detr2litert.verify.bench.scaling import WORKERS, best
from detr2litert.verify.bench.setup import Setup
from detr2litert.verify.bench.stages import FRAME, summarise

_BUSY = 0.25
"""Share of the cores that other programs may keep busy before a run is called disturbed."""


def machine_line(machine: Machine, load_after: float) -> str:
    """Describes the machine, with its load before and after the run."""
    hardware = f"{machine.cpu or 'unnamed CPU'}, {machine.cores} cores, {machine.memory_bytes / 1e9:.0f} GB"
    load = f"load {machine.load:.1f} before, {load_after:.1f} after"
    return f"{hardware}, {machine.system}; governor {machine.governor}; {load}"


def versions_line(machine: Machine) -> str:
    """Lists the versions of the software."""
    return ", ".join(f"{name} {version}" for name, version in machine.versions.items())


def busy_line(machine: Machine) -> str:
    """Warns of a machine that was busy before the run; "" if it was not."""
    if machine.load <= _BUSY * machine.cores:
        return ""
    return (
        f"the machine was busy before the run (a load of {machine.load:.1f} on {machine.cores} cores): its times are too high "
        "and scatter"
    )


def contender_line(contender: ContenderRecord) -> str:
    """Names a contender and describes its set-up."""
    line = setup_line(contender.setup)
    return f"{contender.name}: {line.removeprefix(f'{contender.name} ')}"


def setup_line(setup: Setup) -> str:
    """Describes what a contender ran on."""
    place = (
        "the CPU" if setup.accelerator == "cpu" else f"{setup.device} ({setup.driver}{', software' if setup.software else ''})"
    )
    form = f"{setup.form} form, " if setup.form else ""
    return (
        f"{setup.engine} on {place}, {form}{count(setup.threads, 'CPU thread')}, {setup.precision}, "
        f"{setup.height} × {setup.width}"
    )


def frames_line(record: BenchRecord, contender: ContenderRecord) -> str:
    """Describes a contender's frames."""
    found = contender.frames.detections / record.runs
    return (
        f"{count(record.runs, 'frame')} of {count(record.pictures, 'picture')} after {record.warm_up} to warm up, "
        f"{found:.1f} detections a frame; {contender.start_up_ms:.0f} ms from loading to the first detections"
    )


def comparison_line(comparison: Comparison) -> str:
    """Describes a ratio and its interval."""
    ratio = comparison.ratio
    verdict = "" if ratio.decided else "; no difference is shown, as the interval holds 1"
    if ratio.frames < LEAST:
        verdict = f"; of {count(ratio.frames, 'frame')}, too few for an interval, so no difference is shown"
    how = "in turns" if ratio.paired else "from a saved record, not in turns"
    return (
        f"{comparison.part}: {comparison.first} takes {ratio.value:.3f} × the time of {comparison.second} "
        f"(95 %: {ratio.low:.3f} to {ratio.high:.3f}; {how}){verdict}"
    )


def pipeline_line(contender: ContenderRecord, pipelined: Pipelined) -> str:
    """Describes a pipeline beside the frames one after the other."""
    alone = contender.frames.stages[FRAME]
    latency = summarise(pipelined.latency)
    return (
        f"with the next picture pre-loaded: {pipelined.frames_per_second:.1f} frames a second (one after the other: "
        f"{1e3 * len(alone) / sum(alone):.1f}); latency of a frame: median {latency.median:.2f} ms, p95 {latency.p95:.2f} "
        f"(one after the other: {summarise(alone).median:.2f})"
    )


def best_line(contender: ContenderRecord) -> str:
    """Names the size with the most frames a second."""
    row = best(contender.scaled)
    what = count(row.size, "thread") if row.kind == WORKERS else f"batch {row.size}"
    return f"best: {what}, {row.frames_per_second:.1f} frames a second, {row.against_one:.2f} × of 1"


def budget_line(budget: Budget) -> str:
    """Says whether a budget is kept on this machine, and by what else."""
    verdict = "kept" if budget.kept else "not kept"
    head = f"budget {budget.milliseconds:g} ms: {verdict} by {budget.contender}, p95 {budget.p95:.2f} ms"
    if budget.kept:
        return head
    if budget.measured:
        head += f"; kept by {', '.join(budget.measured)}"
    if budget.smaller is None:
        return f"{head}; no smaller variant of its family would keep it, as far as can be estimated"
    smaller = budget.smaller
    return (
        f"{head}; {smaller.variant} at {smaller.height} × {smaller.width} would take about {smaller.p95:.0f} ms, an estimate "
        f"from its {100 * smaller.share:.0f} % of the multiply-adds: convert it and measure"
    )


def count(number: int, noun: str) -> str:
    """Returns ``"1 frame"``, ``"2 frames"``."""
    return f"{number} {noun}{'' if number == 1 else 's'}"
