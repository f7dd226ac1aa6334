"""Gate lint: the shipped files have no operator that the delegate refuses or computes wrong."""

from __future__ import annotations

from detr2litert.convert.proof.gate import Gate
from detr2litert.convert.proof.subject import Subject
from detr2litert.verify.gates import Doing, GateResult
from detr2litert.verify.lint.op_lint import check_lint


def run(subject: Subject, doing: Doing) -> GateResult:
    """Applies the lint rules and those that the target adds."""
    return check_lint(subject.graphs, add=subject.target.lint_rules)


GATE = Gate("lint", "Lint", "no operator that the delegate refuses or gets wrong", run)
