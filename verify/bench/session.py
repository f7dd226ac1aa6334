"""One run of the command: loads the contenders, times them in turns, then in a pipeline and by size, and compares them."""

from __future__ import annotations

import datetime
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

from detr2litert.verify.bench.budget import judge_budget, variant_sizes
from detr2litert.verify.bench.compare import compare_in_turns, require_comparable
from detr2litert.verify.bench.contender import BatchContender, Contender
from detr2litert.verify.bench.interleave import WARM_UP, Frames, run_in_turns, time_frame
from detr2litert.verify.bench.machine import describe_machine, load_average
from detr2litert.verify.bench.pictures import pictures_sha256
from detr2litert.verify.bench.pipeline import Pipelined, run_pipeline
from detr2litert.verify.bench.record import BenchRecord, ContenderRecord
from detr2litert.verify.bench.scaling import Scaled, run_batches, run_workers
from detr2litert.verify.gates import Doing, unheard

NOT_SCALED = "batches are measured of ONNX files, threads of bundles"


@dataclass(frozen=True)
class Entry:
    """A contender that is still to be loaded.

    Attributes:
        name: of the contender.
        make: loads it, for so many CPU threads.
        workers: whether ``Plan.sizes`` are numbers of threads for it, each of which loads its own.
    """

    name: str
    make: Callable[[int], Contender]
    workers: bool = False


@dataclass(frozen=True)
class Plan:
    """How to measure.

    Attributes:
        runs, warm_up: timed and untimed frames of each contender.
        threads: of the CPU's kernels.
        seed: of the order of the turns, and of the bootstrap's draws.
        sizes: batch sizes of an ONNX file, threads of a bundle; empty for none.
        preload: also run each contender in a pipeline.
        budget: milliseconds for the first contender's p95; None for none.
        chosen: fields of ``Setup`` in which contenders may differ because the user asked for it.
        despite: compare them whatever differs.
    """

    runs: int
    threads: int
    warm_up: int = WARM_UP
    seed: int = 0
    sizes: tuple[int, ...] = ()
    preload: bool = False
    budget: float | None = None
    chosen: frozenset[str] = frozenset()
    despite: bool = False


def run_bench(entries: Sequence[Entry], pictures: tuple[Path, ...], plan: Plan, doing: Doing = unheard) -> BenchRecord:
    """Measures all entries.

    Args:
        entries: at least one, of different names.
        pictures: at least one file.
        plan: how.
        doing: called with a description of the progress.

    Raises:
        UserError: a contender cannot be loaded or cannot compute a picture, or the set-ups differ.
    """
    machine = describe_machine()
    with ExitStack() as opened:
        contenders, start_up = _load(entries, plan, opened, doing)
        start_up = [
            seconds + _seconds(lambda one=contender: time_frame(one, pictures[0]))  # type: ignore[misc]
            for seconds, contender in zip(start_up, contenders, strict=True)
        ]
        frames = run_in_turns(contenders, pictures, plan.runs, warm_up=plan.warm_up, seed=plan.seed, doing=doing)
        pipelines = [_pipeline(contender, pictures, plan, doing) for contender in contenders]
        records = [
            _record(contender, seconds, found, pipelined)
            for contender, seconds, found, pipelined in zip(contenders, start_up, frames, pipelines, strict=True)
        ]
        records = [
            _with_batches(record, contender, pictures, plan, doing)
            for record, contender in zip(records, contenders, strict=True)
        ]
    records = [_with_workers(record, entry, pictures, plan, doing) for record, entry in zip(records, entries, strict=True)]
    record = BenchRecord(
        created=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        machine=machine,
        load_after=load_average(),
        pictures=len(pictures),
        pictures_sha256=pictures_sha256(pictures),
        runs=plan.runs,
        warm_up=plan.warm_up,
        seed=plan.seed,
        contenders=tuple(records),
        comparisons=tuple(compare_in_turns(records, plan.chosen, plan.seed)),
    )
    return record if plan.budget is None else _with_budget(record, plan.budget)


def _load(entries: Sequence[Entry], plan: Plan, opened: ExitStack, doing: Doing) -> tuple[list[Contender], list[float]]:
    """Loads every contender, and checks the set-ups before anything runs; returns the seconds that each took, too."""
    contenders: list[Contender] = []
    seconds = []
    for entry in entries:
        doing(f"{entry.name}: loading")
        start = time.perf_counter()
        contender = entry.make(plan.threads)
        seconds.append(time.perf_counter() - start)
        opened.callback(contender.close)
        contenders.append(contender)
    require_comparable([(one.name, one.setup) for one in contenders], plan.chosen, plan.despite)
    return contenders, seconds


def _record(contender: Contender, seconds: float, frames: Frames, pipelined: Pipelined | None) -> ContenderRecord:
    return ContenderRecord(
        contender.name, contender.setup, contender.notes, contender.variant, seconds * 1e3, frames, pipelined
    )


def _pipeline(contender: Contender, pictures: tuple[Path, ...], plan: Plan, doing: Doing) -> Pipelined | None:
    if not plan.preload:
        return None
    doing(f"{contender.name}: in a pipeline")
    return run_pipeline(contender, pictures, plan.runs)


def _with_batches(
    record: ContenderRecord, contender: Contender, pictures: tuple[Path, ...], plan: Plan, doing: Doing
) -> ContenderRecord:
    if not plan.sizes:
        return record
    if not isinstance(contender, BatchContender):
        return replace(record, not_scaled=NOT_SCALED)
    rows, reason = run_batches(contender, pictures, plan.runs, plan.sizes, seed=plan.seed, doing=doing)
    return replace(record, scaled=tuple(rows), not_scaled=reason)


def _with_workers(
    record: ContenderRecord, entry: Entry, pictures: tuple[Path, ...], plan: Plan, doing: Doing
) -> ContenderRecord:
    if not plan.sizes or not entry.workers:
        return record

    def make(workers: int) -> Contender:
        # All together have the threads that one alone has, and each at least one.
        return entry.make(max(1, plan.threads // workers))

    rows: list[Scaled] = run_workers(make, pictures, plan.runs, plan.sizes, doing=lambda what: doing(f"{entry.name}: {what}"))
    return replace(record, scaled=tuple(rows), not_scaled="")


def _with_budget(record: BenchRecord, milliseconds: float) -> BenchRecord:
    first = record.contenders[0]
    frames = {contender.name: contender.frames.stages for contender in record.contenders}
    pixels = first.setup.height * first.setup.width
    return replace(record, budget=judge_budget(milliseconds, first.name, frames, first.variant, pixels, variant_sizes()))


def _seconds(action: Callable[[], object]) -> float:
    start = time.perf_counter()
    action()
    return time.perf_counter() - start
