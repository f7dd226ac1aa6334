"""Runs every gate on a bundle."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial

from PIL import Image

from detr2litert.convert.gate_stage import run_gate
from detr2litert.convert.progress import Progress
from detr2litert.convert.proof.registry import GATES
from detr2litert.convert.proof.subject import Subject
from detr2litert.host_runtime.decode import Detection
from detr2litert.host_runtime.draw import draw_detections
from detr2litert.verify.gates import GateResult
from detr2litert.verify.parity.detections import MatchRow, compare_detections


@dataclass(frozen=True)
class Scene:
    """A picture with the detections of the reference and of the bundle.

    Attributes:
        name: of the picture.
        reference, bundle: the picture with each side's detections drawn on it.
        rows: the pairs of detections.
    """

    name: str
    reference: Image.Image
    bundle: Image.Image
    rows: tuple[MatchRow, ...]


@dataclass(frozen=True)
class Evidence:
    """The results of all gates.

    Attributes:
        gates: their results, in order.
        scenes: the compared pictures; none if the bundle cannot detect.
        expected: ids of the gates of a complete record.
    """

    gates: tuple[GateResult, ...]
    scenes: tuple[Scene, ...]
    expected: tuple[str, ...]


def prove(subject: Subject, progress: Progress) -> Evidence:
    """Runs every gate that applies, one stage each."""
    results = []
    applying = [gate for gate in GATES if gate.applies(subject)]
    for gate in applying:
        result = run_gate(progress, gate.id, partial(gate.run, subject))
        results.append(replace(result, title=gate.title, proves=gate.proves))
    return Evidence(tuple(results), _scenes(subject), tuple(gate.id for gate in applying))


def _scenes(subject: Subject) -> tuple[Scene, ...]:
    """Draws both sides' detections above the threshold on each picture."""

    def shown(detections: Sequence[Detection]) -> list[Detection]:
        return [item for item in detections if item.score > subject.limits.threshold]

    skeletons = subject.manifest.postprocess.keypoints
    return tuple(
        Scene(
            picture.name,
            draw_detections(picture.image, shown(case.reference), skeletons),
            draw_detections(picture.image, shown(case.candidate), skeletons),
            compare_detections(case, subject.detection_limits),
        )
        for (picture, _), case in zip(subject.reference.pairs, subject.found.cases, strict=False)
    )
