"""The lint compared with the delegate."""

from __future__ import annotations

from detr2litert.verify.agreement import compare
from detr2litert.verify.gates import Finding, GateResult, Verdict


def _lint(*findings: Finding) -> GateResult:
    return GateResult("lint", Verdict.FAILED if findings else Verdict.PASSED, "3 operators: …", findings=findings)


def _residency(outcome: str, *findings: Finding, name: str = "m") -> GateResult:
    data = {"graphs": {name: {"outcome": outcome}}}
    return GateResult("residency", Verdict.FAILED if findings else Verdict.PASSED, "…", findings=findings, data=data)


def _refusal(op: int | None, operator: str, rule: str = "refused-op", graph: str = "m") -> Finding:
    return Finding(rule, "refused", f"{graph} {operator}", "no", "advice", graph=graph, op=op, operator=operator)


def test_a_refusal_that_the_lint_names_points_there() -> None:
    lint, residency = compare(_lint(_refusal(4, "PAD", "pad-rank")), _residency("refused", _refusal(4, "PAD")))
    assert "what the lint finds" in residency.findings[0].advice and residency.findings[0].advice in residency.advice
    assert "accepted_by_delegate" not in lint.data


def test_a_refusal_unknown_to_the_lint_is_reported() -> None:
    for known in ((), (_refusal(4, "PAD", "pad-rank"),), (_refusal(4, "CUMSUM", "x", graph="other"),)):
        _, residency = compare(_lint(*known), _residency("refused", _refusal(9, "CUMSUM")))
        assert "no rule of the lint knows" in residency.findings[0].advice
    _, other_place = compare(_lint(_refusal(4, "PAD", "pad-rank")), _residency("refused", _refusal(5, "PAD")))
    assert "no rule of the lint knows" in other_place.findings[0].advice


def test_a_compilation_that_failed_for_no_known_reason() -> None:
    _, residency = compare(_lint(), _residency("failed", _refusal(None, "", "compile")))
    assert "cut the graph in half" in residency.findings[0].advice
    _, residency = compare(_lint(_refusal(4, "PAD", "pad-rank")), _residency("failed", _refusal(None, "", "compile")))
    assert residency.findings[0].advice == "advice"


def test_a_compilation_that_timed_out_has_its_own_advice() -> None:
    _, residency = compare(_lint(), _residency("timed out", _refusal(None, "", "compile")))
    assert residency.findings[0].advice == "advice"


def test_an_operator_accepted_against_the_table_is_reported() -> None:
    for name, graph in (("m", "m"), ("m", "m:other"), ("a:b", "a:b")):
        lint, _ = compare(_lint(_refusal(4, "PAD", "pad-rank", graph=graph)), _residency("compiled", name=name))
        assert lint.data["accepted_by_delegate"] == ["pad-rank"] and "accepted what pad-rank calls refused" in lint.summary
    lint, _ = compare(_lint(_refusal(4, "PAD", "pad-rank", graph="m2")), _residency("compiled"))
    assert "accepted_by_delegate" not in lint.data


def test_nothing_is_reported_without_the_delegate() -> None:
    lint, residency = _lint(_refusal(1, "PAD")), GateResult("residency", Verdict.NOT_RUN, "no GPU")
    assert compare(lint, residency) == (lint, residency)
