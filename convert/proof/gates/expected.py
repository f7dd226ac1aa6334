"""The reference finds what the user's own code found in the same pictures."""

from __future__ import annotations

from dataclasses import replace

from detr2litert.convert.proof.gate import Gate
from detr2litert.convert.proof.subject import Subject
from detr2litert.verify.accuracy.expected import GATE as ID
from detr2litert.verify.accuracy.expected import ExpectedPicture, check_expected
from detr2litert.verify.gates import Doing, Finding, GateResult


def run(subject: Subject, doing: Doing) -> GateResult:
    """The reference's detections, whatever their score, against the expected ones."""
    given = subject.outside.expected
    assert given is not None, "_applies says so"
    doing(f"{len(given.pictures)} picture(s) with PyTorch")
    compared = [
        ExpectedPicture(picture.name, picture.image.size, found, subject.reference.path.detect(picture.image, 0.0).items)
        for picture, found in zip(given.pictures, given.detections, strict=True)
    ]
    result = check_expected(given.source, compared, subject.manifest.classes, subject.limits.threshold)
    if not given.differs:
        return result
    finding = Finding(
        "other-settings", "risk", given.source, given.differs, "build both with the same settings: --set NAME=VALUE"
    )
    return replace(result, findings=(finding, *result.findings))


def _applies(subject: Subject) -> bool:
    return subject.outside.expected is not None


GATE = Gate(ID, "Expected detections", "the PyTorch reference finds what your own code finds", run, _applies)
