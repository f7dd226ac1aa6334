"""Renders a benchmark as Markdown tables."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TypeVar

from detr2litert.host_runtime.manifest import NATIVE_SUFFIX
from tools.benchmark.frame_tables import frame_parts
from tools.benchmark.record import Record, VariantRecord

_SAMPLING_TEXT = (
    "The modules that sample in deformable attention, all decoder layers together. *Unfolded* samples each point and weights "
    "the samples; *folded*, which ships, puts the weights into the interpolation matrix first. MACs of its matmuls, operations "
    "of the rest, and bytes of every float32 tensor it writes, counted from the rewritten graphs:"
)
_GRAPHS = ("graph_a", "graph_b")
_FORMS = {"tent": "unfolded", "folded-tent": "folded"}
"""Names of ``rewrites.profile.Sampling``, whose import would load PyTorch."""


def render(record: Record) -> str:
    """Renders all tables, with the information needed to reproduce them."""
    random = [name for name, entry in record.variants.items() if entry.conversion.random_weights]
    weights = f" Weights of {' and '.join(random)} are random: none were available, and no shape depends on them."
    parts = [
        _machine_line(record),
        f"Conversion: `convert run --target {record.target} --no-gpu`, seconds. The stages are those of the fastest run, and "
        "the time of every run is given. Residency and the GPU's half of the numerics gate are left out. Memory is the largest "
        "resident set of any one process." + (weights if random else ""),
        _conversion_table(record),
        "Result, portable / native form; a graph without operators of the delegate's own has one file for both:",
        _table(record, _OUTPUT_ROWS),
        *_gpu_parts(record),
        *frame_parts(record),
        _SAMPLING_TEXT,
        _table(record, _sampling_rows()),
    ]
    return "\n\n".join(parts)


Cell = Callable[[VariantRecord], str]
Figure = TypeVar("Figure")


def _table(record: Record, rows: Iterable[tuple[str, Cell]]) -> str:
    lines = [["", *record.variants], ["---", *("--:" for _ in record.variants)]]
    lines += [[label, *(cell(entry) for entry in record.variants.values())] for label, cell in rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _conversion_table(record: Record) -> str:
    names = dict.fromkeys(name for entry in record.variants.values() for name in entry.conversion.stages)
    rows: list[tuple[str, Cell]] = [(name, _stage_cell(name)) for name in names]
    rows.append(("**whole process, fastest**", lambda entry: f"**{entry.conversion.seconds:.1f}**"))
    rows.append(("whole process, each run", lambda entry: ", ".join(f"{run.seconds:.1f}" for run in entry.conversions)))
    rows.append(("**peak memory**", lambda entry: f"**{max(run.peak_bytes for run in entry.conversions) / 1e9:.2f} GB**"))
    return _table(record, rows)


def _stage_cell(name: str) -> Cell:
    return lambda entry: f"{entry.conversion.stages[name]:.1f}" if name in entry.conversion.stages else ""


def _graph_cell(figures: str, graph: str, form: Callable[[int], str]) -> Cell:
    return lambda entry: _both(getattr(entry.conversion, figures), graph, form)


def _both(figures: Mapping[str, Figure], graph: str, form: Callable[[Figure], str]) -> str:
    """Formats a graph's figure in the portable and, if it has a file of its own, the native form."""
    names = [name for name in (graph, graph + NATIVE_SUFFIX) if name in figures]
    return " / ".join(form(figures[name]) for name in names)


def _gpu_parts(record: Record) -> list[str]:
    """Renders the dispatches and, on a GPU that is one, the times; one line where nothing ran on a GPU."""
    graphs = next(iter(record.variants.values())).graphs
    if not graphs.adapter:
        return [f"Dispatches were not counted: {graphs.not_counted}."]
    text = f"Dispatches of a run on the GPU delegate ({graphs.adapter}), portable / native form"
    rows = [(f"dispatches of graph {graph[-1].upper()}", _dispatch_cell(graph)) for graph in _GRAPHS]
    if graphs.not_counted:
        text, rows = f"Dispatches were not counted: {graphs.not_counted}. On the GPU delegate ({graphs.adapter})", []
    if not graphs.software:
        text += ", and milliseconds, median, reading of the outputs included"
        rows += [(f"graph {graph[-1].upper()}, ms", _gpu_cell(graph)) for graph in _GRAPHS]
    return [f"{text}:", _table(record, rows)] if rows else [f"{text}."]


def _dispatch_cell(graph: str) -> Cell:
    return lambda entry: _both(entry.graphs.graphs, graph, lambda found: _or_dash(found.dispatches))


def _gpu_cell(graph: str) -> Cell:
    return lambda entry: _both(entry.graphs.graphs, graph, lambda found: _or_dash(found.gpu.milliseconds))


def _or_dash(figure: float | None) -> str:
    return "–" if figure is None else f"{figure:.2f}" if isinstance(figure, float) else str(figure)


_OUTPUT_ROWS: Sequence[tuple[str, Cell]] = (
    ("operators of graph A", _graph_cell("ops", "graph_a", str)),
    ("operators of graph B", _graph_cell("ops", "graph_b", str)),
    ("graph A, fp16 weights", _graph_cell("file_bytes", "graph_a", lambda size: f"{size / 1e6:.1f} MB")),
    ("graph B, fp16 weights", _graph_cell("file_bytes", "graph_b", lambda size: f"{size / 1e6:.1f} MB")),
)


def _sampling_rows() -> list[tuple[str, Cell]]:
    rows: list[tuple[str, Cell]] = []
    for figure, label, unit in (("macs", "MMAC", 1e6), ("elementwise", "other Mop", 1e6), ("bytes", "MB", 1e6)):
        rows += [(f"{label}, {word}", _cost_cell(form, figure, unit)) for form, word in _FORMS.items()]
    return rows


def _cost_cell(form: str, figure: str, unit: float) -> Cell:
    return lambda entry: f"{getattr(entry.sampling[form], figure) / unit:.1f}"


def _machine_line(record: Record) -> str:
    machine = record.machine
    versions = ", ".join(f"{name} {version}" for name, version in machine.versions.items())
    hardware = f"{machine.cpu or 'unnamed CPU'}, {machine.cores} cores, {machine.memory_bytes / 1e9:.0f} GB"
    return (
        f"Measured on {machine.date}: {hardware}, {machine.system}; {versions}. "
        f"Load when it began: {machine.load:.1f} busy cores."
    )
