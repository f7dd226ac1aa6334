"""How results look in a terminal."""

from __future__ import annotations

import json
import shutil
import textwrap
from typing import Any

import click
from rich.console import Console
from rich.table import Table

_FINDINGS_SHOWN = 3


def filled(paragraph: str) -> str:
    """A paragraph of a docstring as wide as the terminal, indented; lists and sketches keep their lines."""
    lines = paragraph.strip("\n").splitlines()
    if any(line.startswith((" ", "- ", "|")) for line in lines):
        return "\n".join(f"  {line}".rstrip() for line in lines)
    indent = "  "
    return textwrap.fill(" ".join(lines), _width(), initial_indent=indent, subsequent_indent=indent, break_on_hyphens=False)


def _width() -> int:
    return max(40, min(shutil.get_terminal_size().columns, 100))


def print_table(columns: tuple[str, ...], rows: list[tuple[Any, ...]], as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps([dict(zip(columns, row, strict=True)) for row in rows], indent=1))
        return
    table = Table(*columns, box=None, header_style="bold", pad_edge=False)
    for row in rows:
        table.add_row(*(str(cell) for cell in row))
    Console(highlight=False).print(table)


def print_result(gates: Any, as_json: bool, findings: bool = False) -> None:
    if as_json:
        click.echo(json.dumps([gate.to_json() for gate in gates], indent=1, default=str))
        return
    if findings:
        for gate in gates:
            _print_findings(gate.findings)
    print_gates(gates)


def _print_findings(findings: Any) -> None:
    """Every finding in full, but of a rule that found many only the first few."""
    for key in dict.fromkeys((found.severity, found.rule) for found in findings):
        alike = [found for found in findings if (found.severity, found.rule) == key]
        for found in alike[:_FINDINGS_SHOWN]:
            click.echo(f"{found.severity}  {found.rule}  {found.place}")
            for line in textwrap.wrap(f"{found.message}; {found.advice}", _width() - 4, break_on_hyphens=False):
                click.echo(f"    {line}")
        if len(alike) > _FINDINGS_SHOWN:
            click.echo(f"    … and {len(alike) - _FINDINGS_SHOWN} more of {key[1]}; --json lists them all")


def print_gates(gates: Any) -> None:
    from verify.report.summary import gate_table

    Console(highlight=False).print(gate_table(gates))
