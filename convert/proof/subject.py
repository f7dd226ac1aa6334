"""The subject of the gates: a finished bundle and the detector it was made from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from detr2litert.convert.compiler import CompiledDetector, run_part, trace_part
from detr2litert.convert.proof.outside import Outside
from detr2litert.convert.proof.rare import patchwork, saturated
from detr2litert.convert.proof.reference_path import ReferencePath
from detr2litert.convert.proof.scenes import Picture
from detr2litert.convert.selection_inside import selection_inside
from detr2litert.convert.targets import Target
from detr2litert.host_runtime.decode import Detections
from detr2litert.host_runtime.errors import UserError
from detr2litert.host_runtime.manifest import NATIVE_SUFFIX, Manifest
from detr2litert.host_runtime.runner import Runner
from detr2litert.verify.delegate.adapters import Driver
from detr2litert.verify.delegate.driver import NoGpu
from detr2litert.verify.parity.detections import DetectionCase, DetectionLimits
from detr2litert.verify.parity.fp16 import Fp16Limits
from detr2litert.verify.parity.mask_step import MaskStep, decode_with_masks
from detr2litert.verify.parity.numerics import GraphCase
from detr2litert.verify.precision import WIDEST_SCORE, detection_limits, fp16_limits

Array = NDArray[np.generic]
SATURATED = "saturated proposals"
"""The last of the input sets of graph B: far from what any picture gives."""


@dataclass(frozen=True)
class ReferenceRun:
    """PyTorch's results for the pictures that the bundle is judged on.

    Attributes:
        path: the original detector, from picture to detections.
        compiled: the cut and rewritten one.
        values: the compiled detector's tensors of every stage, by name, for the first picture.
        pairs: each picture with the original's detections, down to ``lowest_score``.
    """

    path: ReferencePath
    compiled: CompiledDetector
    values: Mapping[str, Array]
    pairs: Sequence[tuple[Picture, Detections]]


@dataclass(frozen=True)
class Golden:
    """A finished bundle's golden vectors: its tensors by name, and its detections on the golden picture."""

    tensors: Mapping[str, Array]
    detections: Detections


@dataclass(frozen=True)
class Found:
    """The bundle's own detections beside the reference's.

    Attributes:
        cases: one per picture, up to the first failure.
        failed: the picture in which the host runtime failed to detect, or the bundle that it failed to load, and why; None
            without a failure.
    """

    cases: tuple[DetectionCase, ...]
    failed: tuple[str, str] | None = None


@dataclass(frozen=True)
class Subject:
    """The input of every gate.

    Attributes:
        folder: of the bundle.
        manifest: of the bundle.
        target: whose lint rules apply.
        limits: of the detections gate, for a float bundle.
        gpu: how to reach a GPU, or why none is available.
        fp16_gpu: the same for an adapter that computes in fp16.
        reference: what the bundle is compared with.
        float32: the files before their weights were halved, by graph; None for a finished bundle.
        golden: the bundle's golden vectors; None during a conversion, which has just written them.
        outside: the user's detections and annotated pictures, where there are any.
    """

    folder: Path
    manifest: Manifest
    target: Target
    limits: DetectionLimits
    gpu: Driver | NoGpu
    fp16_gpu: Driver | NoGpu
    reference: ReferenceRun
    float32: Mapping[str, Path] | None = None
    golden: Golden | None = None
    outside: Outside = field(default_factory=Outside)

    @property
    def graphs(self) -> dict[str, Path]:
        """The shipped graphs by name."""
        return {name: self.folder / spec.file for name, spec in self.manifest.graphs_by_name.items()}

    @property
    def detection_limits(self) -> DetectionLimits:
        """The detections gate's limits, for the bundle's precision."""
        return detection_limits(self.manifest, self.limits)

    @property
    def fp16_limits(self) -> Fp16Limits:
        """The fp16 gate's limits, for the bundle's precision."""
        return fp16_limits(self.manifest, self.limits.threshold)

    @property
    def fp16_detections(self) -> DetectionLimits:
        """The same of its detections, with the same threshold."""
        return self.fp16_limits.detections(self.limits.threshold)

    @cached_property
    def found(self) -> Found:
        """The host runtime's detections in each picture, computed on first access."""
        cases: list[DetectionCase] = []
        try:
            runner = Runner(self.folder)
        except UserError as error:
            return Found((), (self.folder.name, str(error)))
        with runner:
            for picture, expected in self.reference.pairs:
                try:
                    found = runner.detect(picture.image, threshold=self.detection_limits.floor)
                except ValueError as error:
                    return Found(tuple(cases), (picture.name, str(error)))
                cases.append(DetectionCase(picture.name, expected.items, found.items))
        return Found(tuple(cases))

    def decode(self, outputs: Mapping[str, Array], size: tuple[int, int], threshold: float) -> Detections:
        """Decodes the last graph's outputs to detections above ``threshold`` in a picture of ``size`` (width, height)."""
        return decode_with_masks(self.manifest, outputs, size, threshold)

    def mask_step(self, threshold: float) -> MaskStep | None:
        """Returns how masks of detections above ``threshold`` are computed; None for a detector without masks."""
        return None if self.manifest.graphs.m is None else MaskStep(self.manifest, threshold)

    def cases(self, *, traced: bool = False) -> tuple[GraphCase, ...]:
        """Returns every graph with the first picture's values.

        Args:
            traced: include what is needed to locate the first tensor that differs, the float32 files if there are any, and the
                values of rare inputs.
        """
        selection = selection_inside(self.reference.compiled)
        sets = {"first picture": self.reference.values, **(self._rare if traced else {})}
        return tuple(
            GraphCase(
                name=name,
                float32=self.float32[name] if traced and self.float32 is not None else None,
                shipped=self.graphs[name],
                inputs=tuple({t.name: np.asarray(values[t.name]) for t in spec.inputs} for values in given.values()),
                expected=tuple({t.name: np.asarray(values[t.name]) for t in spec.outputs} for values in given.values()),
                trace=partial(trace_part, self.reference.compiled.graphs[name]) if traced else None,
                sets=tuple(given),
                twin=name.removesuffix(NATIVE_SUFFIX) if name.endswith(NATIVE_SUFFIX) else "",
                selection=selection,
                natural=sum(case != SATURATED for case in given),
            )
            for name, spec in self.manifest.graphs_by_name.items()
            for given in [{case: values for case, values in sets.items() if all(t.name in values for t in spec.outputs)}]
        )

    @cached_property
    def _rare(self) -> dict[str, Mapping[str, Array]]:
        """The values of rare inputs by stage: the patchwork through all graphs, and graph B on saturated proposals.

        Both are few, since a graph may take half a minute on a GPU in software.
        """
        reference, values = self.reference.path.reference, self.reference.values
        compiled = self.reference.compiled
        a, b = compiled.parts.a, compiled.parts.b
        picture = torch.from_numpy(np.asarray(values[a.input_names[0]], np.float32))
        rare: dict[str, Mapping[str, Array]] = {"patchwork": compiled.evaluate(patchwork(reference, picture))}
        if b is not None:
            proposals = saturated({name: values[name] for name in b.input_names}, a.output_names)
            rare[SATURATED] = {**proposals, **run_part(b, proposals)}
        return rare


def lowest_score(limits: DetectionLimits) -> float:
    """Returns the lowest score that any gate evaluates in any precision, from the limits of the detections gate."""
    widest = max(Fp16Limits().score, WIDEST_SCORE)
    return min(limits.floor, replace(limits, score=widest).floor)
