"""Whether the lint gate and the delegate say the same of a file.

The lint names places and ways out, the delegate has the last word. Where both refuse an operator, the delegate's finding points
at the lint's. Where one of them is alone, that is said: a refusal that the table lacks, or a row that no longer holds.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from detr2litert.verify.delegate.run import Outcome
from detr2litert.verify.gates import Finding, GateResult, Verdict

_KNOWN = "what mends it stands with what the lint finds of this operator"
_UNEXPLAINED = "no rule of the lint explains it: cut the graph in half, again and again, until the operator is found"
_UNKNOWN = "no rule of the lint knows this refusal: rewrite it in operators that the delegate takes, or leave it to the host"


def compare(lint: GateResult, residency: GateResult) -> tuple[GateResult, GateResult]:
    """Both gates with what each knows of the other. No verdict and no figure is changed.

    Args:
        lint, residency: of the same files.
    """
    if residency.verdict is Verdict.NOT_RUN:
        return lint, residency
    graphs = residency.data["graphs"]
    slow = {name for name, graph in graphs.items() if graph["outcome"] == Outcome.TIMED_OUT}
    judged = tuple(_pointed(found, lint.findings, timed_out=found.graph in slow) for found in residency.findings)
    first = judged[0] if judged else None
    advice = f"{first.place}: {first.message}; {first.advice}" if first is not None else residency.advice
    taken = {name for name, graph in graphs.items() if graph["outcome"] == Outcome.COMPILED}
    doubtful = sorted({f.rule for f in lint.findings if f.severity == "refused" and any(_is_of(f, name) for name in taken)})
    if doubtful:
        told = f"{lint.summary}; the delegate at hand took what {', '.join(doubtful)} calls refused"
        lint = replace(lint, summary=told, data={**lint.data, "taken_all_the_same": doubtful})
    return lint, replace(residency, findings=judged, advice=advice)


def _pointed(found: Finding, lint: Iterable[Finding], *, timed_out: bool) -> Finding:
    """A refusal of the delegate, with where to look; a graph that took too long keeps its own advice."""
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
    """Whether a finding is about that file: the graph of one of several signatures has its name behind a colon."""
    return found.graph == file or found.graph.startswith(f"{file}:")
