"""What a gate says: figures against limits, findings that name a place, and one verdict.

Every gate returns a ``GateResult`` and nothing else; the report, the JSON file and the exit code are made from it alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any

Doing = Callable[[str], None]
"""Told what is being done, for whoever waits."""


def unheard(what: str) -> None:
    """Tells nobody."""


class Verdict(StrEnum):
    """``NOT_RUN`` is its own verdict: a gate that could not run never counts as passed."""

    PASSED = "passed"
    FAILED = "failed"
    NOT_RUN = "not run"


@dataclass(frozen=True)
class Measurement:
    """One figure held against one limit.

    Attributes:
        subject: what was measured, for example ``"graph_b / boxes: GPU vs CPU"``.
        metric: ``"correlation"``, ``"max_abs_error"``, ``"iou"``, ``"partitions"`` …
        value: the figure; NaN where the data had no finite answer.
        limit: the bound, or None for a figure that is only reported.
        at_least: True if ``value`` must not fall below the limit, False if it must not exceed it.
    """

    subject: str
    metric: str
    value: float
    limit: float | None = None
    at_least: bool = True

    @property
    def passed(self) -> bool:
        """A figure without a limit passes; NaN never meets a limit."""
        if self.limit is None:
            return True
        return self.value >= self.limit if self.at_least else self.value <= self.limit


@dataclass(frozen=True)
class TensorRef:
    """A tensor of a file, as a finding names it.

    Attributes:
        index: position in its subgraph.
        name: as the file has it: any text at all.
        shape: dimensions.
        dtype: ``"float32"`` …
    """

    index: int
    name: str
    shape: tuple[int, ...]
    dtype: str


@dataclass(frozen=True)
class Finding:
    """Something at one place in one graph.

    Attributes:
        rule: stable identifier, for example ``"refused-op"``.
        severity: ``"refused"`` (the delegate will not take it), ``"wrong"`` (it will, and computes something else) or
            ``"risk"``.
        place: graph, op index and tensor names, in words.
        message: what is the matter.
        advice: the rewrite, flag or change that mends it.
        graph: name of the graph, "" where the finding is not about one.
        op: the operator's position in it, None where the finding is about no single operator.
        operator: its name, ``"GATHER_ND"`` or ``"CUSTOM:<code>"``; "" where there is none.
        tensors: those it is about.
        why: how it is known: what the delegate says, or what was measured.
        fixed_by: this project's rewrite that mends it, "" if none does.
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
        """One that ``GateResult.to_json`` wrote.

        Raises:
            TypeError, KeyError: it is no such record.
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
        summary: one line for the table at the end of a run.
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
        """A JSON-ready record; each measurement carries its own verdict."""
        record = asdict(self)
        record["verdict"] = str(self.verdict)
        record["measurements"] = [{**asdict(m), "passed": m.passed} for m in self.measurements]
        return record


def overall(results: Iterable[GateResult]) -> Verdict:
    """Failed if any gate failed; else not run if any did not run; else passed."""
    verdicts = {result.verdict for result in results}
    for verdict in (Verdict.FAILED, Verdict.NOT_RUN):
        if verdict in verdicts:
            return verdict
    return Verdict.PASSED
