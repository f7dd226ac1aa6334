"""Gate detections: the bundle, from picture to detections, finds what the reference finds."""

from __future__ import annotations

import time
from dataclasses import replace

from detr2litert.convert.proof.gate import Gate
from detr2litert.convert.proof.subject import Subject
from detr2litert.verify.gates import Doing, Finding, GateResult, Verdict
from detr2litert.verify.parity.detections import check_detections


def run(subject: Subject, doing: Doing) -> GateResult:
    """Compares the host runtime's detections in each picture with the reference's, as sets."""
    start = time.perf_counter()
    doing(f"{len(subject.reference.pairs)} picture(s) through the host runtime")
    found = subject.found
    result = _undetected(*found.failed) if found.failed else check_detections(found.cases, subject.detection_limits)
    return replace(result, seconds=time.perf_counter() - start)


def _undetected(picture: str, error: str) -> GateResult:
    """Returns the failure of a bundle that cannot detect: its stages do not fit each other, or a graph gave NaN."""
    advice = "see the numerics gate and the host gate, or make the bundle again"
    finding = Finding("not-detected", "wrong", picture, error, advice)
    return GateResult("detections", Verdict.FAILED, f"{picture}: {error}", advice, findings=(finding,))


GATE = Gate("detections", "Detections", "the bundle finds what the reference finds", run)
