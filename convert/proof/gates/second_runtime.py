"""Gate second runtime: a runtime that shares no kernels with LiteRT computes the same; only where TensorFlow is installed."""

from __future__ import annotations

from detr2litert.convert.proof.gate import Gate
from detr2litert.convert.proof.subject import Subject
from detr2litert.verify.gates import Doing, GateResult
from detr2litert.verify.parity.second_runtime import GATE as ID
from detr2litert.verify.parity.second_runtime import INT8_LIMITS, check_second_runtime
from detr2litert.verify.parity.tensorflow_run import installed
from detr2litert.verify.precision import Precision, precision_of


def run(subject: Subject, doing: Doing) -> GateResult:
    """Compares the shipped graphs in TensorFlow's interpreter with LiteRT and PyTorch."""
    int8 = precision_of(subject.manifest.settings) is Precision.INT8
    return check_second_runtime([case for case in subject.cases() if not case.twin], limits=INT8_LIMITS if int8 else None)


def _applies(subject: Subject) -> bool:
    return installed()


GATE = Gate(ID, "Second runtime", "TensorFlow's interpreter computes what LiteRT does", run, _applies)
