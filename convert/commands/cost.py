"""``convert cost``: what a bundle's graphs, or a .tflite file, cost: operators, dispatches, arithmetic, memory and time."""

from __future__ import annotations

import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from detr2litert.convert.cli.base import JSON_FLAG, FiniteRange, reported
from detr2litert.convert.cli.graph_files import graph_files
from detr2litert.convert.cli.output import print_json

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rich.table import Table

    from detr2litert.verify.cost.counts import Cost, GraphCost
    from detr2litert.verify.cost.measure import Measurements, Time

_LAYER, _MODULE = "layer", "module"


@click.command(short_help="Count and time a bundle's graphs, or a .tflite.")
@click.argument("path", type=click.Path(path_type=Path))
@click.option("--gpu/--no-gpu", default=True, help="Run the graphs on the GPU, which gives dispatches and time.")
@click.option("--runs", default=5, show_default=True, type=click.IntRange(min=1), help="Timed runs; 1 on a software GPU.")
@click.option("--timeout", default=900.0, show_default=True, type=FiniteRange(min=1), help="Seconds for each graph.")
@click.option("--by", default=_LAYER, show_default=True, type=click.Choice([_LAYER, _MODULE]), help="Rows of the tables.")
@JSON_FLAG
@reported
def cost(path: Path, by: str, as_json: bool, **options: Any) -> None:
    """Count operators, GPU dispatches, MACs and bytes of each graph and form, by module, and time it.

    A dispatch is one launch on the GPU, which takes time whatever it computes.
    """
    found = cost_of_path(path, **options)
    if as_json:
        print_json(found.to_json())
    else:
        _print(found, by)


@dataclass(frozen=True)
class CostReport:
    """The command's result.

    Attributes:
        counts: graph to what was counted in its file.
        measured: what was measured by running it.
    """

    counts: Mapping[str, GraphCost]
    measured: Measurements

    def to_json(self) -> dict[str, Any]:
        """Returns plain data."""
        measured = self.measured
        return {
            "adapter": measured.adapter,
            "software_gpu": measured.software,
            "cpu_threads": measured.threads,
            "not_counted": measured.not_counted,
            "graphs": {
                name: {
                    **asdict(counts.total),
                    "dispatches": measured.graphs[name].dispatches,
                    "cpu": asdict(measured.graphs[name].cpu),
                    "gpu": asdict(measured.graphs[name].gpu),
                    "dequantized": counts.dequantized,
                    "opaque": dict(counts.opaque),
                    "modules": {module: asdict(own) for module, own in counts.modules.items()},
                }
                for name, counts in self.counts.items()
            },
        }


def cost_of_path(path: Path, gpu: bool, runs: int, timeout: float) -> CostReport:
    """Counts and measures a .tflite file, or every graph of a bundle in each of its forms.

    Args:
        path: of the file, or of the bundle's folder or .zip.
        gpu: False skips the GPU.
        runs: timed runs, see ``verify.cost.measure``.
        timeout: seconds for each graph on each processor.

    Raises:
        UserError: it is neither, or cannot be read.
    """
    with graph_files(path) as (graphs, _):
        return _cost(graphs, gpu, runs, timeout)


def _cost(graphs: Mapping[str, Path], gpu: bool, runs: int, timeout: float) -> CostReport:
    from detr2litert.convert.console import console
    from detr2litert.convert.progress import waiting
    from detr2litert.host_runtime.tflite.graph import read_entries
    from detr2litert.verify.cost.counts import cost_of
    from detr2litert.verify.cost.measure import measure
    from detr2litert.verify.delegate.driver import LEFT_OUT, NO_ADAPTER, find_driver

    entries = {name: read_entries(path) for name, path in graphs.items()}
    for name, found in entries.items():
        if len(found) > 1:
            others = ", ".join(graph.signature or "the unnamed one" for graph in found[1:])
            click.echo(f"{name}: only its first signature is measured, not {others}", err=True)
    counts = {name: cost_of(found[0]) for name, found in entries.items()}
    threads = min(4, os.cpu_count() or 1)
    with waiting(console(stderr=True), "running") as doing:
        driver = (find_driver() or NO_ADAPTER) if gpu else LEFT_OUT
        return CostReport(counts, measure(graphs, driver, runs, threads, timeout, doing))


def _print(found: CostReport, by: str) -> None:
    from detr2litert.convert.console import console
    from detr2litert.verify.printable import printable

    screen = console()
    screen.print(_graphs_table(found))
    for line in _notes(found):
        click.echo(printable(line))
    for name, counts in found.counts.items():
        click.echo()
        rows = counts.by_layer() if by == _LAYER else counts.modules
        screen.print(_modules_table(name, rows))


def _graphs_table(found: CostReport) -> Table:
    table = _table("graph", "operators", "dispatches", "MMAC", "MB weights", "MB written", "ms CPU", "ms GPU")
    for name, counts in found.counts.items():
        measured = found.measured.graphs[name]
        operators, *sizes = _cells(counts.total)
        dispatches = "–" if measured.dispatches is None else str(measured.dispatches)
        _add(table, name, operators, dispatches, *sizes, _milliseconds(measured.cpu), _milliseconds(measured.gpu))
    return table


def _modules_table(graph: str, rows: Mapping[str, Cost]) -> Table:
    table = _table(graph, "operators", "MMAC", "MB weights", "MB written")
    for module, own in rows.items():
        _add(table, module, *_cells(own))
    return table


def _table(*columns: str) -> Table:
    from rich.markup import escape
    from rich.table import Table

    table = Table(box=None, header_style="bold", pad_edge=False)
    for index, column in enumerate(columns):
        table.add_column(escape(column), justify="right" if index else "left")
    return table


def _add(table: Table, name: str, *cells: str) -> None:
    """Adds a row; a name from a file may hold anything."""
    from rich.markup import escape

    from detr2litert.verify.printable import printable

    table.add_row(escape(printable(name)), *cells)


def _cells(cost: Cost) -> tuple[str, ...]:
    sizes = (cost.macs, cost.weight_bytes, cost.written_bytes)
    return str(cost.operators), *(f"{size / 1e6:.2f}" for size in sizes)


def _milliseconds(time: Time) -> str:
    return "–" if time.milliseconds is None else f"{time.milliseconds:.1f}"


def _notes(found: CostReport) -> list[str]:
    """Returns how it was measured, and what was not and why."""
    measured = found.measured
    runs = {place: max(getattr(graph, place).runs for graph in measured.graphs.values()) for place in ("cpu", "gpu")}
    lines = []
    if runs["cpu"]:
        lines.append(f"CPU: {measured.threads} threads, median of {runs['cpu']}")
    if runs["gpu"]:
        software = ", a software GPU: its time says nothing about a phone's" if measured.software else ""
        lines.append(f"GPU: {measured.adapter}, median of {runs['gpu']}{software}")
    if measured.not_counted:
        lines.append(f"dispatches not counted: {measured.not_counted}")
    for name, graph in measured.graphs.items():
        for place, time in (("CPU", graph.cpu), ("GPU", graph.gpu)):
            if time.missing not in ("", measured.not_counted):
                lines.append(f"{name}: not run on the {place}: {time.missing}")
        if opaque := found.counts[name].opaque:
            kinds = ", ".join(f"{count} {kind}" for kind, count in opaque.items())
            lines.append(f"{name}: without the MACs, if any, inside {kinds}")
    return lines
