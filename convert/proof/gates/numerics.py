"""Gate numerics: each graph computes PyTorch's values, on the CPU and on the GPU."""

from __future__ import annotations

from detr2litert.convert.proof.gate import Gate
from detr2litert.convert.proof.subject import Subject
from detr2litert.verify.gates import Doing, GateResult
from detr2litert.verify.parity.numerics import check_numerics


def run(subject: Subject, doing: Doing) -> GateResult:
    """Compares each conversion stage with the one before it, on the values of one picture and of rare inputs."""
    return check_numerics(subject.cases(traced=True), gpu=subject.gpu, doing=doing)


GATE = Gate("numerics", "Numerics", "every output equals PyTorch's, link by link", run)
