"""Prints a gate's findings on a terminal: one paragraph for each rule, with its places, its reason and its suggested fix."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Sequence

import click

from detr2litert.convert.cli.output import width
from detr2litert.verify.gates import Finding, GateResult, TensorRef
from detr2litert.verify.lint.op_lint import short_name
from detr2litert.verify.lint.op_support import SEVERITIES
from detr2litert.verify.printable import printable

_PLACES = 3  # of a rule; --json has them all
_NAME = 60  # characters of a tensor's name


def print_findings(gates: Iterable[GateResult]) -> None:
    """Prints every finding of every gate, the most severe first, the places of a rule under one heading."""
    for gate in gates:
        rules: dict[tuple[str, str], list[Finding]] = {}
        for found in sorted(gate.findings, key=lambda found: SEVERITIES.index(found.severity)):
            rules.setdefault((found.severity, found.rule), []).append(found)
        for (severity, rule), alike in rules.items():
            _print_rule(gate.gate, severity, rule, alike)


def _print_rule(gate: str, severity: str, rule: str, alike: Sequence[Finding]) -> None:
    shown = list(dict.fromkeys(map(_place, alike)))
    colour = "yellow" if severity == "risk" else "red"
    count = f"  {len(shown)} places" if len(shown) > 1 else ""
    click.echo(f"{click.style(severity, fg=colour, bold=True)}  {click.style(rule, bold=True)}  ({gate}){count}")
    for place in shown[:_PLACES]:
        _echo("", place)
    if len(shown) > _PLACES:
        _echo("", f"… and {len(shown) - _PLACES} more; --json lists them all")
    _echo("why", "; ".join(dict.fromkeys(found.why for found in alike if found.why)))
    for advice in dict.fromkeys(found.advice for found in alike):
        _echo("fix", advice)
    for name in dict.fromkeys(found.fixed_by for found in alike if found.fixed_by):
        _echo("", f"`convert run` does it by the rewrite {name}; `convert rewrites {name}` explains it")


def _place(found: Finding) -> str:
    """Describes a place: operator, message, and the tensors with their shapes."""
    if not found.graph:
        return f"{found.place}: {found.message}"
    where = f"{found.graph} op {found.op} {found.operator}" if found.op is not None else f"{found.graph} {found.operator}"
    tensors = ", ".join(_tensor(tensor) for tensor in found.tensors)
    return f"{where.rstrip()}: {found.message}{f'  [{tensors}]' if tensors else ''}"


def _tensor(tensor: TensorRef) -> str:
    name = short_name(tensor.name)
    name = name if len(name) <= _NAME else f"{name[:_NAME]}…"
    return f"#{tensor.index} {name} {tensor.dtype}{list(tensor.shape)}"


def _echo(label: str, text: str) -> None:
    if text:
        head = f"    {label:<5} " if label else "    "
        lines = textwrap.wrap(
            printable(text), width(), initial_indent=head, subsequent_indent=" " * 10 if label else " " * 6,
            break_on_hyphens=False,
        )  # fmt: skip
        click.echo("\n".join(lines))
