"""Checks that int8 weights are the float32 weights, rounded: none may be further from its own than half a step.

This is exact where the correlation of outputs is not: one channel's scale that is wrong by a few percent moves no output by
more than the rounding of all weights does.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np

from detr2litert.host_runtime.tflite.editor import FlatbufferEditor
from detr2litert.host_runtime.tflite.graph import read_graph
from detr2litert.verify.gates import Finding, GateResult, Measurement, Verdict
from detr2litert.verify.parity.float_twin import channel_shape, is_int8_constant, scales_of, unpacked

_HALF = 0.501
"""Of a step; the rest is float32's rounding of the scale."""


def largest_rounding(shipped: Path, float32: Path) -> tuple[float, str]:
    """Returns the largest distance of an int8 weight from the float32 weight of the same name, in steps, and that name.

    NaN if a weight has no such partner; 0 and "" if the file has no int8 weights.
    """
    full = {tensor.name: tensor for tensor in read_graph(float32).tensors if tensor.constant}
    editor, worst = FlatbufferEditor(shipped), (0.0, "")
    for index, tensor in enumerate(editor.subgraph.tensors):
        if not is_int8_constant(editor, tensor):
            continue
        name = editor.name(index)
        values = full[name].values() if name in full else None
        if values is None or list(values.shape) != editor.shape(index):
            return float("nan"), name
        steps = np.abs(unpacked(editor, tensor) - values) / scales_of(tensor).reshape(channel_shape(tensor))
        worst = max(worst, (float(steps.max(initial=0.0)), name))
    return worst


def with_rounding(result: GateResult, files: Mapping[str, tuple[Path, Path]]) -> GateResult:
    """Adds the check of int8 weights to the result of the numerics gate.

    Args:
        result: of the comparison of outputs.
        files: the shipped and the float32 file of each graph.
    """
    for graph, (shipped, float32) in files.items():
        steps, name = largest_rounding(shipped, float32)
        if not name:
            continue
        measured = Measurement(f"{graph}: int8 weights", "steps from float32", steps, limit=_HALF, at_least=False)
        result = replace(result, measurements=(*result.measurements, measured))
        if not measured.passed:
            message = f"the int8 weights {name} are not the float32 weights, rounded: up to {steps:.2f} steps apart"
            advice = "the scale of a channel or a code is wrong: convert again, and report it"
            finding = Finding("int8-weights", "wrong", f"{graph} / {name}", message, advice, graph=graph)
            result = replace(
                result,
                verdict=Verdict.FAILED,
                summary=f"{finding.place}: {message}; {result.summary}",
                advice=f"{finding.place}: {advice}",
                findings=(finding, *result.findings),
            )
    return result
