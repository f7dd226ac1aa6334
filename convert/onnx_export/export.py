"""Exports a detector and checks the file: the stages of ``detr2litert export``."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from detr2litert.convert.gate_stage import run_gate
from detr2litert.convert.models.classes import Classes
from detr2litert.convert.models.reference import Reference
from detr2litert.convert.onnx_export import detections, parity, structure
from detr2litert.convert.onnx_export.exporter import exported_module, output_names, write_onnx
from detr2litert.convert.onnx_export.metadata import metadata
from detr2litert.convert.onnx_export.pytorch_side import Case, compute_cases, images, samples
from detr2litert.convert.onnx_export.request import OnnxOptions
from detr2litert.convert.progress import Progress
from detr2litert.convert.proof.rare import few_threads
from detr2litert.convert.proof.reference_path import ReferencePath
from detr2litert.convert.proof.scenes import Picture
from detr2litert.verify.gates import Doing, GateResult
from detr2litert.verify.parity.detections import DetectionLimits

_Gate = Callable[[Doing], GateResult]


@dataclass(frozen=True)
class OnnxExport:
    """A written file.

    Attributes:
        metadata: its entries by name.
        outputs: name to shape without the batch.
        gates: the results of its checks.
    """

    metadata: Mapping[str, str]
    outputs: Mapping[str, tuple[int, ...]]
    gates: tuple[GateResult, ...]


def export_onnx(
    file: Path,
    reference: Reference,
    classes: Classes,
    options: OnnxOptions,
    pictures: Sequence[Picture],
    threshold: float,
    progress: Progress,
) -> OnnxExport:
    """Writes a file and checks it.

    Args:
        file: to write.
        reference: the detector.
        classes: the meaning of its logit columns.
        options: the form of the file.
        pictures: to check it on.
        threshold: score above which a detection counts.
        progress: shows each stage.

    Raises:
        UserError: PyTorch cannot export the detector in this form.
    """
    entries = metadata(reference, classes, options)
    outputs = _outputs(reference, options)
    with progress.stage("export to ONNX") as stage:
        write_onnx(reference, options, tuple(outputs), entries, file)
        batch = "any batch" if options.batch is None else f"batch {options.batch}"
        stage.detail = f"opset {options.opset}, {batch}, {file.stat().st_size / 1e6:.1f} MB"
    with few_threads(reference):
        gates = _gates(file, reference, classes, options, outputs, entries, pictures, threshold, progress)
        results = tuple(run_gate(progress, name, gate) for name, gate in gates.items())
    return OnnxExport(entries, outputs, results)


def _outputs(reference: Reference, options: OnnxOptions) -> dict[str, tuple[int, ...]]:
    """Returns the name of each output and its shape without the batch."""
    with torch.no_grad():
        values = exported_module(reference, options)(reference.example_input())
    return {name: tuple(value.shape[1:]) for name, value in zip(output_names(options, len(values)), values, strict=True)}


def _gates(
    file: Path,
    reference: Reference,
    classes: Classes,
    options: OnnxOptions,
    outputs: Mapping[str, tuple[int, ...]],
    entries: Mapping[str, str],
    pictures: Sequence[Picture],
    threshold: float,
    progress: Progress,
) -> dict[str, _Gate]:
    """Returns the gates that apply, in order, once PyTorch's side of them is computed."""
    path, batches = ReferencePath(reference, classes.names), options.checked_batches
    sampled = samples(reference.module, reference.example_input())
    asked = structure.interface(options, (reference.channels, *reference.size), outputs, sampled, entries)
    gates: dict[str, _Gate] = {structure.GATE: lambda _: structure.check_structure(file, asked, options.opset)}
    if options.backbone_only:
        inputs = [image for _, _, image in images(path, pictures, max(batches))]
        gates[parity.GATE] = lambda doing: parity.check_backbone_parity(file, reference, inputs, batches, doing)
        return gates
    limits = DetectionLimits(threshold=threshold)
    cases: tuple[Case, ...] = ()
    with progress.stage("detect with PyTorch") as stage:
        cases = compute_cases(path, pictures, max(batches))
        stage.detail = f"{len(cases)} input{'s' if len(cases) > 1 else ''}, each with its own and with tied scores"
    gates[parity.GATE] = lambda doing: parity.check_parity(file, reference, cases, batches, doing)
    gates[detections.GATE] = lambda doing: detections.check_file_detections(file, path, cases, batches, limits, doing)
    return gates
