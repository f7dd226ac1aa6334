"""Gate fp16: the bundle still detects when the delegate computes in fp16, like phone GPUs."""

from __future__ import annotations

from collections.abc import Mapping
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
from detr2litert.host_runtime.preprocess import preprocess
from detr2litert.verify.gates import Doing, GateResult, Verdict
from detr2litert.verify.parity.fp16 import GATE as ID
from detr2litert.verify.parity.fp16 import Chain, ChainScene, check_fp16

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
    return check_fp16(subject.cases(), Chain(step, scenes, subject.fp16_limits), gpu=subject.fp16_gpu, doing=doing)


def _scene(subject: Subject, picture: Picture, expected: Detections) -> ChainScene:
    reference = subject.reference
    decoded = partial(subject.decode, size=picture.image.size, threshold=subject.fp16_limits.floor)

    def reordered(outputs: Mapping[str, Array]) -> Detections:
        return decoded(reference.compiled.reorder(reference.path.tensor(picture.image), outputs))

    inputs = {subject.manifest.graphs.a.inputs[0].name: preprocess(picture.image, subject.manifest.preprocess)}
    return ChainScene(picture.name, inputs, expected, decoded, reordered)


GATE = Gate(ID, "fp16", "the delegate computes it well enough in fp16, like phone GPUs", run)
