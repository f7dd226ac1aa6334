"""Gate golden: a finished bundle's golden vectors, by which a phone is judged, are what its checkpoint computes."""

from __future__ import annotations

from detr2litert.convert.proof.gate import Gate
from detr2litert.convert.proof.golden import check_golden
from detr2litert.convert.proof.subject import Subject
from detr2litert.verify.gates import Doing, GateResult


def run(subject: Subject, doing: Doing) -> GateResult:
    """Compares the bundle's golden tensors and detections with the reference's for the first picture."""
    golden = subject.golden
    assert golden is not None, "_applies says so"
    detections = (golden.detections, subject.reference.pairs[0][1].above(subject.limits.floor))
    return check_golden(golden.tensors, subject.reference.values, detections, subject.limits)


def _applies(subject: Subject) -> bool:
    return subject.golden is not None


GATE = Gate("golden", "Golden vectors", "what a phone is judged by is what the checkpoint computes", run, _applies)
