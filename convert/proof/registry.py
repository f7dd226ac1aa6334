"""The gates in the order in which they run: the reference, each file by itself, the host side, then the whole chain."""

from __future__ import annotations

from detr2litert.convert.proof.gate import Gate
from detr2litert.convert.proof.gates import (
    accuracy,
    detections,
    expected,
    fp16,
    golden,
    host,
    lint,
    numerics,
    residency,
    rewrites,
    second_runtime,
)

GATES: tuple[Gate, ...] = (
    expected.GATE,
    rewrites.GATE,
    lint.GATE,
    residency.GATE,
    numerics.GATE,
    second_runtime.GATE,
    host.GATE,
    fp16.GATE,
    detections.GATE,
    accuracy.GATE,
    golden.GATE,
)
