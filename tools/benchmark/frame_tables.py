"""Renders the times of whole frames as Markdown, a table a detector."""

from __future__ import annotations

from collections.abc import Sequence

from detr2litert.verify.bench.record import BenchRecord, Comparison, ContenderRecord
from detr2litert.verify.bench.stages import FRAME, STAGES
from detr2litert.verify.bench.words import count, setup_line
from tools.benchmark.frames import PICTURE_SIZE
from tools.benchmark.record import Record


def frame_parts(record: Record) -> list[str]:
    """Returns a paragraph and a table for each detector."""
    parts = [
        "Frames: `detr2litert bench BUNDLE --against FILE.onnx --against pytorch` and `bench BUNDLE --accelerator gpu`, "
        f"from a JPEG file of {PICTURE_SIZE[0]} × {PICTURE_SIZE[1]} pixels to detections. Milliseconds, median / 95th "
        "percentile. *Bundle against it*: the bundle's frame on the CPU as a multiple of that one, the two in turns, with a "
        "95 % interval."
    ]
    for name, entry in record.variants.items():
        runs = [entry.frames.cpu] if entry.frames.gpu is None else [entry.frames.cpu, entry.frames.gpu]
        parts += [f"{name}, {_runs(runs)}{_without(entry.frames.no_gpu)}:", _table(name, runs)]
    return parts


def _runs(runs: Sequence[BenchRecord]) -> str:
    """Describes the sizes of the runs, with the load under which they were taken."""
    return " and ".join(
        f"{count(run.runs, 'frame')} on the {run.contenders[0].setup.accelerator.upper()} after {run.warm_up} to warm up "
        f"(load when it began: {run.machine.load:.1f})"
        for run in runs
    )


def _without(no_gpu: str) -> str:
    return f"; not on a GPU: {no_gpu}" if no_gpu else ""


def _table(name: str, runs: Sequence[BenchRecord]) -> str:
    columns = [(contender, run) for run in runs for contender in run.contenders]
    lines = [["", *(_head(name, contender) for contender, _ in columns)], ["---", *("--:" for _ in columns)]]
    for stage in (*STAGES, FRAME):
        cells = [_cell(contender, stage) for contender, _ in columns]
        if any(cells):
            lines.append([stage, *cells])
    lines.append(["bundle against it", *(_ratio(contender, run) for contender, run in columns)])
    lines.append(["to the first detections", *(f"{contender.start_up_ms:.0f}" for contender, _ in columns)])
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _head(name: str, contender: ContenderRecord) -> str:
    line = setup_line(contender.setup)
    return f"{name}: {line}" if contender.setup.form else line


def _cell(contender: ContenderRecord, stage: str) -> str:
    summary = contender.summary.get(stage)
    return "" if summary is None else f"{summary.median:.2f} / {summary.p95:.2f}"


def _ratio(contender: ContenderRecord, run: BenchRecord) -> str:
    found: Sequence[Comparison] = [one for one in run.comparisons if one.second == contender.name and one.part == FRAME]
    return "".join(f"{one.ratio.value:.2f} × ({one.ratio.low:.2f} to {one.ratio.high:.2f})" for one in found)
