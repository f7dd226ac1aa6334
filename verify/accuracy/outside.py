"""Whether anything outside this project was compared in a run."""

from __future__ import annotations

from collections.abc import Iterable

from detr2litert.verify.accuracy.accuracy import GATE as ACCURACY
from detr2litert.verify.accuracy.expected import GATE as EXPECTED
from detr2litert.verify.gates import GateResult

NOT_COMPARED = "not compared with anything outside this project: give --expected or --dataset"


def outside_note(gates: Iterable[GateResult]) -> str:
    """The line for a run without the user's detections and without annotations; "" for others."""
    return "" if any(gate.gate in (ACCURACY, EXPECTED) for gate in gates) else NOT_COMPARED
