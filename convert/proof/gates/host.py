"""Gate host: pre-processing, host step and post-processing equal PyTorch's."""

from __future__ import annotations

from detr2litert.convert.proof.gate import Gate
from detr2litert.convert.proof.host import check_host
from detr2litert.convert.proof.subject import Subject
from detr2litert.host_runtime.bundle import load_bundle
from detr2litert.verify.gates import Doing, GateResult


def run(subject: Subject, doing: Doing) -> GateResult:
    """Compares pre-processing, host step and post-processing with PyTorch's own operators."""
    reference = subject.reference
    with load_bundle(subject.folder) as bundle:
        return check_host(bundle, reference.path, reference.compiled.parts.host, reference.values)


GATE = Gate("host", "Host side", "pre-processing, host step and post-processing equal PyTorch's", run)
