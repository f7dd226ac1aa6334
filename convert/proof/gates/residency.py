"""Gate residency: the real delegate accepts each graph whole."""

from __future__ import annotations

from detr2litert.convert.proof.gate import Gate
from detr2litert.convert.proof.subject import Subject
from detr2litert.verify.gates import Doing, GateResult
from detr2litert.verify.residency import check_residency


def run(subject: Subject, doing: Doing) -> GateResult:
    """Compiles each graph for the GPU alone."""
    return check_residency(subject.graphs, gpu=subject.gpu, doing=doing)


GATE = Gate("residency", "Residency", "the real delegate accepts every operator, in one partition", run)
