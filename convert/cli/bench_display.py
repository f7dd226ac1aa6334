"""Prints a run of ``detr2litert bench``."""

from __future__ import annotations

from collections.abc import Iterable

import click
from rich.markup import escape
from rich.table import Table

from detr2litert.convert.console import console
from detr2litert.verify.bench import words
from detr2litert.verify.bench.record import BenchRecord, ContenderRecord
from detr2litert.verify.printable import printable


def print_record(record: BenchRecord) -> None:
    """Prints machine, contenders, comparisons and budget."""
    _line(f"machine: {words.machine_line(record.machine, record.load_after)}")
    _line(f"versions: {words.versions_line(record.machine)}")
    if busy := words.busy_line(record.machine):
        _line(f"note: {busy}")
    for contender in record.contenders:
        click.echo()
        _print_contender(record, contender)
    if record.comparisons:
        click.echo()
    for comparison in record.comparisons:
        _line(words.comparison_line(comparison))
        if comparison.differences:
            _line(f"  although these differ: {'; '.join(comparison.differences)}")
    if record.budget is not None:
        click.echo()
        _line(words.budget_line(record.budget))


def _print_contender(record: BenchRecord, contender: ContenderRecord) -> None:
    _line(words.contender_line(contender))
    _line(words.frames_line(record, contender))
    for note in contender.notes:
        _line(f"note: {note}")
    summary = contender.summary.items()
    print_table(
        ("milliseconds", "median", "p95", "p99"), ((stage, *map(_ms, (s.median, s.p95, s.p99))) for stage, s in summary)
    )
    if contender.pipelined is not None:
        _line(words.pipeline_line(contender, contender.pipelined))
    if contender.scaled:
        heads = (contender.scaled[0].kind, "frames a second", "against 1", "batch ms", "frame ms")
        print_table(
            heads,
            (
                (
                    str(row.size),
                    f"{row.frames_per_second:.1f}",
                    f"{row.against_one:.2f} ×",
                    "–" if row.batch_ms is None else _ms(row.batch_ms),
                    _ms(row.frame_ms),
                )
                for row in contender.scaled
            ),
        )
        _line(words.best_line(contender))
    elif contender.not_scaled:
        _line(f"no batches or threads: {contender.not_scaled}")


def print_table(heads: Iterable[str], rows: Iterable[tuple[str, ...]]) -> None:
    """Prints a table whose first column has names and whose others have figures."""
    table = Table(box=None, header_style="bold", pad_edge=False)
    for index, head in enumerate(heads):
        table.add_column(escape(head), justify="right" if index else "left")
    for row in rows:
        table.add_row(*(escape(printable(cell)) for cell in row))
    console().print(table)


def _line(text: str) -> None:
    """Prints a line in which a name from a file or the command line may hold anything."""
    click.echo(printable(text))


def _ms(milliseconds: float) -> str:
    return f"{milliseconds:.2f}"
