"""``convert export``: writes the detector as an ONNX file and checks it."""

from __future__ import annotations

from collections.abc import Mapping
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

if TYPE_CHECKING:
    from detr2litert.convert.models.reference import Reference
    from detr2litert.convert.models.settings import Size
    from detr2litert.convert.onnx_export.export import OnnxExport
    from detr2litert.convert.onnx_export.request import OnnxOptions
    from detr2litert.convert.progress import Progress

_HEAVY = ("detr2litert.convert.onnx_export.export", "detr2litert.convert.load_detector", "onnxscript", "onnxruntime")
_ONNX = "onnx"


@click.command()
@click.option("--format", "form", default=_ONNX, show_default=True, type=click.Choice([_ONNX]), help="Of the file.")
@VARIANT
@WEIGHTS
@CLASSES
@RESOLUTION
@RESIZE
@SETTINGS
@SEED
@click.option("--dynamic-batch", is_flag=True, help="Accept any batch; checked at 1, 2, 4 and 8.")
@click.option("--batch", type=int, metavar="N", help="The batch that the file accepts [default: 1].")
@click.option("--opset", type=int, metavar="N", help="Version of ONNX's operators [default: 18].")
@click.option("--backbone-only", is_flag=True, help="Export the backbone alone: its feature maps are the outputs.")
@click.option("--notes", metavar="JSON", help="Any JSON value to store in the file's metadata.")
@click.option("--out", type=click.Path(path_type=Path), help="The file [default: exports/VARIANT.onnx].")
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
    dynamic_batch: bool,
    batch: int | None,
    opset: int | None,
    backbone_only: bool,
    notes: str | None,
    **options: Any,
) -> int:
    """Write a detector as an ONNX file and check it."""
    from detr2litert.convert.onnx_export.request import DEFAULT_OPSET, onnx_options, require_packages
    from detr2litert.convert.progress import Progress

    onnx = onnx_options(dynamic_batch, batch, DEFAULT_OPSET if opset is None else opset, backbone_only, notes)
    require_packages()
    requested = requested_settings(settings, resolution, resize)
    result = export_detector(Request(**options, requested=requested, onnx=onnx), Progress())
    if as_json:
        print_json(result.to_json())
    else:
        print_gates(result.written.gates)
        click.echo(f"file     {result.file}")
        if result.reference.random:
            click.echo("weights  RANDOM: this file detects nothing; it only shows that the detector can be exported")
    code = exit_code(result.written.gates, strict)
    if code == GATE_FAILED:
        click.echo(f"{result.file} is not verified: do not use it", err=True)
    return code


@dataclass(frozen=True)
class Request:
    """The options of an export.

    Attributes:
        onnx: the form of the file.
        variant: name of the detector; None to detect it from the checkpoint.
        weights: path, hub id, or ``"random"``; None for the variant's default.
        classes: file of class names.
        requested: settings that the user chose, by name (``convert.models.settings``).
        seed: of random weights.
        images: pictures to check the file on [default: the demo scenes].
        threshold: score above which a detection counts.
        out: the file; None for ``exports/VARIANT.onnx``.
    """

    onnx: OnnxOptions
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
    """The result of an export: the file, what is in it, and the detector that it is of."""

    file: Path
    sha256: str
    written: OnnxExport
    reference: Reference
    options: OnnxOptions

    def to_json(self) -> dict[str, Any]:
        """Returns plain data."""
        return {
            "file": str(self.file),
            "sha256": self.sha256,
            "bytes": self.file.stat().st_size,
            "variant": self.reference.variant.name,
            "opset": self.options.opset,
            "batch": self.options.batch,
            "outputs": {name: list(shape) for name, shape in self.written.outputs.items()},
            "metadata": dict(self.written.metadata),
            "gates": [gate.to_json() for gate in self.written.gates],
        }


def export_detector(request: Request, progress: Progress) -> Result:
    """Writes a detector's file and checks it; a file that fails a check is kept, as a bundle is.

    Raises:
        UserError: the request is invalid, or the detector cannot be exported in this form; nothing is left behind.
    """
    from detr2litert.convert.models.variants import find_variant

    variant = None if request.variant is None else find_variant(request.variant)
    start_pytorch(progress, _HEAVY)

    from detr2litert.convert.bundle import check_file_destination, staged_file
    from detr2litert.convert.load_detector import load_detector
    from detr2litert.convert.onnx_export.export import export_onnx
    from detr2litert.convert.proof.scenes import pictures
    from detr2litert.host_runtime.bundle import file_sha256

    judged = pictures(request.images)
    if request.out is not None:
        check_file_destination(request.out)
    reference, classes = load_detector(variant, request.weights, request.requested, request.seed, request.classes, progress)
    out = request.out or Path("exports") / f"{reference.variant.name}.onnx"
    with staged_file(out) as file:
        written = export_onnx(file, reference, classes, request.onnx, judged, request.threshold, progress)
    return Result(out, file_sha256(out), written, reference, request.onnx)
