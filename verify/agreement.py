"""Compares the lint gate's findings with the delegate's on the same files.

The lint names places and suggested fixes, the delegate decides. Where both refuse an operator, the delegate's finding points to
the lint's. Where only one of them does, that is reported: a refusal that the table lacks, or a row that no longer holds.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from detr2litert.verify.delegate.run import Outcome
from detr2litert.verify.gates import Finding, GateResult, Verdict

_KNOWN = "the suggested fix is in what the lint finds for this operator"
_UNEXPLAINED = "no rule of the lint explains it: cut the graph in half, again and again, until the operator is found"
_UNKNOWN = "no rule of the lint knows this refusal: rewrite it in operators that the delegate accepts, or leave it to the host"


def compare(lint: GateResult, residency: GateResult) -> tuple[GateResult, GateResult]:
    """Returns both results, each with references to the other's findings. Verdicts and figures are unchanged.

    Args:
        lint, residency: results for the same files.
    """
    if residency.verdict is Verdict.NOT_RUN:
        return lint, residency
    graphs = residency.data["graphs"]
    slow = {name for name, graph in graphs.items() if graph["outcome"] == Outcome.TIMED_OUT}
    judged = tuple(_pointed(found, lint.findings, timed_out=found.graph in slow) for found in residency.findings)
    first = judged[0] if judged else None
    advice = f"{first.place}: {first.message}; {first.advice}" if first is not None else residency.advice
    accepted = {name for name, graph in graphs.items() if graph["outcome"] == Outcome.COMPILED}
    doubtful = sorted({f.rule for f in lint.findings if f.severity == "refused" and any(_is_of(f, name) for name in accepted)})
    if doubtful:
        summary = f"{lint.summary}; the available delegate accepted what {', '.join(doubtful)} calls refused"
        lint = replace(lint, summary=summary, data={**lint.data, "accepted_by_delegate": doubtful})
    return lint, replace(residency, findings=judged, advice=advice)


def _pointed(found: Finding, lint: Iterable[Finding], *, timed_out: bool) -> Finding:
    """Adds where to look to a refusal of the delegate; a graph that took too long keeps its own advice."""
    if found.severity != "refused":
        return found
    known = [f for f in lint if f.severity == "refused" and _is_of(f, found.graph)]
    if not found.operator:
        return found if known or timed_out else replace(found, advice=_UNEXPLAINED)
    known = [f for f in known if f.operator == found.operator]
    if found.op is not None:
        known = [f for f in known if f.op == found.op]
    if known:
        return replace(found, advice=_KNOWN)
    return found if found.rule != "refused-op" else replace(found, advice=_UNKNOWN)


def _is_of(found: Finding, file: str) -> bool:
    """Returns whether a finding is about that file: a graph of several signatures is named ``FILE:SIGNATURE``."""
    return found.graph == file or found.graph.startswith(f"{file}:")
