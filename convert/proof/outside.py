"""What a proof compares the reference with from outside this project: the user's own detections, and annotated pictures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from detr2litert.convert.demo.annotated import demo_dataset
from detr2litert.convert.models.reference import Reference
from detr2litert.convert.proof.oracle import ask_original
from detr2litert.convert.proof.outside_request import OutsideRequest
from detr2litert.convert.proof.scenes import Picture, pictures
from detr2litert.host_runtime.errors import UserError
from detr2litert.host_runtime.manifest import Keypoints
from detr2litert.verify.accuracy.annotated_keypoints import with_keypoints
from detr2litert.verify.accuracy.dataset import Dataset, class_numbers, with_masks
from detr2litert.verify.accuracy.expected import class_columns
from detr2litert.verify.accuracy.expected_file import ExpectedDetection, read_expected
from detr2litert.verify.accuracy.read_dataset import read_dataset

DEMO, NONE = "demo", "none"
"""Values of ``--dataset`` that are no folders."""


@dataclass(frozen=True)
class ExpectedSet:
    """Detections of the user's code, or of the original project's.

    Attributes:
        source: where they are from.
        pictures: in which they are.
        detections: in each picture.
        differs: in one line, the settings with which the original computes something else than the reference.
    """

    source: str
    pictures: tuple[Picture, ...]
    detections: tuple[tuple[ExpectedDetection, ...], ...]
    differs: str = ""


@dataclass(frozen=True)
class Outside:
    """What there is to compare with; empty if nothing is."""

    expected: ExpectedSet | None = None
    dataset: Dataset | None = None
    request: OutsideRequest = field(default_factory=OutsideRequest)


def read_outside(request: OutsideRequest, images: Sequence[Path]) -> Outside:
    """Reads what needs no detector, before anything that takes minutes.

    Raises:
        UserError: a file is missing or malformed, or options do not go together.
    """
    expected, dataset = None, None
    if request.expected is not None:
        if request.oracle is not None:
            raise UserError("--expected and --oracle both give the detections to expect; give one of them")
        if not images:
            raise UserError("--expected needs the pictures that its detections are for; give them with --image")
        judged = pictures(images)
        found = read_expected(request.expected, [path.name for path in images], [picture.image.size for picture in judged])
        expected = ExpectedSet(request.expected.name, judged, found)
    if request.oracle_config is not None:
        if request.oracle is None:
            raise UserError("--oracle-config is of the project that --oracle asks; give the python that it runs in")
        if not request.oracle_config.is_file():
            raise UserError(
                f"--oracle-config {request.oracle_config}: no such file; give a YAML file in a clone of the project"
            )
    if request.dataset not in (None, DEMO, NONE):
        dataset = read_dataset(Path(str(request.dataset)), request.dataset_size)
        dataset = replace(dataset, stated_ap=request.dataset_ap)
    elif request.dataset_ap is not None and request.dataset != DEMO:
        raise UserError("--dataset-ap is the mAP on a data set; give it with --dataset")
    return Outside(expected, dataset, request)


def complete(
    outside: Outside,
    reference: Reference,
    classes: Sequence[str | None],
    judged: Sequence[Picture],
    threshold: float,
    *,
    demo_default: bool,
    keypoints: Keypoints | None = None,
) -> Outside:
    """Adds what needs the detector: the demo scenes, the original project's answer; and compares the names of classes and
    keypoints.

    Args:
        outside: from ``read_outside``.
        reference: the detector.
        classes: a name for each logit column.
        judged: the pictures that the oracle is asked for.
        threshold: score that counts as a detection.
        demo_default: whether the demo scenes are the default data set of a bundled detector with its own weights.
        keypoints: the manifest's; None of a detector without.

    Raises:
        UserError: the names of classes or keypoints do not fit, or the original project could not be run.
    """
    request = outside.request
    variant = reference.variant
    own = not reference.random and variant.bundled is not None and reference.source == variant.default_weights
    as_trained = own and reference.size == (variant.resolution, variant.resolution)
    dataset = outside.dataset
    if request.dataset == DEMO or (request.dataset is None and demo_default and own):
        dataset = demo_dataset(request.dataset_size, variant.name if as_trained else None)
        if request.dataset_ap is not None:
            dataset = replace(dataset, stated_ap=request.dataset_ap)
    if dataset is not None:
        class_numbers(dataset, classes)
        dataset = with_masks(dataset) if reference.masks else dataset
        dataset = with_keypoints(dataset, keypoints, classes) if keypoints is not None else dataset
    expected = outside.expected
    if request.oracle is not None:
        answer = ask_original(request.oracle, reference, judged, threshold, request.oracle_config)
        expected = ExpectedSet(answer.source, tuple(judged), answer.detections, answer.differs)
    if expected is not None:
        class_columns(expected.source, expected.detections, classes)
    return Outside(expected, dataset, request)
