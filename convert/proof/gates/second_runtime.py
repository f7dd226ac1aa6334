"""Gate second runtime: a runtime that shares no kernels with LiteRT computes the same; only where TensorFlow is installed."""

from __future__ import annotations

from detr2litert.convert.proof.gate import Gate
from detr2litert.convert.proof.subject import Subject
from detr2litert.verify.gates import Doing, GateResult
from detr2litert.verify.parity.second_runtime import GATE as ID
from detr2litert.verify.parity.second_runtime import check_second_runtime
from detr2litert.verify.parity.tensorflow_run import installed


def run(subject: Subject, doing: Doing) -> GateResult:
    """Compares the shipped graphs in TensorFlow's interpreter with LiteRT and PyTorch."""
    return check_second_runtime([case for case in subject.cases() if not case.twin])


def _applies(subject: Subject) -> bool:
    return installed()


GATE = Gate(ID, "Second runtime", "TensorFlow's interpreter computes what LiteRT does", run, _applies)
