"""The conversion of a detector, from the checkpoint to the verified bundle, as one call."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console

from detr2litert.convert.progress import Progress
from detr2litert.convert.proof.outside_request import OutsideRequest
from detr2litert.convert.pytorch_start import start_pytorch
from detr2litert.host_runtime.errors import UserError

if TYPE_CHECKING:
    from detr2litert.convert.compiler import CompiledDetector
    from detr2litert.convert.int8.pictures import CalibrationPictures
    from detr2litert.convert.models.classes import Classes
    from detr2litert.convert.models.reference import Reference
    from detr2litert.convert.proof.outside import Outside
    from detr2litert.convert.proof.prove import Evidence
    from detr2litert.convert.proof.scenes import Picture
    from detr2litert.convert.targets import Target
    from detr2litert.host_runtime.manifest import Manifest
    from detr2litert.rewrites.driver import StepReport
    from detr2litert.rewrites.profile import Profile
    from detr2litert.verify.precision import Precision
    from detr2litert.verify.report.static_int8 import Sweep


MOST_IMAGES = 100
"""Of the calibration pictures, unless the request has another number."""


@dataclass(frozen=True)
class Request:
    """The options of a run.

    Attributes:
        target: name of the phone to convert for.
        variant: name of the detector; None to detect it from the checkpoint.
        weights: path, hub id, or ``"random"``; None for the variant's default.
        classes: file of class names.
        requested: settings that the user chose, by name, as ``convert.models.settings.resolve.parse_requested`` returns them.
        images: pictures to judge the bundle on [default: the demo scenes].
        out: folder of the bundle; None for ``bundles/VARIANT-TARGET``.
        protect: which norms and sums are protected from overflowing fp16, a ``Protection``; None for the target's choice.
        layout: what the host step computes, a ``Layout``; None for the target's choice.
        native: False writes no native form.
        precision: of the weights, a ``Precision``.
        calibration: folder of pictures, or a ``.npy`` file of uint8 ``[N, H, W, 3]``, to calibrate activations on; needs
            the precision ``"int8"``, which is then static where that loses little. None for dynamic range.
        max_images: how many of these pictures to use; None for ``MOST_IMAGES``.
        notes: any JSON value to store with the bundle.
        threshold: score above which a detection counts.
        gpu: False skips the GPU gates.
        fp16: False skips the fp16 gate.
        zipped: also write the bundle as one file.
        seed: of random weights.
        outside: the user's detections and annotations to compare with.
    """

    target: str
    variant: str | None = None
    weights: str | None = None
    classes: Path | None = None
    requested: Mapping[str, Any] = field(default_factory=dict)
    images: tuple[Path, ...] = ()
    out: Path | None = None
    protect: str | None = None
    layout: str | None = None
    native: bool = True
    precision: str = "fp16"
    calibration: Path | None = None
    max_images: int | None = None
    notes: Any = None
    threshold: float = 0.5
    gpu: bool = True
    fp16: bool = True
    zipped: bool = False
    seed: int = 0
    outside: OutsideRequest = field(default_factory=OutsideRequest)


@dataclass(frozen=True)
class Conversion:
    """A converted detector.

    Attributes:
        folder: of the bundle and its report.
        manifest: of the bundle.
        evidence: what the gates found; ``evidence.gates`` has each one's verdict.
    """

    folder: Path
    manifest: Manifest
    evidence: Evidence


def convert_detector(request: Request, progress: Progress | None = None) -> Conversion:
    """Converts a detector, runs the gates and writes the report.

    A gate that fails raises nothing: its bundle is written, with the verdict. The libraries that convert print lines of their
    own, unless the program began with ``host_runtime.quiet.silence_native_log()``.

    Args:
        request: what to convert, and how.
        progress: prints a line for each stage; None for nothing.

    Raises:
        UserError: the request is invalid, or the detector cannot be converted; nothing is left behind.
    """
    progress = progress or Progress(Console(quiet=True))
    from detr2litert.convert.models.variants import find_variant
    from detr2litert.convert.targets import find_target

    # Before the seconds that loading PyTorch takes.
    target = find_target(request.target)
    variant = None if request.variant is None else find_variant(request.variant)
    check_calibration(request)
    start_pytorch(progress)

    from detr2litert.convert.bundle import check_destination, staged_folder
    from detr2litert.convert.load_detector import load_detector
    from detr2litert.convert.proof.outside import read_outside
    from detr2litert.convert.proof.scenes import pictures

    judged = pictures(request.images)
    calibrated_on = _calibration_pictures(request, progress)
    outside = read_outside(request.outside, request.images)
    if request.out is not None:
        check_destination(request.out, request.zipped)
    reference, classes = load_detector(variant, request.weights, request.requested, request.seed, request.classes, progress)
    outside = _complete(outside, request, reference, classes, judged, progress)
    out = request.out or Path("bundles") / f"{reference.variant.name}-{target.name}"
    with staged_folder(out, request.zipped) as folder:
        manifest, evidence = _build(folder, request, reference, target, classes, judged, calibrated_on, outside, progress)
    return Conversion(out, manifest, evidence)


def check_calibration(request: Request) -> None:
    """Refuses options of a calibration that have no meaning, before any work is done.

    Raises:
        UserError: there is a calibration without int8, or a number of pictures without a calibration or below 1.
    """
    if request.calibration is None:
        if request.max_images is not None:
            raise UserError("--max-images is the number of pictures of --calibration; give that too")
        return
    if request.precision != "int8":
        raise UserError(f"--calibration is for --precision int8, not for {request.precision}; give that too, or leave it out")
    if request.max_images is not None and request.max_images < 1:
        raise UserError(f"--max-images {request.max_images}: give 20 to 100, at least 1")


def _calibration_pictures(request: Request, progress: Progress) -> CalibrationPictures | None:
    if request.calibration is None:
        return None
    from detr2litert.convert.int8.pictures import read_calibration

    with progress.stage("read calibration pictures") as stage:
        found = read_calibration(request.calibration, request.max_images or MOST_IMAGES)
        stage.detail = found.describe()
    return found


def _complete(
    outside: Outside,
    request: Request,
    reference: Reference,
    classes: Classes,
    judged: Sequence[Picture],
    progress: Progress,
) -> Outside:
    from detr2litert.convert.processing import postprocess_of
    from detr2litert.convert.proof.outside import complete

    keypoints = postprocess_of(reference, classes).keypoints
    given = (outside, reference, classes.names, judged, request.threshold)
    completed = partial(complete, *given, demo_default=True, keypoints=keypoints)
    if request.outside.oracle is None:
        return completed()
    with progress.stage("ask the original project") as stage:
        outside = completed()
        stage.detail = "" if outside.expected is None else outside.expected.differs or outside.expected.source
    return outside


def _build(
    folder: Path,
    request: Request,
    reference: Reference,
    target: Target,
    classes: Classes,
    judged: Sequence[Picture],
    calibrated_on: CalibrationPictures | None,
    outside: Outside,
    progress: Progress,
) -> tuple[Manifest, Evidence]:
    from detr2litert.convert.bundle import GoldenRun, graph_file, write_bundle
    from detr2litert.convert.models.settings.picture import preprocess_of
    from detr2litert.convert.notes import write_metadata
    from detr2litert.convert.proof.prepare import gpus, prepare
    from detr2litert.convert.proof.prove import prove
    from detr2litert.convert.proof.reporting import report, write_reports
    from detr2litert.convert.proof.subject import Subject
    from detr2litert.verify.parity.detections import DetectionLimits
    from detr2litert.verify.precision import Precision, describe_precision, precision_records

    limits = DetectionLimits(threshold=request.threshold)
    prepared = prepare(reference, classes.names, _profile(target, request), judged, limits, progress)
    compiled, precision = prepared.compiled, Precision(request.precision)
    golden = GoldenRun(judged[0].image, prepared.values, prepared.pairs[0][1].above(limits.threshold), limits.threshold)
    with tempfile.TemporaryDirectory(prefix="float32.", dir=folder.parent) as scratch:
        float32, fix_ups = _convert(folder, Path(scratch), compiled, precision, progress)
        sweeps: tuple[Sweep, ...] = ()
        recorded = precision_records(precision)
        if calibrated_on is not None:
            from detr2litert.convert.int8.static_graphs import store_static_graphs

            spec = preprocess_of(reference.settings)
            sweeps, records = store_static_graphs(folder, float32, compiled, calibrated_on, spec, progress)
            recorded |= records
        if request.notes is not None:
            for name in compiled.graphs:
                write_metadata(folder / graph_file(name), request.notes)
        with progress.stage("write bundle") as stage:
            manifest = write_bundle(folder, reference, target, compiled, classes, golden, recorded, request.notes)
            sizes = {name: manifest.files[graph_file(name)].bytes / 1e6 for name in compiled.graphs}
            stage.detail = (
                f"{describe_precision(manifest)}: {', '.join(f'{name} {size:.1f} MB' for name, size in sizes.items())}"
            )
        adapters = gpus(request.gpu, request.fp16)
        subject = Subject(folder, manifest, target, limits, *adapters, prepared, float32, outside=outside)
        evidence = prove(subject, progress)
    write_reports(report(manifest, evidence, progress, compiled, fix_ups, reference.place, classes.ids, sweeps), folder)
    return manifest, evidence


def _convert(
    folder: Path, scratch: Path, compiled: CompiledDetector, precision: Precision, progress: Progress
) -> tuple[dict[str, Path], dict[str, tuple[StepReport, ...]]]:
    """Writes the graphs into the folder, and their float32 forms into ``scratch``, for the gates.

    Returns:
        The float32 files by graph, and the reports of the fix-ups on each file.
    """
    from detr2litert.convert.bundle import graph_file
    from detr2litert.convert.write_graph import write_graph
    from detr2litert.host_runtime.quiet import native_log

    float32, fix_ups = {}, {}
    for name, part in compiled.graphs.items():
        with progress.stage(f"convert {name}") as stage, native_log():
            file = graph_file(name)
            float32[name], fix_ups[file] = write_graph(part, name, folder / file, scratch, precision)
            fired = [(step.name, len(step.fired)) for step in fix_ups[file] if step.fired]
            stage.detail = ", ".join(f"{fix} {count}×" for fix, count in fired)
    return float32, fix_ups


def _profile(target: Target, request: Request) -> Profile:
    """Returns the target's options of the rewrites, with the user's overrides."""
    from detr2litert.graphs.partition import Layout
    from detr2litert.rewrites.profile import Protection

    profile = target.profile if request.native else replace(target.profile, native_form=False)
    if request.protect is not None:
        profile = replace(profile, protection=Protection(request.protect))
    return profile if request.layout is None else replace(profile, layout=Layout(request.layout))
