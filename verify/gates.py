"""The result of a gate: measurements with limits, findings with a place, and one verdict.

Every gate returns a ``GateResult``; the report, the JSON file and the exit code are derived from it alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any

Doing = Callable[[str], None]
"""A callback that receives a description of each computation, for display."""


def unheard(what: str) -> None:
    """Ignores the description."""


class Verdict(StrEnum):
    """The verdict of a gate. ``NOT_RUN``: it could not run, which never counts as passed."""

    PASSED = "passed"
    FAILED = "failed"
    NOT_RUN = "not run"


@dataclass(frozen=True)
class Measurement:
    """A figure and its limit.

    Attributes:
        subject: what was measured, for example ``"graph_b / boxes: GPU vs CPU"``.
        metric: ``"correlation"``, ``"max_abs_error"``, ``"iou"``, ``"partitions"`` …
        value: the figure; NaN if the data have no finite result.
        limit: the bound; None for a figure that is only reported.
        at_least: True if ``value`` must not fall below the limit, False if it must not exceed it.
    """

    subject: str
    metric: str
    value: float
    limit: float | None = None
    at_least: bool = True

    @property
    def passed(self) -> bool:
        """True if the figure meets its limit or has none; NaN never meets a limit."""
        if self.limit is None:
            return True
        return self.value >= self.limit if self.at_least else self.value <= self.limit


@dataclass(frozen=True)
class TensorRef:
    """A tensor in a file, for a finding.

    Attributes:
        index: index in its subgraph.
        name: as in the file; arbitrary text.
        shape: dimensions.
        dtype: ``"float32"`` …
    """

    index: int
    name: str
    shape: tuple[int, ...]
    dtype: str


@dataclass(frozen=True)
class Finding:
    """A problem at one place, usually in a graph.

    Attributes:
        rule: stable identifier, for example ``"refused-op"``.
        severity: ``"refused"`` (by the delegate), ``"wrong"`` (accepted, but computed wrong) or ``"risk"``.
        place: description of graph, operator and tensors.
        message: the problem.
        advice: the suggested fix: a rewrite, flag or change.
        graph: name of the graph; "" if the finding is not about one.
        op: index of the operator; None if the finding is not about a single one.
        operator: its name, ``"GATHER_ND"`` or ``"CUSTOM:<code>"``; "" without an operator.
        tensors: the affected tensors.
        why: the evidence: the delegate's message or a measurement.
        fixed_by: this project's rewrite that fixes it, "" if there is none.
    """

    rule: str
    severity: str
    place: str
    message: str
    advice: str
    graph: str = ""
    op: int | None = None
    operator: str = ""
    tensors: tuple[TensorRef, ...] = ()
    why: str = ""
    fixed_by: str = ""

    @classmethod
    def from_json(cls, record: Mapping[str, Any]) -> Finding:
        """Parses a finding written by ``GateResult.to_json``.

        Raises:
            TypeError, KeyError: the record is invalid.
        """
        tensors = tuple(TensorRef(**{**t, "shape": tuple(t["shape"])}) for t in record.get("tensors", ()))
        renamed = {"fixed_by" if key == "mended_by" else key: value for key, value in record.items()}  # until December 2026
        return cls(**{**renamed, "tensors": tensors})


@dataclass(frozen=True)
class GateResult:
    """The outcome of one gate.

    Attributes:
        gate: its id: ``"lint"``, ``"residency"`` …
        verdict: passed, failed or not run.
        summary: one line, for the table at the end of a run.
        advice: what to do next if the gate did not pass; empty otherwise.
        measurements, findings: the evidence.
        seconds: wall time.
        data: further JSON-ready detail for the report.
        title: heading in the report; the id if empty.
        proves: what a pass means, in a clause.
    """

    gate: str
    verdict: Verdict
    summary: str
    advice: str = ""
    measurements: tuple[Measurement, ...] = ()
    findings: tuple[Finding, ...] = ()
    seconds: float = 0.0
    data: dict[str, Any] = field(default_factory=dict)
    title: str = ""
    proves: str = ""

    def to_json(self) -> dict[str, Any]:
        """Returns a JSON-ready record; each measurement has its own ``passed``."""
        record = asdict(self)
        record["verdict"] = str(self.verdict)
        record["measurements"] = [{**asdict(m), "passed": m.passed} for m in self.measurements]
        return record


def overall(results: Iterable[GateResult]) -> Verdict:
    """Returns failed if any gate failed; else not run if any did not run; else passed."""
    verdicts = {result.verdict for result in results}
    for verdict in (Verdict.FAILED, Verdict.NOT_RUN):
        if verdict in verdicts:
            return verdict
    return Verdict.PASSED
