"""One fault at a time in the reference, which no gate inside the project can see: what is from outside shows it."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import pytest

from detr2litert.convert.demo.annotated import KNOWN_AP, demo_dataset
from detr2litert.convert.proof.reference_path import ReferencePath
from detr2litert.host_runtime.decode import Detections
from detr2litert.verify.accuracy.accuracy import Side, answer_of, check_accuracy
from detr2litert.verify.accuracy.dataset import class_numbers
from detr2litert.verify.accuracy.expected import ExpectedPicture, check_expected
from detr2litert.verify.accuracy.expected_file import ExpectedDetection
from detr2litert.verify.accuracy.outside import NOT_COMPARED, outside_note
from detr2litert.verify.gates import GateResult, Verdict
from tests.convert.planted.fault import BOTH, cases
from tests.convert.planted.reference_faults import REFERENCE_FAULTS, Names, ReferenceFault, original

SCENES = 60
EXPECTED = 8
"""Scenes whose detections the user gave."""


def detected(path: ReferencePath, count: int) -> list[Detections]:
    return [path.detect(picture.load(), 0.0) for picture in demo_dataset(SCENES).pictures[:count]]


@cache
def given(detector: str) -> tuple[tuple[ExpectedDetection, ...], ...]:
    """What the user's code found: the detector as it was trained."""
    reference, names = original(detector)
    return tuple(
        tuple(ExpectedDetection(d.class_index, d.name, d.score, d.box) for d in found.above(0.3))
        for found in detected(ReferencePath(reference, names), EXPECTED)
    )


def judged(detector: str, path: ReferencePath, names: Names) -> tuple[GateResult, GateResult]:
    """Both gates: of the user's detections, and of the data set."""
    found = detected(path, SCENES)
    pictures = demo_dataset(SCENES).pictures[:EXPECTED]
    sides = zip(pictures, given(detector), found, strict=False)
    expected = check_expected("the file", [ExpectedPicture(p.name, (160, 160), e, r.items) for p, e, r in sides], names, 0.5)
    dataset = replace(demo_dataset(SCENES), stated_ap=KNOWN_AP[detector])
    numbers = class_numbers(dataset, names)
    answers = tuple(answer_of(item.items, numbers) for item in found)
    return expected, check_accuracy(dataset, Side("reference", tuple(range(SCENES)), answers), ())


@pytest.mark.parametrize("detector", BOTH)
def test_nothing_planted_nothing_found(detector: str) -> None:
    reference, names = original(detector)
    for result in judged(detector, ReferencePath(reference, names), names):
        assert (result.verdict, result.findings) == (Verdict.PASSED, ()), result.summary


@pytest.mark.plants
@pytest.mark.parametrize(("detector", "fault"), cases(REFERENCE_FAULTS))
def test_the_gates_from_outside_see_it(detector: str, fault: ReferenceFault) -> None:
    reference, names = fault.build(detector)
    expected, accuracy = judged(detector, ReferencePath(reference, names), names)
    assert expected.verdict is Verdict.FAILED and expected.advice, expected.summary
    if fault.costs_ap:
        assert accuracy.verdict is Verdict.FAILED and "trained" in accuracy.advice, accuracy.summary


def test_without_either_the_summary_says_so() -> None:
    inside = GateResult("detections", Verdict.PASSED, "all the same")
    assert outside_note([inside]) == NOT_COMPARED
    assert outside_note([inside, GateResult("accuracy", Verdict.PASSED, "")]) == ""
