"""Gate rewrites: cutting and rewriting the detector has not changed what it computes."""

from __future__ import annotations

from detr2litert.convert.proof.equivalence import check_rewrites
from detr2litert.convert.proof.gate import Gate
from detr2litert.convert.proof.subject import Subject
from detr2litert.verify.gates import Doing, GateResult


def run(subject: Subject, doing: Doing) -> GateResult:
    """Compares the parts, computed by PyTorch, with the original, rare inputs included."""
    reference = subject.reference
    return check_rewrites(reference.path.reference, reference.compiled, reference.values)


GATE = Gate("rewrites", "Rewrites", "cut and rewritten, the detector computes what the original does", run)
