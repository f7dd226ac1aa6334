"""Gate numerics: each graph computes PyTorch's values, on the CPU and on the GPU."""

from __future__ import annotations

from detr2litert.convert.proof.gate import Gate
from detr2litert.convert.proof.subject import Subject
from detr2litert.verify.gates import Doing, GateResult
from detr2litert.verify.parity.int8_weights import with_rounding
from detr2litert.verify.parity.numerics import check_numerics


def run(subject: Subject, doing: Doing) -> GateResult:
    """Compares each conversion stage with the one before it, on the values of one picture and of rare inputs."""
    cases = subject.cases(traced=True)
    result = check_numerics(cases, gpu=subject.gpu, doing=doing)
    return with_rounding(result, {c.name: (c.shipped, c.float32) for c in cases if c.float32 is not None})


GATE = Gate("numerics", "Numerics", "every output equals PyTorch's, link by link", run)
