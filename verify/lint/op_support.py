"""The table of what the GPU delegate accepts, refuses and computes wrong (op_support.json), keyed by runtime and backend.

A row names a check (a function that op_rules.py lists), its parameters, and its evidence: the probes that show it, whose
results on this runtime are recorded (``verify.probe``). A new runtime is a new table, not new code.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from detr2litert.host_runtime.errors import UserError
from detr2litert.verify.releases import installed_release, nearest_release

SEVERITIES = ("refused", "wrong", "risk")
_FILE = Path(__file__).with_name("op_support.json")


@dataclass(frozen=True)
class Rule:
    """One row.

    Attributes:
        rule: stable identifier.
        check: name of the function in op_rules.py.
        ops: operator names it looks at; empty for all, or for the whole graph.
        parameters: of the check.
        severity: one of ``SEVERITIES``.
        default: False for a rule that applies only to targets that list it.
        condition, advice: text for the report.
        evidence: what was observed.
        fixed_by: the rewrite or the fix-up of the flatbuffer that avoids the pattern (``convert rewrites``); "" if none does.
        runtime, backend: where it was observed: the table's own, except for a fault of another.
        precision: in which the delegate computed when it was observed.
        adapters: where it was observed: names of recorded measurements (``verify/probe/measured``), or a published device.
        date: of the measurement.
        probes: the probes that show it (``verify.probe.suite``).
        issue: the public issue it belongs to, "" if none.
    """

    rule: str
    check: str
    ops: tuple[str, ...]
    parameters: Mapping[str, Any]
    severity: str
    default: bool
    condition: str
    advice: str
    evidence: str
    fixed_by: str
    runtime: str
    backend: str
    precision: str
    adapters: tuple[str, ...]
    date: str
    probes: tuple[str, ...]
    issue: str


@dataclass(frozen=True)
class Source:
    """One measurement behind the table: a file of ``verify/probe/measured``.

    Attributes:
        backend: of the delegate.
        adapter: short name, as the rules use it.
        precision: ``"fp32"`` or ``"fp16"``.
        hardware: False for a driver in software.
        probes: how many of the suite's were measured; fewer than the suite has where it has grown since.
        date: of the measurement.
    """

    backend: str
    adapter: str
    precision: str
    hardware: bool
    probes: int
    date: str


@dataclass(frozen=True)
class SupportTable:
    """All rows for one runtime and backend.

    Attributes:
        runtime: ai-edge-litert's version.
        backend: ``"webgpu"``, the delegate's backend the rows were measured on.
        measured_on: drivers and extent of the measurement.
        measurements: the recorded measurements, one for each adapter and precision.
        accepted_ops: operators whose result was right in at least one probe.
        rules: the rows.
    """

    runtime: str
    backend: str
    measured_on: str
    measurements: tuple[Source, ...]
    accepted_ops: frozenset[str]
    rules: tuple[Rule, ...]

    def elsewhere(self) -> tuple[str, ...]:
        """Returns the rules that hold for other backends only: a finding for the targets that list them, elsewhere a note."""
        return tuple(row.rule for row in self.rules if not row.default)

    def select(self, add: Iterable[str] = ()) -> tuple[Rule, ...]:
        """Returns the default rows and those named in ``add``.

        Raises:
            UserError: an unknown identifier.
        """
        added = set(add)
        if unknown := sorted(added - {row.rule for row in self.rules}):
            raise UserError(
                f"no lint rule is called {', '.join(unknown)}; the rules are {', '.join(row.rule for row in self.rules)}"
            )
        return tuple(row for row in self.rules if row.default or row.rule in added)


def installed_runtime() -> str:
    """Returns ai-edge-litert's installed version, "" if it is not installed."""
    return installed_release("ai-edge-litert")


@cache
def load_support(runtime: str = "", backend: str = "webgpu") -> SupportTable:
    """Returns the table for a runtime; for one that was not measured, the newest that is not later, else the oldest.

    Args:
        runtime: a version such as ``"2.3.0"``; the installed one if empty. The table's own ``runtime`` says which was used.
        backend: the delegate's backend.

    Raises:
        UserError: no table for that backend.
    """
    tables = [_table(raw) for raw in json.loads(_FILE.read_text(encoding="utf-8"))["tables"] if raw["backend"] == backend]
    if not tables:
        raise UserError(f"no operator table for the backend {backend!r}; the tables are in {_FILE.name}")
    by_runtime = {table.runtime: table for table in tables}
    return by_runtime[nearest_release(by_runtime, runtime or installed_runtime())]


def _table(raw: Mapping[str, Any]) -> SupportTable:
    measured = {"runtime": raw["runtime"], "backend": raw["backend"], "precision": "fp32"}
    lists = ("ops", "adapters", "probes")
    rules = tuple(Rule(**{**measured, **row, **{name: tuple(row[name]) for name in lists}}) for row in raw["rules"])
    sources = tuple(Source(**source) for source in raw["measurements"])
    return SupportTable(raw["runtime"], raw["backend"], raw["measured_on"], sources, frozenset(raw["accepted_ops"]), rules)
