"""``convert run``: converts a checkpoint to a verified bundle."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from detr2litert.convert.bundle import (
    GRAPH_FILES,
    GoldenRun,
    check_destination,
    preprocess_of,
    source_name,
    staged_folder,
    write_bundle,
)
from detr2litert.convert.compiler import CompiledDetector
from detr2litert.convert.half_precision import store_half
from detr2litert.convert.lowering.lower import lower
from detr2litert.convert.models.checkpoints import Checkpoint, choose_variant, load_checkpoint
from detr2litert.convert.models.classes import Classes, resolve_classes
from detr2litert.convert.models.reference import Reference, build_reference
from detr2litert.convert.models.variants import Variant, find_variant
from detr2litert.convert.progress import Progress
from detr2litert.convert.proof.prepare import gpus, prepare
from detr2litert.convert.proof.prove import Evidence, prove
from detr2litert.convert.proof.reporting import report, write_reports
from detr2litert.convert.proof.scenes import Picture, pictures
from detr2litert.convert.proof.subject import Subject
from detr2litert.convert.targets import Target, find_target
from detr2litert.host_runtime.errors import UserError
from detr2litert.host_runtime.manifest import Manifest, Resize
from detr2litert.host_runtime.quiet import native_log
from detr2litert.rewrites.driver import StepReport
from detr2litert.rewrites.flatbuffer.pipeline import fix_up
from detr2litert.rewrites.profile import Profile, Protection
from detr2litert.verify.parity.detections import DetectionLimits

RANDOM = "random"
"""Value of ``--weights`` for seeded random weights."""


@dataclass(frozen=True)
class Request:
    """The options of a run.

    Attributes:
        target: name of the phone to convert for.
        variant: name of the detector; None to detect it from the checkpoint.
        weights: path, hub id, or ``"random"``; None for the variant's default.
        classes: file of class names.
        resolution: side of the input in pixels; None for the resolution of training.
        images: pictures to judge the bundle on [default: the demo scenes].
        out: folder of the bundle; None for ``bundles/VARIANT-TARGET``.
        resize: interpolation of the pre-processing; None for the variant's.
        protect: which norms and sums are protected from overflowing fp16, a ``Protection``; None for the target's choice.
        threshold: score above which a detection counts.
        gpu: False skips the GPU gates.
        fp16: False skips the fp16 gate.
        zipped: also write the bundle as one file.
        seed: of random weights.
    """

    target: str
    variant: str | None = None
    weights: str | None = None
    classes: Path | None = None
    resolution: int | None = None
    images: tuple[Path, ...] = ()
    out: Path | None = None
    resize: Resize | None = None
    protect: str | None = None
    threshold: float = 0.5
    gpu: bool = True
    fp16: bool = True
    zipped: bool = False
    seed: int = 0


@dataclass(frozen=True)
class Result:
    """The result of a run: the bundle's folder and the evidence."""

    folder: Path
    manifest: Manifest
    evidence: Evidence


def run(request: Request, progress: Progress) -> Result:
    """Converts a detector, runs the gates and writes the report.

    Raises:
        UserError: the request is invalid; nothing is left behind.
    """
    target = find_target(request.target)
    variant = None if request.variant is None else find_variant(request.variant)
    judged = pictures(request.images)
    if request.out is not None:
        check_destination(request.out, request.zipped)
    with progress.stage("load weights") as stage:
        reference, checkpoint = load_reference(variant, request.weights, request.resolution, request.seed)
        stated = None if checkpoint is None else checkpoint.class_names
        classes = resolve_classes(reference.variant, reference.logit_columns, stated, request.classes)
        weights = source_name(reference.source)
        stage.detail = (
            f"{reference.variant.name} at {reference.resolution} px, weights {weights}, classes from {classes.source}"
        )
    out = request.out or Path("bundles") / f"{reference.variant.name}-{target.name}"
    with staged_folder(out, request.zipped) as folder:
        manifest, evidence = _build(folder, request, reference, target, classes, judged, progress)
    return Result(out, manifest, evidence)


def load_reference(
    variant: Variant | None, weights: str | None, resolution: int | None, seed: int = 0
) -> tuple[Reference, Checkpoint | None]:
    """Loads the reference detector, and its checkpoint unless its weights are random.

    Raises:
        UserError: the detector is not specified, or the weights are not available or do not fit.
    """
    if weights == RANDOM:
        if variant is None:
            raise UserError("--weights random needs --variant, since there is no checkpoint to detect it from")
        return build_reference(variant, None, resolution, seed), None
    source = weights or (variant.default_weights if variant is not None else None)
    if source is None and variant is not None:
        raise UserError(f"no weights of {variant.name} are published in a form that can be downloaded; give --weights")
    if source is None:
        raise UserError("give --variant, --weights, or both (`convert variants` lists the detectors)")
    checkpoint = load_checkpoint(source)
    chosen = choose_variant(checkpoint, None if variant is None else variant.name)
    return build_reference(chosen, checkpoint, resolution), checkpoint


def _build(
    folder: Path,
    request: Request,
    reference: Reference,
    target: Target,
    classes: Classes,
    judged: Sequence[Picture],
    progress: Progress,
) -> tuple[Manifest, Evidence]:
    limits = DetectionLimits(threshold=request.threshold)
    prepared = prepare(reference, classes.names, request.resize, profile_of(target, request), judged, limits, progress)
    compiled = prepared.compiled
    spec = preprocess_of(reference, request.resize)
    golden = GoldenRun(judged[0].image, prepared.values, prepared.pairs[0][1].above(limits.threshold), limits.threshold)
    with tempfile.TemporaryDirectory(prefix="float32.", dir=folder.parent) as scratch:
        float32, fix_ups = _convert(folder, Path(scratch), compiled, progress)
        with progress.stage("write bundle") as stage:
            manifest = write_bundle(folder, reference, target, compiled, classes, spec, golden)
            sizes = {name: manifest.files[file].bytes / 1e6 for name, file in GRAPH_FILES.items()}
            stage.detail = ", ".join(f"{name} {size:.1f} MB" for name, size in sizes.items())
        adapters = gpus(request.gpu, request.fp16)
        evidence = prove(Subject(folder, manifest, target, limits, *adapters, prepared, float32), progress)
    write_reports(report(manifest, evidence, progress, compiled, fix_ups), folder)
    return manifest, evidence


def _convert(
    folder: Path, scratch: Path, compiled: CompiledDetector, progress: Progress
) -> tuple[dict[str, Path], dict[str, tuple[StepReport, ...]]]:
    """Writes both graphs into the folder, and their float32 forms into ``scratch``, for the gates.

    Returns:
        The float32 files by graph, and the reports of the fix-ups on each file.
    """
    float32, fix_ups = {}, {}
    for name, part in compiled.parts.graphs.items():
        with progress.stage(f"convert {name}") as stage, native_log():
            raw, fixed = scratch / f"{name}.raw.tflite", scratch / f"{name}.tflite"
            lower(part, raw)
            fix_ups[GRAPH_FILES[name]] = fix_up(raw, fixed)
            raw.unlink()
            store_half(fixed, folder / GRAPH_FILES[name])
            float32[name] = fixed
            fired = [(step.name, len(step.fired)) for step in fix_ups[GRAPH_FILES[name]] if step.fired]
            stage.detail = ", ".join(f"{fix} {count}×" for fix, count in fired)
    return float32, fix_ups


def profile_of(target: Target, request: Request) -> Profile:
    """Returns the target's options of the rewrites, with the user's overrides."""
    return target.profile if request.protect is None else replace(target.profile, protection=Protection(request.protect))
