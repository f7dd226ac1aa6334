"""The gate on the reference: each pattern of disagreement, planted, is named; what is only noise is not."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from detr2litert.host_runtime.decode import Detection
from detr2litert.host_runtime.errors import UserError
from detr2litert.host_runtime.masks import Mask
from detr2litert.verify.accuracy.expected import ExpectedPicture, check_expected
from detr2litert.verify.accuracy.expected_file import ExpectedDetection
from detr2litert.verify.gates import GateResult, Verdict

NAMES = ("ball", "box", "cup", "bolt")
SIZE = (640, 480)
RNG = np.random.default_rng(4)


def scene(count: int) -> list[Detection]:
    found = []
    for rank in range(count):
        left, top = RNG.uniform(0, 500), RNG.uniform(0, 350)
        number = int(RNG.integers(len(NAMES)))
        box = (left, top, left + RNG.uniform(40, 120), top + RNG.uniform(40, 120))
        found.append(Detection(number, NAMES[number], 0.95 - 0.04 * rank, box))
    return found


SCENES = [scene(7), scene(4), scene(9)]
Change = Callable[[Detection], Detection]


def judged(change: Change = lambda d: d, *, names: bool = True, select: Callable[[list[Detection]], list[Detection]] = list,
           file: Callable[[list[Detection]], list[Detection]] = list, threshold: float = 0.5) -> GateResult:  # fmt: skip
    """The gate, for a file that has the scenes and a reference that has them changed."""
    pictures = []
    for number, found in enumerate(SCENES):
        rows = tuple(ExpectedDetection(d.class_index, d.name if names else None, d.score, d.box) for d in file(found))
        pictures.append(ExpectedPicture(f"{number}.jpg", SIZE, rows, [change(d) for d in select(found)]))
    return check_expected("the file", pictures, NAMES, threshold)


def boxed(a: float, b: float, c: float, d: float) -> Change:
    return lambda found: replace(found, box=tuple(np.array(found.box) * [a, b, a, b] + [c, d, c, d]))


def scored(change: Callable[[float], float]) -> Change:
    return lambda found: replace(found, score=change(found.score))


def classed(shift: Callable[[int], int]) -> Change:
    return lambda d: replace(d, class_index=shift(d.class_index), name=NAMES[shift(d.class_index)])


def test_the_same_passes() -> None:
    result = judged()
    assert (result.gate, result.verdict, result.advice) == ("expected", Verdict.PASSED, "")
    assert "20 detections matched in 3 images" in result.summary


def test_masks_are_compared_where_both_sides_have_them() -> None:
    pixels = np.zeros((480, 640), bool)
    pixels[100:200, 100:200] = True
    mask, other = Mask.of(pixels), Mask.of(np.roll(pixels, 5, axis=0))
    found = Detection(1, "box", 0.9, (100, 100, 200, 200))
    row = ExpectedDetection(1, "box", 0.9, found.box, mask)

    def compared(reference: Detection) -> GateResult:
        return check_expected("the file", [ExpectedPicture("a.jpg", SIZE, (row,), [reference])], NAMES, 0.5)

    same = compared(replace(found, mask=mask))
    assert same.verdict is Verdict.PASSED and "of masks 1.0000" in same.summary
    assert compared(replace(found, mask=other)).verdict is Verdict.FAILED
    boxes = compared(found)
    assert boxes.verdict is Verdict.PASSED and "its masks were not compared: this detector gives boxes alone" in boxes.summary


def test_a_little_noise_is_nothing() -> None:
    noise = np.random.default_rng(0)
    shaken = judged(
        lambda d: replace(
            d, score=d.score + noise.uniform(-0.01, 0.01), box=tuple(np.array(d.box) + noise.uniform(-0.3, 0.3, 4))
        )
    )
    assert shaken.verdict is Verdict.PASSED


def test_what_scores_near_the_threshold_may_be_on_one_side_only() -> None:
    assert judged(select=lambda found: [d for d in found if d.score > 0.64], threshold=0.64).verdict is Verdict.PASSED


@pytest.mark.parametrize(
    ("change", "rule", "words"),
    [
        (classed(lambda c: (c + 1) % 4), "classes", "classes are shifted by +1"),
        (classed(lambda c: (3, 2, 1, 0)[c]), "classes", "classes are exchanged"),
        (boxed(384 / 640, 384 / 480, 0, 0), "scale", "scaled by 0.600 across and 0.800 down"),
        (boxed(0.75, 1.0, 0, 0), "scale", "scaled by 0.750 across and 1.000 down"),
        (boxed(1.0, 4 / 3, 0, -80), "scale", "moved by"),
        (boxed(1, 1, 0, 60), "offset", "moved by +0 pixels across and +60 down"),
        (boxed(100, 100, 0, 0), "scale", "scaled by 100"),
        (scored(lambda s: 0.6 * s), "scores-low", "scores are lower for 20 of 20"),
        (scored(lambda s: min(0.99, s + 0.1)), "scores-high", "scores are higher"),
        (lambda d: replace(d, box=tuple(np.array(d.box) + RNG.uniform(-6, 6, 4))), "imprecise", "boxes differ"),
    ],
)  # fmt: skip
def test_a_pattern_is_named(change: Change, rule: str, words: str) -> None:
    result = judged(change)
    assert result.verdict is Verdict.FAILED
    assert result.findings[0].rule == f"expected-{rule}", [f.message for f in result.findings]
    assert words in result.findings[0].message
    assert result.findings[0].message in result.summary and result.advice == result.findings[0].advice


def test_boxes_as_fractions_are_named() -> None:
    width, height = SIZE
    result = judged(
        file=lambda found: [boxed(1 / width, 1 / height, 0, 0)(d) for d in found],
    )
    assert result.findings[0].rule == "expected-fractions"


def test_lost_objects_are_named() -> None:
    result = judged(select=lambda found: found[:4])
    assert result.findings[0].rule == "expected-lost"
    assert "8 of 20 objects are not found at all" in result.summary and "num_select" in result.advice


def test_objects_that_the_file_leaves_out_are_named() -> None:
    result = judged(file=lambda found: [*found[:2], *found[-1:]])
    assert result.findings[0].rule == "expected-extra" and "NMS" in result.advice


def test_a_file_with_a_higher_threshold_is_no_fault() -> None:
    result = judged(file=lambda found: [d for d in found if d.score > 0.8])
    assert result.verdict is Verdict.PASSED
    assert "were not compared" in result.summary


def test_ids_without_names_are_columns() -> None:
    assert judged(names=False).verdict is Verdict.PASSED
    assert judged(classed(lambda c: (c + 1) % 4), names=False).findings[0].rule == "expected-classes"


def test_a_file_without_a_detection_above_the_threshold_proves_nothing() -> None:
    result = judged(threshold=0.97)
    assert result.verdict is Verdict.NOT_RUN and result.advice


def test_a_name_that_is_none_of_the_detectors_is_one_line_with_both_lists() -> None:
    row = ExpectedDetection(None, "wrench", 0.9, (0, 0, 10, 10))
    with pytest.raises(UserError, match=r"wrench.*ball, box, cup, bolt"):
        check_expected("the file", [ExpectedPicture("a", SIZE, (row,), [])], NAMES, 0.5)
    # With an id, that is what is compared.
    row = ExpectedDetection(1, "wrench", 0.9, (0, 0, 10, 10))
    found = [Detection(1, "box", 0.9, (0, 0, 10, 10))]
    assert check_expected("the file", [ExpectedPicture("a", SIZE, (row,), found)], NAMES, 0.5).verdict is Verdict.PASSED
