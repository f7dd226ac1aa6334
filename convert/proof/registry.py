"""The gates in the order in which they run: what a file says by itself first, what takes the whole chain last."""

from __future__ import annotations

from detr2litert.convert.proof.gate import Gate
from detr2litert.convert.proof.gates import (
    detections,
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
    rewrites.GATE,
    lint.GATE,
    residency.GATE,
    numerics.GATE,
    second_runtime.GATE,
    fp16.GATE,
    host.GATE,
    detections.GATE,
    golden.GATE,
)
