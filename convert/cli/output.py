"""Formats results for a terminal."""

from __future__ import annotations

import json
import shutil
import textwrap
from dataclasses import replace
from typing import Any

import click
from rich.table import Table

from detr2litert.convert.console import console


def filled(paragraph: str) -> str:
    """Fills a paragraph of a docstring to the terminal's width, indented; lists and sketches keep their lines."""
    lines = paragraph.strip("\n").splitlines()
    if any(line.startswith((" ", "- ", "|")) for line in lines):
        return "\n".join(f"  {line}".rstrip() for line in lines)
    indent = "  "
    return textwrap.fill(" ".join(lines), width(), initial_indent=indent, subsequent_indent=indent, break_on_hyphens=False)


def width() -> int:
    """Returns the number of columns to fill with text."""
    return max(40, min(shutil.get_terminal_size().columns, 100))


def print_json(value: Any) -> None:
    """Prints standard JSON: a non-finite figure is a string, as in report.json."""
    from detr2litert.verify.report.report import plain

    click.echo(json.dumps(plain(value), indent=1, allow_nan=False, default=str))


def print_table(columns: tuple[str, ...], rows: list[tuple[Any, ...]], as_json: bool) -> None:
    if as_json:
        print_json([dict(zip(columns, row, strict=True)) for row in rows])
        return
    table = Table(*columns, box=None, header_style="bold", pad_edge=False)
    for row in rows:
        table.add_row(*(str(cell) for cell in row))
    console().print(table)


def print_result(gates: Any, as_json: bool) -> None:
    if as_json:
        print_json([gate.to_json() for gate in gates])
        return
    print_gates(gates)


def print_gates(gates: Any) -> None:
    from detr2litert.verify.printable import printable
    from detr2litert.verify.report.summary import gate_table

    safe = [replace(gate, summary=printable(gate.summary), advice=printable(gate.advice)) for gate in gates]
    console().print(gate_table(safe))


def print_outside(gates: Any) -> None:
    """Prints the line for a run in which nothing outside this project was compared."""
    from detr2litert.verify.accuracy.outside import outside_note

    note = outside_note(gates)
    if note:
        click.echo(note)
