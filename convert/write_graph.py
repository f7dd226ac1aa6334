"""Writes one rewritten graph as a .tflite file: lowered, fixed up, and with its weights in a precision."""

from __future__ import annotations

from pathlib import Path

from detr2litert.convert.lowering.lower import lower
from detr2litert.convert.store_weights import store_weights
from detr2litert.graphs.partition import Part
from detr2litert.rewrites.driver import StepReport
from detr2litert.rewrites.flatbuffer.pipeline import fix_up
from detr2litert.verify.precision import Precision


def write_graph(part: Part, name: str, file: Path, scratch: Path, precision: Precision) -> tuple[Path, tuple[StepReport, ...]]:
    """Writes a graph.

    Args:
        part: rewritten for a target.
        name: of the graph, unique in ``scratch``.
        file: to write.
        scratch: folder for the file with float32 weights, which the gates compare with.
        precision: of the weights in ``file``.

    Returns:
        The float32 file, and the reports of the fix-ups.
    """
    raw, fixed = scratch / f"{name}.raw.tflite", scratch / f"{name}.tflite"
    lower(part, raw)
    reports = fix_up(raw, fixed)
    raw.unlink()
    store_weights(fixed, file, precision)
    return fixed, reports
