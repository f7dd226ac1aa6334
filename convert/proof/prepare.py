"""Prepares the reference side of a proof, for a conversion and for a verification of a finished bundle."""

from __future__ import annotations

from collections.abc import Sequence

from detr2litert.convert.compiler import CompiledDetector, ProgressObserver, compile_detector
from detr2litert.convert.models.reference import Reference
from detr2litert.convert.progress import Progress
from detr2litert.convert.proof.reference_path import ReferencePath
from detr2litert.convert.proof.scenes import Picture
from detr2litert.convert.proof.subject import ReferenceRun, lowest_score
from detr2litert.graphs.partition import Layout
from detr2litert.host_runtime.decode import Detections
from detr2litert.rewrites.profile import Profile
from detr2litert.verify.delegate.adapters import Driver
from detr2litert.verify.delegate.driver import (
    LEFT_OUT,
    LEFT_OUT_FP16,
    NO_ADAPTER,
    NO_FP16,
    NoGpu,
    find_driver,
    find_fp16_driver,
)
from detr2litert.verify.parity.detections import DetectionLimits


def prepare(
    reference: Reference,
    class_names: Sequence[str | None],
    profile: Profile,
    pictures: Sequence[Picture],
    limits: DetectionLimits,
    progress: Progress,
) -> ReferenceRun:
    """Compiles the detector, and detects with the original in every picture.

    Args:
        reference: the detector, with its weights.
        class_names: the name of each logit column.
        profile: options of the rewrites.
        pictures: for measuring ranges and for the gates; stage values are of the first.
        limits: of the detections gate.
        progress: shows a stage each for compiling and detecting.

    Raises:
        UserError: the detector cannot be partitioned or lowered to the GPU.
    """
    one = profile.layout is Layout.SINGLE
    with progress.stage("export, rewrite, one graph" if one else "export, rewrite, cut in two") as stage:
        path = ReferencePath(reference, class_names)
        images = [path.tensor(picture.image) for picture in pictures]
        compiled = compile_detector(reference, profile, images, ProgressObserver(stage.doing))
        stage.detail = _summary(compiled)
    with progress.stage("detect with PyTorch") as stage:
        pairs: list[tuple[Picture, Detections]] = []
        for number, picture in enumerate(pictures, start=1):
            stage.doing(f"picture {number} of {len(pictures)}")
            pairs.append((picture, path.detect(picture.image, lowest_score(limits))))
        values = compiled.evaluate(images[0])
        found = sum(len(detections.above(limits.threshold)) for _, detections in pairs)
        stage.detail = f"{found} detections above {limits.threshold:g} in {len(pairs)} picture{'s' if len(pairs) > 1 else ''}"
    return ReferenceRun(path, compiled, values, pairs)


def gpus(gpu: bool, fp16: bool) -> tuple[Driver | NoGpu, Driver | NoGpu]:
    """Returns the adapters for the GPU gates and for the fp16 gate, or why none is available.

    Args:
        gpu: False to skip the GPU gates.
        fp16: False to skip the fp16 gate.
    """
    if not gpu:
        return LEFT_OUT, LEFT_OUT
    return find_driver() or NO_ADAPTER, (find_fp16_driver() or NO_FP16) if fp16 else LEFT_OUT_FP16


def _summary(compiled: CompiledDetector) -> str:
    last = {name: reports[-1].ops_after for name, reports in compiled.reports.items() if name in compiled.graphs}
    native = [ops for name, ops in last.items() if name not in compiled.parts.graphs]
    norms = sum("layer_norm" in item.op for ranges in compiled.ranges.values() for item in ranges)
    steps = [step for name in compiled.parts.graphs for step in compiled.reports[name]]
    norms_protected, sums_protected = (
        sum(len(step.fired) for step in steps if step.name == name) for name in ("protect_layer_norm", "protect_sums")
    )
    own = f" (native {' + '.join(map(str, native))})" if native else ""
    between = "top-k inside" if compiled.parts.b is None else f"host step of {len(compiled.parts.host.program.ops)}"
    sums = f" and {sums_protected} sums" if sums_protected else ""
    return (
        f"{' + '.join(str(last[name]) for name in compiled.parts.graphs)} ops{own}, "
        f"{between}, {norms_protected} of {norms} layer norms{sums} protected"
    )
