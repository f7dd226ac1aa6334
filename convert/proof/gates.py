"""The gates on a finished bundle, with PyTorch as the reference."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from detr2litert.convert.compiler import CompiledDetector, trace_part
from detr2litert.convert.progress import Progress, Stage
from detr2litert.convert.proof.equivalence import check_rewrites
from detr2litert.convert.proof.host import check_host
from detr2litert.convert.proof.reference_path import ReferencePath
from detr2litert.convert.proof.scenes import Picture
from detr2litert.convert.targets import Target
from detr2litert.host_runtime.bundle import load_bundle
from detr2litert.host_runtime.decode import Detection, Detections, decode_outputs
from detr2litert.host_runtime.draw import draw_detections
from detr2litert.host_runtime.host_step import HostStep
from detr2litert.host_runtime.manifest import Manifest
from detr2litert.host_runtime.preprocess import preprocess
from detr2litert.host_runtime.runner import Runner
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
from detr2litert.verify.gates import Doing, Finding, GateResult, Verdict, unheard
from detr2litert.verify.lint.op_lint import check_lint
from detr2litert.verify.parity.detections import (
    DetectionCase,
    DetectionLimits,
    MatchRow,
    check_detections,
    compare_detections,
)
from detr2litert.verify.parity.fp16 import Chain, ChainScene, Fp16Limits, check_fp16
from detr2litert.verify.parity.numerics import GraphCase, check_numerics
from detr2litert.verify.parity.second_runtime import check_second_runtime
from detr2litert.verify.parity.tensorflow_run import installed
from detr2litert.verify.residency import check_residency

Array = NDArray[np.generic]


@dataclass(frozen=True)
class Scene:
    """One picture as reference and bundle see it.

    Attributes:
        name: of the picture.
        reference, bundle: the picture with each side's detections drawn on it.
        rows: how they pair.
    """

    name: str
    reference: Image.Image
    bundle: Image.Image
    rows: tuple[MatchRow, ...]


@dataclass(frozen=True)
class Evidence:
    """What the gates said, and the pictures they said it about."""

    gates: tuple[GateResult, ...]
    scenes: tuple[Scene, ...]


def gpus(gpu: bool, fp16: bool) -> tuple[Driver | NoGpu, Driver | NoGpu]:
    """The adapters for the GPU gates and for the fp16 gate, or why there is none.

    Args:
        gpu: False if the user left the GPU out.
        fp16: False if the user left the fp16 gate out.
    """
    if not gpu:
        return LEFT_OUT, LEFT_OUT
    return find_driver() or NO_ADAPTER, (find_fp16_driver() or NO_FP16) if fp16 else LEFT_OUT_FP16


def fp16_limits_of(limits: DetectionLimits) -> DetectionLimits:
    """The fp16 gate's limits above the threshold of the detection gate's."""
    return Fp16Limits().detections(limits.threshold)


def floor_of(limits: DetectionLimits) -> float:
    """The lowest score of a detection that some gate looks at, by the limits of the detection gate."""
    return min(limits.floor, fp16_limits_of(limits).floor)


def detect_all(
    path: ReferencePath, pictures: Sequence[Picture], limits: DetectionLimits, doing: Doing = unheard
) -> list[tuple[Picture, Detections]]:
    """Every picture with the reference's detections, down to the lowest score that some gate looks at."""
    pairs = []
    for number, picture in enumerate(pictures, start=1):
        doing(f"picture {number} of {len(pictures)}")
        pairs.append((picture, path.detect(picture.image, floor_of(limits))))
    return pairs


def reference_summary(pairs: Sequence[tuple[Picture, Detections]], limits: DetectionLimits) -> str:
    """How much the reference finds."""
    found = sum(len(detections.above(limits.threshold)) for _, detections in pairs)
    return f"{found} detections above {limits.threshold:g} in {len(pairs)} picture{'s' if len(pairs) > 1 else ''}"


@dataclass(frozen=True)
class Proof:
    """What the gates need.

    Attributes:
        folder: of the bundle.
        manifest: of the bundle.
        target: whose lint rules apply.
        limits: of the detection gate.
        gpu: how to reach a GPU, or why not.
        fp16_gpu: the same for an adapter that computes in fp16.
    """

    folder: Path
    manifest: Manifest
    target: Target
    limits: DetectionLimits
    gpu: Driver | NoGpu
    fp16_gpu: Driver | NoGpu

    @property
    def graphs(self) -> dict[str, Path]:
        """The shipped graphs by name."""
        return {name: self.folder / spec.file for name, spec in self.manifest.graphs.by_name.items()}

    @property
    def fp16_limits(self) -> DetectionLimits:
        """Those of the fp16 gate, above the same threshold."""
        return fp16_limits_of(self.limits)

    def lint(self) -> GateResult:
        """No operator that the delegate refuses or gets wrong."""
        return check_lint(self.graphs, add=self.target.lint_rules)

    def residency(self, doing: Doing = unheard) -> GateResult:
        """The real delegate accepts each graph whole."""
        return check_residency(self.graphs, gpu=self.gpu, doing=doing)

    def numerics(
        self,
        values: Mapping[str, Array],
        compiled: CompiledDetector | None,
        float32: Mapping[str, Path] | None,
        doing: Doing = unheard,
    ) -> GateResult:
        """Each graph against PyTorch, on one picture's stage values.

        Args:
            values: every stage's tensors as PyTorch computes them.
            compiled: for naming the first tensor that is off; None where only golden vectors are at hand.
            float32: the files before their weights were halved; None for a finished bundle.
            doing: told what is being computed.
        """
        return check_numerics(self._cases(values, compiled, float32), gpu=self.gpu, doing=doing)

    def second_runtime(self, values: Mapping[str, Array]) -> GateResult:
        """TensorFlow's interpreter on the shipped graphs, against LiteRT's and PyTorch."""
        return check_second_runtime(self._cases(values, None, None))

    def fp16(
        self,
        path: ReferencePath,
        compiled: CompiledDetector,
        values: Mapping[str, Array],
        pairs: Sequence[tuple[Picture, Detections]],
        doing: Doing = unheard,
    ) -> GateResult:
        """The graphs on one picture's stage values, and the chain on each picture, in fp16.

        Args:
            path: the original detector.
            compiled: the cut and rewritten one.
            values: every stage's tensors as PyTorch computes them.
            pairs: pictures with the reference's detections down to ``floor``.
            doing: told what is being computed.
        """
        limits = self.fp16_limits
        with load_bundle(self.folder) as bundle:
            step = HostStep(self.manifest.host_step, bundle.host_constants(), self.manifest.graphs.a.outputs)
        scenes = tuple(self._scene(path, compiled, picture, expected, limits.floor) for picture, expected in pairs)
        cases = self._cases(values, None, None)
        return check_fp16(cases, Chain(step, scenes, limits), gpu=self.fp16_gpu, doing=doing)

    def _scene(
        self, path: ReferencePath, compiled: CompiledDetector, picture: Picture, expected: Detections, threshold: float
    ) -> ChainScene:
        """One picture for the chain in fp16."""
        decoded = partial(self._decode, picture.image.size, threshold)

        def reordered(outputs: Mapping[str, Array]) -> Detections:
            return decoded(compiled.reorder(path.tensor(picture.image), outputs))

        inputs = {self.manifest.graphs.a.inputs[0].name: preprocess(picture.image, self.manifest.preprocess)}
        return ChainScene(picture.name, inputs, expected, decoded, reordered)

    def _decode(self, size: tuple[int, int], threshold: float, outputs: Mapping[str, Array]) -> Detections:
        return decode_outputs(self.manifest, outputs, size, threshold=threshold)

    def _cases(
        self, values: Mapping[str, Array], compiled: CompiledDetector | None, float32: Mapping[str, Path] | None
    ) -> tuple[GraphCase, ...]:
        """Both graphs with one picture's values."""
        cases = []
        for name, spec in self.manifest.graphs.by_name.items():
            part = None if compiled is None else compiled.parts.graphs[name]
            cases.append(
                GraphCase(
                    name=name,
                    float32=None if float32 is None else float32[name],
                    shipped=self.graphs[name],
                    inputs=({t.name: np.asarray(values[t.name]) for t in spec.inputs},),
                    expected=({t.name: np.asarray(values[t.name]) for t in spec.outputs},),
                    trace=None if part is None else partial(trace_part, part),
                )
            )
        return tuple(cases)

    def host(self, path: ReferencePath, compiled: CompiledDetector, values: Mapping[str, Array]) -> GateResult:
        """Pre-processing, host step and post-processing against PyTorch's own operators."""
        with load_bundle(self.folder) as bundle:
            return check_host(bundle, path, compiled.parts.host, values)

    def detections(
        self, pairs: Sequence[tuple[Picture, Detections]], doing: Doing = unheard
    ) -> tuple[GateResult, tuple[Scene, ...]]:
        """The bundle on each picture against the reference's detections down to ``floor``."""
        start = time.perf_counter()
        cases: list[DetectionCase] = []
        scenes: list[Scene] = []
        with Runner(self.folder) as runner:
            for picture, expected in pairs:
                doing(picture.name)
                try:
                    found = runner.detect(picture.image, threshold=self.limits.floor)
                except ValueError as error:
                    return _undetected(picture, error, time.perf_counter() - start), tuple(scenes)
                case = DetectionCase(picture.name, expected.items, found.items)
                cases.append(case)
                scenes.append(
                    Scene(
                        picture.name,
                        draw_detections(picture.image, _shown(expected, self.limits)),
                        draw_detections(picture.image, _shown(found, self.limits)),
                        compare_detections(case, self.limits),
                    )
                )
        return replace(check_detections(cases, self.limits), seconds=time.perf_counter() - start), tuple(scenes)


def prove(
    proof: Proof,
    path: ReferencePath,
    compiled: CompiledDetector,
    values: Mapping[str, Array],
    pairs: Sequence[tuple[Picture, Detections]],
    float32: Mapping[str, Path] | None,
    progress: Progress,
) -> Evidence:
    """Run every gate, one stage each.

    Args:
        proof: the bundle.
        path: the original detector.
        compiled: the cut and rewritten one.
        values: its tensors of every stage for the first picture.
        pairs: pictures with the reference's detections (``detect_all``).
        float32: the files before their weights were halved; None for a finished bundle.
        progress: told of each gate.
    """
    gates = []
    with progress.stage("gate: rewrites") as stage:
        gates.append(told(stage, check_rewrites(path.reference, compiled, values)))
    with progress.stage("gate: op lint") as stage:
        gates.append(told(stage, proof.lint()))
    with progress.stage("gate: residency on the GPU") as stage:
        gates.append(told(stage, proof.residency(stage.doing)))
    with progress.stage("gate: numbers") as stage:
        gates.append(told(stage, proof.numerics(values, compiled, float32, stage.doing)))
    if installed():
        with progress.stage("gate: second runtime") as stage:
            gates.append(told(stage, proof.second_runtime(values)))
    with progress.stage("gate: fp16 on the GPU") as stage:
        gates.append(told(stage, proof.fp16(path, compiled, values, pairs, stage.doing)))
    with progress.stage("gate: host") as stage:
        gates.append(told(stage, proof.host(path, compiled, values)))
    with progress.stage("gate: detections") as stage:
        result, scenes = proof.detections(pairs, stage.doing)
        gates.append(told(stage, result))
    return Evidence(tuple(gates), scenes)


def _undetected(picture: Picture, error: ValueError, seconds: float) -> GateResult:
    """A bundle whose stages do not fit each other, or that gave NaN, finds nothing to compare."""
    advice = "see the numbers gate and the host gate, or make the bundle again"
    finding = Finding("not-detected", "wrong", picture.name, str(error), advice)
    summary = f"{picture.name}: {error}"
    return GateResult("detections", Verdict.FAILED, summary, advice, findings=(finding,), seconds=seconds)


def told(stage: Stage, result: GateResult) -> GateResult:
    """A gate's result, after telling it to the progress display as the stage's outcome."""
    stage.detail = f"{result.verdict}: {result.summary}"
    stage.good = None if result.verdict is Verdict.NOT_RUN else result.verdict is Verdict.PASSED
    return result


def _shown(detections: Detections, limits: DetectionLimits) -> list[Detection]:
    return [item for item in detections if item.score > limits.threshold]
