"""The gates as a table for the terminal, and as plain lines where there is none."""

from __future__ import annotations

from collections.abc import Iterable

from rich.markup import escape
from rich.table import Table

from verify.gates import GateResult, Verdict
from verify.report.report import GATES, judge, rejudge

_STYLES = {Verdict.PASSED: "green", Verdict.FAILED: "bold red", Verdict.NOT_RUN: "bold yellow"}


def gate_table(gates: Iterable[GateResult]) -> Table:
    """One row a gate: name, verdict, summary and, where it did not pass, what to do next."""
    table = Table("gate", "verdict", "", "time", title_justify="left", show_edge=False, pad_edge=False)
    table.columns[3].justify = "right"
    for gate in gates:
        verdict = rejudge(gate)
        told = escape(gate.summary)
        if gate.advice and verdict is not Verdict.PASSED:
            told += f"\n[dim]→ {escape(gate.advice)}[/dim]"
        table.add_row(gate.gate, f"[{_STYLES[verdict]}]{verdict}[/]", told, f"{gate.seconds:.1f} s")
    return table


def gate_lines(gates: Iterable[GateResult]) -> list[str]:
    """The same without markup, a line or two a gate, for logs."""
    lines = []
    for gate in gates:
        verdict = rejudge(gate)
        lines.append(f"{gate.gate:<10}  {verdict!s:<7}  {gate.summary}  ({gate.seconds:.1f} s)")
        if gate.advice and verdict is not Verdict.PASSED:
            lines.append(f"{'':<21}→ {gate.advice}")
    return lines


def closing_line(gates: Iterable[GateResult]) -> str:
    """What the run proved, in one sentence."""
    gates = tuple(gates)
    verdict = judge(gates)
    names = {v: ", ".join(gate.gate for gate in gates if rejudge(gate) is v) for v in Verdict}
    if verdict is Verdict.PASSED:
        return f"all {len(gates)} gates passed"
    if verdict is Verdict.FAILED:
        return f"failed: {names[Verdict.FAILED]}"
    missing = [name for name in GATES if name not in {gate.gate for gate in gates}]
    return f"nothing failed, but not all is proved: {', '.join(filter(None, [names[Verdict.NOT_RUN], *missing]))} not run"
