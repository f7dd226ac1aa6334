"""The gate on a data set: what passes, what fails, and what is said."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image

from detr2litert.host_runtime.decode import Detection
from detr2litert.host_runtime.masks import Mask
from detr2litert.verify.accuracy import half_precision
from detr2litert.verify.accuracy.accuracy import Side, answer_of, check_accuracy
from detr2litert.verify.accuracy.average_precision import Answer
from detr2litert.verify.accuracy.dataset import AnnotatedPicture, Dataset, truth_of
from detr2litert.verify.accuracy.half_precision import Chain, run_half_precision
from detr2litert.verify.accuracy.outside import NOT_COMPARED, outside_note
from detr2litert.verify.gates import GateResult, Verdict

RNG = np.random.default_rng(1)
PICTURES = 40


def annotated() -> AnnotatedPicture:
    corner = RNG.uniform(0, 60, (4, 2))
    boxes = np.concatenate([corner, corner + RNG.uniform(10, 30, (4, 2))], 1)
    return AnnotatedPicture("p", lambda: Image.new("RGB", (90, 90)), truth_of(boxes.tolist(), RNG.integers(0, 2, 4).tolist()))


DATASET = Dataset("val", ("bolt", "nut"), tuple(annotated() for _ in range(PICTURES)), 100)


def side(name: str, change: Callable[[Answer, int], Answer] = lambda a, i: a, pictures: int = PICTURES) -> Side:
    """Detections of every object, with boxes that are a little wrong, changed."""
    answers = []
    for number, picture in enumerate(DATASET.pictures[:pictures]):
        noise = np.random.default_rng(number).normal(0, 1.0, (4, 4))
        plain = Answer(picture.truth.boxes + noise, picture.truth.classes, np.linspace(0.5, 0.9, 4))
        answers.append(change(plain, number))
    return Side(name, tuple(range(pictures)), tuple(answers))


def without_first(answer: Answer, number: int) -> Answer:
    return Answer(answer.boxes[1:], answer.classes[1:], answer.scores[1:]) if number % 4 == 0 else answer


def test_equal_sides_pass_with_a_table() -> None:
    result = check_accuracy(DATASET, side("reference"), (side("CPU"), side("fp16", pictures=10)))
    assert (result.gate, result.verdict, result.findings) == ("accuracy", Verdict.PASSED, ())
    assert result.summary.startswith("40 of 100 pictures of val (drawn with seed 0): mAP 0.")
    assert "CPU +0.0 points on 40 (95 %: +0.0 to +0.0), fp16 +0.0 points on 10" in result.summary
    reference, cpu, fp16 = result.data["average_precision"]
    assert (reference["side"], cpu["pictures"], fp16["pictures"]) == ("reference", 40, 10)
    assert reference["low"] < reference["ap"] < reference["high"] and cpu["difference"] == 0


def test_a_lossy_bundle_fails() -> None:
    result = check_accuracy(DATASET, side("reference"), (side("CPU", without_first),))
    assert result.verdict is Verdict.FAILED
    (finding,) = result.findings
    assert finding.rule == "accuracy-lost" and finding.message in result.summary and result.advice


def test_chance_on_a_part_of_the_pictures_is_no_failure() -> None:
    """One object of one of ten pictures: more than half a point, and the interval reaches zero."""
    once = side("fp16", lambda answer, number: without_first(answer, 0) if number == 0 else answer, 10)
    result = check_accuracy(DATASET, side("reference"), (once,))
    row = result.data["average_precision"][1]
    assert row["difference"] < -0.005 and row["high"] >= 0
    assert result.verdict is Verdict.PASSED


def every_first(answer: Answer, number: int) -> Answer:
    return Answer(answer.boxes[1:], answer.classes[1:], answer.scores[1:])


@pytest.mark.parametrize(("pictures", "verdict"), [(1, Verdict.PASSED), (4, Verdict.PASSED), (5, Verdict.FAILED)])
def test_a_loss_in_each_of_a_few_pictures_is_judged_from_five_on(pictures: int, verdict: Verdict) -> None:
    """Two of two pictures lose by chance as often as one in four times, whatever an interval of two says."""
    result = check_accuracy(DATASET, side("reference"), (side("fp16", every_first, pictures),))
    assert result.verdict is verdict
    assert (f"on {pictures} (fewer than 5, not judged)" in result.summary) == (pictures < 5)


def test_a_reference_that_finds_nothing_right_fails_with_the_checks_to_make() -> None:
    exchanged = side("reference", lambda a, i: Answer(a.boxes + 40, a.classes, a.scores))
    result = check_accuracy(DATASET, exchanged, (replace(exchanged, name="CPU"),))
    assert result.findings[0].rule == "reference-ap-near-zero"
    assert all(word in result.advice for word in ("resolution", "mean and std", "--classes"))


def test_a_reference_below_what_is_known_of_it_fails() -> None:
    known = replace(DATASET, stated_ap=0.99)
    assert check_accuracy(known, side("reference"), ()).findings[0].rule == "reference-ap-below-stated"
    ap = check_accuracy(DATASET, side("reference"), ()).data["average_precision"][0]["ap"]
    assert check_accuracy(replace(DATASET, stated_ap=ap), side("reference"), ()).verdict is Verdict.PASSED


def rectangle(box: np.ndarray) -> Mask:
    pixels = np.zeros((90, 90), bool)
    left, top, right, bottom = np.round(np.clip(box, 0, 90)).astype(int)
    pixels[top:bottom, left:right] = True
    return Mask.of(pixels)


def masked(answer: Answer, number: int) -> Answer:
    return replace(answer, masks=tuple(map(rectangle, answer.boxes)))


INSTANCES = replace(
    DATASET,
    pictures=tuple(replace(p, truth=replace(p.truth, masks=tuple(map(rectangle, p.truth.boxes)))) for p in DATASET.pictures),
)


def test_masks_are_judged_beside_boxes() -> None:
    """A bundle whose boxes are right and whose masks are not fails, and the figures and the table say so."""
    right = check_accuracy(INSTANCES, side("reference", masked), (side("CPU", masked),))
    assert right.verdict is Verdict.PASSED
    assert [(row["side"], row["of"]) for row in right.data["average_precision"]] == [
        *(("reference", "boxes"), ("CPU", "boxes")),
        *(("reference", "masks"), ("CPU", "masks")),
    ]
    assert "mAP of masks 0." in right.summary and ("CPU, masks", "AP50") in {(m.subject, m.metric) for m in right.measurements}

    def moved(answer: Answer, number: int) -> Answer:
        return replace(answer, masks=tuple(rectangle(box + 3) for box in answer.boxes))

    wrong = check_accuracy(INSTANCES, side("reference", masked), (side("CPU", moved),))
    assert wrong.verdict is Verdict.FAILED and [f.rule for f in wrong.findings] == ["accuracy-lost"]
    assert "points of mAP of masks" in wrong.findings[0].message
    lost = check_accuracy(INSTANCES, side("reference", masked), (side("CPU"),))
    assert lost.verdict is Verdict.FAILED and "points of mAP of masks" in lost.findings[0].message


def test_masks_that_are_far_below_what_is_known_of_them_fail() -> None:
    known = replace(INSTANCES, stated_mask_ap=0.99)
    (finding,) = check_accuracy(known, side("reference", masked), ()).findings
    assert finding.rule == "reference-ap-below-stated" and "has mAP of masks" in finding.message


def test_masks_without_annotations_are_not_judged() -> None:
    result = check_accuracy(DATASET, side("reference", masked), (side("CPU", masked),), note="masks not judged")
    assert result.verdict is Verdict.PASSED and result.summary.endswith("; masks not judged")
    assert {row["of"] for row in result.data["average_precision"]} == {"boxes"}


def test_what_was_not_run_is_said_and_is_no_pass() -> None:
    result = check_accuracy(DATASET, side("reference"), (side("CPU"), Side("fp16", (), (), "no adapter", "install one")))
    assert (result.verdict, result.advice) == (Verdict.NOT_RUN, "install one")
    assert "fp16 not run (no adapter)" in result.summary


def test_detections_of_other_classes_are_left_out() -> None:
    found = [Detection(9, "cup", 0.9, (0, 0, 1, 1)), Detection(3, "nut", 0.8, (1, 2, 3, 4))]
    answer = answer_of(found, {"nut": 1})
    assert answer.boxes.tolist() == [[1, 2, 3, 4]] and answer.classes.tolist() == [1] and answer.scores.tolist() == [0.8]
    assert answer.masks is None
    mask = rectangle(np.array([1, 2, 3, 4]))
    assert answer_of([replace(one, mask=mask) for one in found], {"nut": 1}).masks == (mask,)
    nothing = answer_of([], {})
    assert nothing.boxes.shape == (0, 4) and nothing.masks == ()


def test_the_line_for_a_run_without_anything_from_outside() -> None:
    assert outside_note([GateResult("detections", Verdict.PASSED, "")]) == NOT_COMPARED
    for gate in ("expected", "accuracy"):
        assert outside_note([GateResult(gate, Verdict.NOT_RUN, "")]) == ""


def test_fp16_ends_when_its_time_is_used_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """Graph A hands out as many outputs as it had time for, and graph B runs on these."""
    calls: list[tuple[str, int]] = []

    def run_model(model: Path, inputs: Any, *, budget: float | None = None, **_: Any) -> Any:
        calls.append((model.name, len(inputs)))
        count = len(inputs) if budget is None else 3
        outputs = tuple({name: value + 1 for name, value in one.items()} for one in inputs[:count])
        return SimpleNamespace(ok=True, outputs=outputs, adapter="soft", outcome="compiled", error="", refused=())

    monkeypatch.setattr(half_precision, "run_model", run_model)
    chain = Chain(Path("a"), Path("b"), {"x": np.dtype("float32")}, lambda a: {"x": a["image"] * 10})
    driver: Any = None
    found = run_half_precision(chain, 8, lambda i: {"image": np.full(2, i, np.float32)}, driver, 5.0)
    assert calls == [("a", 8), ("b", 3)]
    assert [one["x"][0] for one in found.outputs] == [11, 21, 31]
    assert (found.adapter, found.error) == ("soft", "")


def test_fp16_says_why_a_graph_did_not_run(monkeypatch: pytest.MonkeyPatch) -> None:
    lost = SimpleNamespace(ok=False, outputs=(), adapter="", outcome="died", error="SIGSEGV", refused=())
    monkeypatch.setattr(half_precision, "run_model", lambda *_, **__: lost)
    driver: Any = None
    chain = Chain(Path("a"), Path("b"), {}, lambda a: a)
    assert "graph_a: died: SIGSEGV" in run_half_precision(chain, 1, lambda i: {"image": np.zeros(1)}, driver, 5.0).error
