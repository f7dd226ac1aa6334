"""Formats the gates as a table for the terminal."""

from __future__ import annotations

from collections.abc import Iterable

from rich.markup import escape
from rich.table import Table

from detr2litert.verify.gates import GateResult, Verdict
from detr2litert.verify.report.report import rejudge

_STYLES = {Verdict.PASSED: "green", Verdict.FAILED: "bold red", Verdict.NOT_RUN: "bold yellow"}


def gate_table(gates: Iterable[GateResult]) -> Table:
    """Returns a table with one row per gate: name, verdict, summary and, if it did not pass, what to do next."""
    table = Table("gate", "verdict", "", "time", title_justify="left", show_edge=False, pad_edge=False)
    table.columns[3].justify = "right"
    for gate in gates:
        verdict = rejudge(gate)
        text = escape(gate.summary)
        if gate.advice and verdict is not Verdict.PASSED:
            text += f"\n[dim]→ {escape(gate.advice)}[/dim]"
        table.add_row(gate.gate, f"[{_STYLES[verdict]}]{verdict}[/]", text, f"{gate.seconds:.1f} s")
    return table
