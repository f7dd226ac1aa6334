"""``convert export``: writes a detector as an ONNX file, or its backbone as an ONNX or a .tflite file, and checks it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from detr2litert.convert.cli.base import GATE_FAILED, STRICT_FLAG, exit_code, reported
from detr2litert.convert.cli.detector_options import (
    CLASSES,
    IMAGES,
    RESIZE,
    RESOLUTION,
    SEED,
    SETTINGS,
    THRESHOLD,
    VARIANT,
    WEIGHTS,
    requested_settings,
)
from detr2litert.convert.cli.output import print_gates, print_json
from detr2litert.convert.pytorch_start import start_pytorch
from detr2litert.host_runtime.errors import UserError

if TYPE_CHECKING:
    from detr2litert.convert.models.classes import Classes
    from detr2litert.convert.models.reference import Reference
    from detr2litert.convert.models.settings import Size
    from detr2litert.convert.onnx_export.request import OnnxOptions
    from detr2litert.convert.progress import Progress
    from detr2litert.convert.proof.scenes import Picture
    from detr2litert.convert.tflite_export.request import BackboneOptions
    from detr2litert.verify.gates import GateResult

_HEAVY_ONNX = ("detr2litert.convert.onnx_export.export", "detr2litert.convert.load_detector", "onnxscript", "onnxruntime")
_HEAVY_TFLITE = ("detr2litert.convert.tflite_export.export", "detr2litert.convert.load_detector")
_ONNX, _TFLITE = "onnx", "tflite"
_OF_ONNX = ("dynamic_batch", "batch", "opset", "classes")
_OF_TFLITE = ("target", "precision", "gpu", "fp16")
"""The options that one format alone has."""


@click.command(short_help="Write a detector, or its backbone, as one file, and check it.")
@click.option("--format", "form", default=_ONNX, show_default=True, type=click.Choice([_ONNX, _TFLITE]), help="Of the file.")
@VARIANT
@WEIGHTS
@CLASSES
@RESOLUTION
@RESIZE
@SETTINGS
@SEED
@click.option("--dynamic-batch", is_flag=True, default=None, help="Accept any batch; checked at 1, 2, 4 and 8.")
@click.option("--batch", type=int, metavar="N", help="The batch that the file accepts [default: 1].")
@click.option("--opset", type=int, metavar="N", help="Version of ONNX's operators [default: 18].")
@click.option("--backbone-only", is_flag=True, help="Export the backbone alone: its feature maps are the outputs.")
@click.option("--target", help="Of a .tflite file: phone to convert for. See `convert targets`.")
@click.option(
    "--precision", type=click.Choice(["fp32", "fp16", "int8"]), help="Of a .tflite file's stored weights [default: fp16]."
)
@click.option("--gpu/--no-gpu", default=None, help="Of a .tflite file: run the GPU gates.")
@click.option("--fp16/--no-fp16", default=None, help="Of a .tflite file: run the fp16 gate.")
@click.option("--notes", metavar="JSON", help="Any JSON value to store in the file's metadata.")
@click.option("--out", type=click.Path(path_type=Path), help="The file [default: exports/VARIANT.onnx or .tflite].")
@IMAGES
@THRESHOLD
@STRICT_FLAG
@click.option("--json", "as_json", is_flag=True, help="Print a record as JSON instead of the table.")
@reported
def export(
    form: str,
    as_json: bool,
    strict: bool,
    settings: tuple[str, ...],
    resolution: Size | None,
    resize: str | None,
    **options: Any,
) -> int:
    """Write a detector as an ONNX file, or its backbone as an ONNX or a .tflite file, and check it."""
    from detr2litert.convert.progress import Progress

    asked = _asked(form, options)
    requested = requested_settings(settings, resolution, resize)
    result = export_detector(Request(**options, requested=requested, form=asked), Progress())
    if as_json:
        print_json(result.to_json())
    else:
        print_gates(result.gates)
        click.echo(f"file     {result.file}")
        if result.reference.random:
            click.echo("weights  RANDOM: this file detects nothing; it only shows that the detector can be exported")
    code = exit_code(result.gates, strict)
    if code == GATE_FAILED:
        click.echo(f"{result.file} is not verified: do not use it", err=True)
    return code


def _asked(form: str, options: dict[str, Any]) -> OnnxOptions | BackboneOptions:
    """Takes the options of the form out of the command line's, and checks them.

    Raises:
        UserError: one has a value that cannot be used, or is of the other format.
    """
    others = _OF_TFLITE if form == _ONNX else _OF_ONNX
    for name in others:
        if options[name] is not None:
            raise UserError(f"--{name.replace('_', '-')} does not apply to --format {form}; leave it out")
    taken = {name: options.pop(name) for name in ("backbone_only", "notes", *_OF_TFLITE, *_OF_ONNX[:-1])}
    if form == _ONNX:
        from detr2litert.convert.onnx_export.request import DEFAULT_OPSET, onnx_options, require_packages

        opset = DEFAULT_OPSET if taken["opset"] is None else taken["opset"]
        onnx = onnx_options(bool(taken["dynamic_batch"]), taken["batch"], opset, taken["backbone_only"], taken["notes"])
        require_packages()
        return onnx
    from detr2litert.convert.tflite_export.request import backbone_options

    on = {name: taken[name] is not False for name in ("gpu", "fp16")}
    return backbone_options(taken["target"], taken["backbone_only"], taken["precision"] or "fp16", taken["notes"], **on)


@dataclass(frozen=True)
class Request:
    """The options of an export.

    Attributes:
        form: the form of the file, and with it the format.
        variant: name of the detector; None to detect it from the checkpoint.
        weights: path, hub id, or ``"random"``; None for the variant's default.
        classes: file of class names.
        requested: settings that the user chose, by name (``convert.models.settings``).
        seed: of random weights.
        images: pictures to check the file on [default: the demo scenes].
        threshold: score above which a detection counts.
        out: the file; None for ``exports/VARIANT.onnx`` or ``.tflite``.
    """

    form: OnnxOptions | BackboneOptions
    variant: str | None = None
    weights: str | None = None
    classes: Path | None = None
    requested: Mapping[str, Any] = field(default_factory=dict)
    seed: int = 0
    images: tuple[Path, ...] = ()
    threshold: float = 0.5
    out: Path | None = None


@dataclass(frozen=True)
class Result:
    """The result of an export.

    Attributes:
        file: that was written.
        sha256: of the file.
        reference: the detector that it is of.
        gates: the results of its checks.
        record: what else is known of the file, plain data.
    """

    file: Path
    sha256: str
    reference: Reference
    gates: tuple[GateResult, ...]
    record: Mapping[str, Any]

    def to_json(self) -> dict[str, Any]:
        """Returns plain data."""
        return {
            "file": str(self.file),
            "sha256": self.sha256,
            "bytes": self.file.stat().st_size,
            "variant": self.reference.variant.name,
            **self.record,
            "gates": [gate.to_json() for gate in self.gates],
        }


def export_detector(request: Request, progress: Progress) -> Result:
    """Writes a detector's file and checks it; a file that fails a check is kept, as a bundle is.

    Raises:
        UserError: the request is invalid, or the detector cannot be exported in this form; nothing is left behind.
    """
    from detr2litert.convert.models.variants import find_variant
    from detr2litert.convert.onnx_export.request import OnnxOptions

    variant = None if request.variant is None else find_variant(request.variant)
    onnx = isinstance(request.form, OnnxOptions)
    start_pytorch(progress, _HEAVY_ONNX if onnx else _HEAVY_TFLITE)

    from detr2litert.convert.bundle import check_file_destination, staged_file
    from detr2litert.convert.load_detector import load_detector
    from detr2litert.convert.proof.scenes import pictures
    from detr2litert.host_runtime.bundle import file_sha256

    judged = pictures(request.images)
    if request.out is not None:
        check_file_destination(request.out)
    reference, classes = load_detector(variant, request.weights, request.requested, request.seed, request.classes, progress)
    out = request.out or Path("exports") / f"{reference.variant.name}.{_ONNX if onnx else _TFLITE}"
    with staged_file(out) as file:
        if isinstance(request.form, OnnxOptions):
            gates, record = _export_onnx(file, reference, classes, request.form, judged, request.threshold, progress)
        else:
            gates, record = _export_tflite(file, reference, request.form, judged, progress)
    return Result(out, file_sha256(out), reference, gates, record)


def _export_onnx(
    file: Path,
    reference: Reference,
    classes: Classes,
    options: OnnxOptions,
    judged: Sequence[Picture],
    threshold: float,
    progress: Progress,
) -> tuple[tuple[GateResult, ...], dict[str, Any]]:
    from detr2litert.convert.onnx_export.export import export_onnx

    written = export_onnx(file, reference, classes, options, judged, threshold, progress)
    record = {"opset": options.opset, "batch": options.batch, **_described(written.outputs, written.metadata)}
    return written.gates, record


def _export_tflite(
    file: Path, reference: Reference, options: BackboneOptions, judged: Sequence[Picture], progress: Progress
) -> tuple[tuple[GateResult, ...], dict[str, Any]]:
    from detr2litert.convert.tflite_export.export import export_backbone

    written = export_backbone(file, reference, options, judged, progress)
    return written.gates, _described(written.outputs, written.metadata)


def _described(outputs: Mapping[str, tuple[int, ...]], metadata: Mapping[str, Any]) -> dict[str, Any]:
    return {"outputs": {name: list(shape) for name, shape in outputs.items()}, "metadata": dict(metadata)}
