"""Writes a detector's backbone as a .tflite file and checks it: the stages of ``detr2litert export --format tflite``."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from detr2litert.convert.compiler import trace_part
from detr2litert.convert.gate_stage import run_gate
from detr2litert.convert.models.backbone import INPUT, Backbone, maps_inside
from detr2litert.convert.models.reference import Reference
from detr2litert.convert.notes import METADATA as NOTES
from detr2litert.convert.notes import write_metadata
from detr2litert.convert.progress import Progress
from detr2litert.convert.proof.prepare import gpus
from detr2litert.convert.proof.rare import patchwork
from detr2litert.convert.proof.reference_path import ReferencePath
from detr2litert.convert.proof.scenes import Picture
from detr2litert.convert.tflite_export.compile_backbone import compile_backbone
from detr2litert.convert.tflite_export.metadata import METADATA, metadata
from detr2litert.convert.tflite_export.request import BackboneOptions
from detr2litert.convert.write_graph import write_graph
from detr2litert.graphs.partition import Part
from detr2litert.host_runtime.quiet import native_log
from detr2litert.verify.gates import Doing, GateResult
from detr2litert.verify.lint.op_lint import check_lint
from detr2litert.verify.parity.fp16 import check_fp16
from detr2litert.verify.parity.int8_weights import with_rounding
from detr2litert.verify.parity.numerics import GraphCase, check_numerics
from detr2litert.verify.residency import check_residency

NAME = "backbone"
"""Of the graph, in the report."""


@dataclass(frozen=True)
class BackboneExport:
    """A written file.

    Attributes:
        metadata: what is stored in it under ``METADATA``.
        outputs: name to shape ``[1, C, h, w]`` of each feature map, the finest first.
        gates: the results of its checks.
    """

    metadata: Mapping[str, Any]
    outputs: Mapping[str, tuple[int, ...]]
    gates: tuple[GateResult, ...]


def export_backbone(
    file: Path, reference: Reference, options: BackboneOptions, pictures: Sequence[Picture], progress: Progress
) -> BackboneExport:
    """Writes the file and checks it.

    It has the portable operators alone, since a program of its own may run it on the CPU as well.

    Args:
        file: to write.
        reference: the detector.
        options: the form of the file.
        pictures: to measure ranges and to check it on.
        progress: shows each stage.

    Raises:
        UserError: the detector has no backbone that is known, or it cannot be brought to the GPU.
    """
    path = ReferencePath(reference, [""] * reference.logit_columns)
    images = [path.tensor(picture.image) for picture in pictures]
    with progress.stage("export, rewrite") as stage:
        part = compile_backbone(Backbone(reference.module).eval(), options.target.profile, images)
        stage.detail = f"{sum(node.op == 'call_function' for node in part.graph_module.graph.nodes)} ops"
    entries = metadata(reference, options.target, options.precision)
    with tempfile.TemporaryDirectory(prefix="float32.", dir=file.parent) as scratch:
        with progress.stage(f"convert {NAME}") as stage, native_log():
            float32, _ = write_graph(part, NAME, file, Path(scratch), options.precision)
            write_metadata(file, entries, METADATA)
            if options.notes is not None:
                write_metadata(file, options.notes, NOTES)
            stage.detail = f"{options.precision}, {file.stat().st_size / 1e6:.1f} MB"
        case = _case(part, file, float32, reference, images)
        gates = tuple(run_gate(progress, name, gate) for name, gate in _gates(case, options).items())
    return BackboneExport(entries, {name: value.shape for name, value in case.expected[0].items()}, gates)


def _case(part: Part, file: Path, float32: Path, reference: Reference, images: Sequence[Tensor]) -> GraphCase:
    """Returns what the file must compute: the maps that the backbone hands on while the original detector runs."""
    inputs = {"first picture": images[0], "patchwork": patchwork(reference, images[0])}
    expected = [[value.numpy() for value in maps_inside(reference.module, image)] for image in inputs.values()]
    return GraphCase(
        NAME,
        float32,
        file,
        tuple({INPUT: image.numpy()} for image in inputs.values()),
        tuple(dict(zip(part.output_names, map(np.ascontiguousarray, maps), strict=True)) for maps in expected),
        trace=partial(trace_part, part),
        sets=tuple(inputs),
    )


def _gates(case: GraphCase, options: BackboneOptions) -> dict[str, Callable[[Doing], GateResult]]:
    gpu, fp16 = gpus(options.gpu, options.fp16)
    graphs = {NAME: case.shipped}

    def numerics(doing: Doing) -> GateResult:
        result = check_numerics((case,), gpu=gpu, doing=doing)
        return result if case.float32 is None else with_rounding(result, {NAME: (case.shipped, case.float32)})

    return {
        "lint": lambda _: check_lint(graphs, add=options.target.lint_rules),
        "residency": lambda doing: check_residency(graphs, gpu=gpu, doing=doing),
        "numerics": numerics,
        "fp16": lambda doing: check_fp16((case,), gpu=fp16, doing=doing),
    }
