"""Gate fp16: the bundle still detects when the delegate computes in fp16, like phone GPUs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial

import numpy as np
from numpy.typing import NDArray

from detr2litert.convert.proof.gate import Gate
from detr2litert.convert.proof.scenes import Picture
from detr2litert.convert.proof.subject import Subject
from detr2litert.host_runtime.bundle import load_bundle
from detr2litert.host_runtime.decode import Detections
from detr2litert.host_runtime.errors import UserError
from detr2litert.host_runtime.host_step import HostStep
from detr2litert.host_runtime.manifest import Preprocess
from detr2litert.host_runtime.placement import place
from detr2litert.host_runtime.preprocess import prepare, taken_inputs
from detr2litert.verify.gates import Doing, Finding, GateResult, Verdict
from detr2litert.verify.parity.fp16 import GATE as ID
from detr2litert.verify.parity.fp16 import Chain, ChainScene, check_fp16
from detr2litert.verify.parity.numerics import GraphCase

Array = NDArray[np.generic]


def run(subject: Subject, doing: Doing) -> GateResult:
    """Runs the graphs on one picture's values, and the chain on each picture; not without a host step that fits the graphs."""
    try:
        with load_bundle(subject.folder) as bundle:
            step = HostStep(subject.manifest.host_step, bundle.host_constants(), subject.manifest.graphs.a.outputs)
    except UserError as error:
        summary = f"the host step does not fit the graphs ({error}): nothing was computed in fp16"
        return GateResult(ID, Verdict.NOT_RUN, summary, "see the host gate")
    scenes = tuple(_scene(subject, picture, expected) for picture, expected in subject.reference.pairs)
    chain = Chain(step, scenes, subject.fp16_detections, subject.mask_step(subject.fp16_detections.floor))
    results = [
        check_fp16(cases, chain, gpu=subject.fp16_gpu, limits=subject.fp16_limits, doing=doing)
        for cases in forms(subject.cases())
    ]
    return results[0] if len(results) == 1 else joined(results)


def forms(cases: Sequence[GraphCase]) -> list[tuple[GraphCase, ...]]:
    """Returns the graphs of each form of a bundle, the one that is tried first on a GPU first."""
    native = {case.twin: case for case in cases if case.twin}
    portable = tuple(case for case in cases if not case.twin)
    return [*([tuple(native.get(case.name, case) for case in portable)] if native else []), portable]


def joined(results: Sequence[GateResult]) -> GateResult:
    """Joins the results of the native and of the portable form: the worse of them is the gate's result."""
    native, portable = results
    worst = max(results, key=lambda result: (Verdict.PASSED, Verdict.NOT_RUN, Verdict.FAILED).index(result.verdict))
    adapter = f" ({native.data.get('adapter', '')})"
    found = {
        form: [_of_form(finding, form) for finding in result.findings]
        for form, result in (("native", native), ("portable", portable))
    }
    return replace(
        worst,
        summary=f"native: {native.summary.removesuffix(adapter)}; portable: {portable.summary}"
        if native.summary != portable.summary
        else native.summary,
        measurements=tuple(dict.fromkeys((*native.measurements, *portable.measurements))),
        findings=tuple(dict.fromkeys((*found["native"], *found["portable"]))),
        seconds=native.seconds + portable.seconds,
        data={**native.data, "portable": portable.data},
    )


def _of_form(finding: Finding, form: str) -> Finding:
    """Adds the form to the place of a detection, which is a picture; a graph's name has its form already."""
    return replace(finding, place=f"{finding.place}, {form}") if finding.rule.startswith("detection-") else finding


def _scene(subject: Subject, picture: Picture, expected: Detections) -> ChainScene:
    reference = subject.reference
    decoded = partial(subject.decode, size=picture.image.size, threshold=subject.fp16_detections.floor)

    def reordered(outputs: Mapping[str, Array]) -> Detections:
        return decoded(reference.compiled.reorder(reference.path.tensor(picture.image), outputs))

    manifest = subject.manifest
    inputs = {taken.name: prepare(picture.image, manifest.preprocess, taken) for taken in taken_inputs(manifest)}
    scale = input_scale(picture.image.size, manifest.preprocess)
    return ChainScene(picture.name, inputs, expected, decoded, reordered, scale)


def input_scale(size: tuple[int, int], spec: Preprocess) -> tuple[float, float]:
    """Returns how many pixels of the input one of a picture of (width, height) pixels has, in x and y."""
    placed = place(size, spec)
    return placed.width / size[0], placed.height / size[1]


GATE = Gate(ID, "fp16", "the delegate computes it well enough in fp16, like phone GPUs", run)
