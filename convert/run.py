"""``convert run``: from a checkpoint to a proven bundle."""

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
from detr2litert.convert.checkpoints import Checkpoint, choose_variant, load_checkpoint
from detr2litert.convert.classes import Classes, resolve_classes
from detr2litert.convert.compiler import CompiledDetector, Telling, compile_detector
from detr2litert.convert.half_precision import store_half
from detr2litert.convert.lowering.lower import lower
from detr2litert.convert.progress import Progress
from detr2litert.convert.proof.gates import Evidence, Proof, detect_all, gpus, prove, reference_summary
from detr2litert.convert.proof.reference_path import ReferencePath
from detr2litert.convert.proof.reporting import report, write_reports
from detr2litert.convert.proof.scenes import Picture, pictures
from detr2litert.convert.reference import Reference, build_reference
from detr2litert.convert.targets import Target, find_target
from detr2litert.convert.variants import Variant, find_variant
from detr2litert.host_runtime.errors import UserError
from detr2litert.host_runtime.manifest import Manifest, Resize
from detr2litert.host_runtime.quiet import native_log
from detr2litert.rewrites.flatbuffer.pipeline import fix_up
from detr2litert.rewrites.pipeline import StepReport
from detr2litert.rewrites.profile import Profile, Protection
from detr2litert.verify.parity.detections import DetectionLimits

RANDOM = "random"
"""The word that asks for seeded random weights."""


@dataclass(frozen=True)
class Request:
    """What the user asked for.

    Attributes:
        target: name of the phone to convert for.
        variant: name of the detector; None to tell it from the checkpoint.
        weights: path, hub id, or ``"random"``; None for the variant's own.
        classes: file of class names.
        resolution: side of the input in pixels; None for the one the weights were trained at.
        images: pictures to judge the bundle on; the demo scenes if there are none.
        out: folder of the bundle; None for ``bundles/VARIANT-TARGET``.
        resize: interpolation of the pre-processing; None for the variant's.
        protect: which norms and sums are protected from overflowing fp16, a ``Protection``; None for the target's choice.
        threshold: score above which a detection counts.
        gpu: False leaves the GPU gates out.
        fp16: False leaves the fp16 gate out.
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
    """What a run left: the bundle's folder and the evidence."""

    folder: Path
    manifest: Manifest
    evidence: Evidence


def run(request: Request, progress: Progress) -> Result:
    """Convert, prove and report.

    Raises:
        UserError: for anything that is wrong with the request; nothing is left behind.
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
    """The reference detector, and its checkpoint unless its weights are random.

    Raises:
        UserError: nothing says which detector it is, or the weights cannot be had or do not fit.
    """
    if weights == RANDOM:
        if variant is None:
            raise UserError("--weights random needs --variant, for there is no checkpoint to tell it from")
        return build_reference(variant, None, resolution, seed), None
    source = weights or (variant.default_weights if variant is not None else None)
    if source is None and variant is not None:
        raise UserError(f"no weights of {variant.name} are published in a form that can be fetched; give --weights")
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
    with progress.stage("export, rewrite, cut in two") as stage:
        path = ReferencePath(reference, classes.names, request.resize)
        images = [path.tensor(item.image) for item in judged]
        compiled = compile_detector(reference, profile_of(target, request), images, Telling(stage.doing))
        stage.detail = _told(compiled)
    spec = preprocess_of(reference, request.resize)
    limits = DetectionLimits(threshold=request.threshold)
    with progress.stage("detect with PyTorch") as stage:
        pairs = detect_all(path, judged, limits, stage.doing)
        found = pairs[0][1].above(limits.threshold)
        golden = GoldenRun(judged[0].image, compiled.evaluate(images[0]), found, limits.threshold)
        stage.detail = reference_summary(pairs, limits)
    with tempfile.TemporaryDirectory(prefix="float32.", dir=folder.parent) as scratch:
        float32, fix_ups = _convert(folder, Path(scratch), compiled, progress)
        with progress.stage("write bundle") as stage:
            manifest = write_bundle(folder, reference, target, compiled, classes, spec, golden)
            sizes = {name: manifest.files[file].bytes / 1e6 for name, file in GRAPH_FILES.items()}
            stage.detail = ", ".join(f"{name} {size:.1f} MB" for name, size in sizes.items())
        proof = Proof(folder, manifest, target, limits, *gpus(request.gpu, request.fp16))
        evidence = prove(proof, path, compiled, golden.tensors, pairs, float32, progress)
    write_reports(report(manifest, evidence, progress, compiled, fix_ups), folder)
    return manifest, evidence


def _convert(
    folder: Path, scratch: Path, compiled: CompiledDetector, progress: Progress
) -> tuple[dict[str, Path], dict[str, tuple[StepReport, ...]]]:
    """Write both graphs into the folder, and their float32 forms into ``scratch``, for the proof.

    Returns:
        The float32 files by graph, and what the fix-ups did to each file.
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
    """The target's options of the rewrites, with what the user forces."""
    return target.profile if request.protect is None else replace(target.profile, protection=Protection(request.protect))


def _told(compiled: CompiledDetector) -> str:
    last = {name: reports[-1].ops_after for name, reports in compiled.reports.items()}
    norms = sum("layer_norm" in item.op for ranges in compiled.ranges.values() for item in ranges)
    steps = [step for reports in compiled.reports.values() for step in reports]
    norms_kept, sums_kept = (
        sum(len(step.fired) for step in steps if step.name == name) for name in ("protect_layer_norm", "protect_sums")
    )
    sums = f" and {sums_kept} sums" if sums_kept else ""
    return (
        f"{last['graph_a']} + {last['graph_b']} ops, host step of {len(compiled.parts.host.program.ops)}, "
        f"{norms_kept} of {norms} layer norms{sums} protected"
    )
