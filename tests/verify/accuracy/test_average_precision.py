"""Average precision is pycocotools', and resamples count pictures."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from detr2litert.host_runtime.masks import Mask
from detr2litert.verify.accuracy.average_precision import Answer, Truth, average_precision, match_pictures
from detr2litert.verify.accuracy.bootstrap import draw, interval

CLASSES = 4
SIDE = 90


def pycocotools(truths: Sequence[Truth], answers: Sequence[Answer], kind: str = "bbox") -> tuple[float, float]:
    """mAP and AP50 by the judge that everybody uses."""
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    annotations: list[dict[str, Any]] = []
    results: list[dict[str, Any]] = []
    for image, (truth, answer) in enumerate(zip(truths, answers, strict=True), start=1):
        masks: Any = [{} if m is None else {"segmentation": m.to_dict()} for m in truth.masks or [None] * len(truth.boxes)]
        for (x0, y0, x1, y1), number, crowd, mask in zip(truth.boxes.tolist(), truth.classes, truth.crowd, masks, strict=True):
            box = {"bbox": [x0, y0, x1 - x0, y1 - y0], "area": (x1 - x0) * (y1 - y0), "iscrowd": int(crowd), **mask}
            annotations.append({"id": len(annotations) + 1, "image_id": image, "category_id": int(number) + 1, **box})
        masks = [{} if m is None else {"segmentation": m.to_dict()} for m in answer.masks or [None] * len(answer.boxes)]
        for (x0, y0, x1, y1), number, score, mask in zip(
            answer.boxes.tolist(), answer.classes, answer.scores, masks, strict=True
        ):
            # Without boxes, since pycocotools would judge these.
            box = {"score": float(score), **(mask or {"bbox": [x0, y0, x1 - x0, y1 - y0]})}
            results.append({"image_id": image, "category_id": int(number) + 1, **box})
    truth_set = COCO()
    truth_set.dataset = {
        "info": {},
        "images": [{"id": i + 1, "width": SIDE, "height": SIDE} for i in range(len(truths))],
        "annotations": annotations,
        "categories": [{"id": k + 1, "name": str(k)} for k in range(CLASSES)],
    }
    with contextlib.redirect_stdout(io.StringIO()):
        truth_set.createIndex()
        judge = COCOeval(truth_set, truth_set.loadRes(results), kind)
        judge.evaluate()
        judge.accumulate()
        judge.summarize()
    return float(judge.stats[0]), float(judge.stats[1])


def drawn(seed: int, pictures: int = 20, crowds: bool = False) -> tuple[list[Truth], list[Answer]]:
    """Objects, and detections near them: some of another class, equal scores among them, more than 100 in a picture."""
    rng = np.random.default_rng(seed)
    truths, answers = [], []
    for _ in range(pictures):
        count = int(rng.integers(0, 8))
        centre, size = rng.uniform(10, 80, (count, 2)), rng.uniform(5, 30, (count, 2))
        boxes, classes = np.concatenate([centre - size / 2, centre + size / 2], 1), rng.integers(0, CLASSES, count)
        truths.append(Truth(boxes, classes, rng.random(count) < (0.2 if crowds else 0)))
        near = rng.integers(0, count, int(rng.integers(0, 250))) if count else np.zeros(0, int)
        moved = boxes[near] + rng.normal(0, 2, (len(near), 4))
        moved = np.concatenate([np.minimum(moved[:, :2], moved[:, 2:]), np.maximum(moved[:, :2], moved[:, 2:])], 1)
        named = np.where(rng.random(len(near)) < 0.8, classes[near], rng.integers(0, CLASSES, len(near)))
        answers.append(Answer(moved, named.astype(np.int64), np.round(rng.random(len(near)), 2)))
    return truths, answers


@pytest.mark.parametrize("crowds", [False, True], ids=["objects", "crowds"])
@pytest.mark.parametrize("seed", range(4))
def test_equal_to_pycocotools(seed: int, crowds: bool) -> None:
    truths, answers = drawn(seed, crowds=crowds)
    found = average_precision(match_pictures(truths, answers))
    assert (found.ap[0], found.ap50[0]) == pytest.approx(pycocotools(truths, answers), abs=1e-12)


def ellipse(box: np.ndarray) -> Mask:
    """The ellipse in a box, cut at the edges of a picture of SIDE pixels."""
    low, high = box[:2], box[2:]
    axis = np.arange(SIDE) + 0.5
    x, y = np.meshgrid(*((2 * axis - low[i] - high[i]) / max(high[i] - low[i], 1e-9) for i in range(2)))
    return Mask.of(x**2 + y**2 <= 1)


@pytest.mark.parametrize("crowds", [False, True], ids=["objects", "crowds"])
def test_masks_are_judged_as_by_pycocotools(crowds: bool) -> None:
    truths, answers = drawn(5, pictures=6, crowds=crowds)
    truths = [replace(truth, masks=tuple(map(ellipse, truth.boxes))) for truth in truths]
    # Some detections have the right box and the wrong mask, which only the masks show.
    answers = [
        replace(one, masks=tuple(ellipse(box * (0.8, 1, 1, 0.9) if i % 2 else box) for i, box in enumerate(one.boxes)))
        for one in answers
    ]
    of_masks = average_precision(match_pictures(truths, answers, masks=True))
    of_boxes = average_precision(match_pictures(truths, answers))
    assert (of_masks.ap[0], of_masks.ap50[0]) == pytest.approx(pycocotools(truths, answers, "segm"), abs=1e-12)
    assert abs(of_masks.ap[0] - of_boxes.ap[0]) > 0.01


def test_a_perfect_answer_has_one_and_none_has_zero() -> None:
    truths, _ = drawn(0)
    perfect = [Answer(t.boxes, t.classes, np.ones(len(t.classes))) for t in truths]
    nothing = [Answer(np.zeros((0, 4)), np.zeros(0, np.int64), np.zeros(0)) for _ in truths]
    assert average_precision(match_pictures(truths, perfect)).ap[0] == pytest.approx(1)
    assert average_precision(match_pictures(truths, nothing)).ap[0] == 0
    assert np.isnan(average_precision(match_pictures([], [])).ap[0])


def test_a_resample_is_the_set_of_its_pictures() -> None:
    """A picture that is drawn twice counts as two pictures, and one that is not drawn is not there."""
    truths, answers = drawn(3)
    scores = np.concatenate([a.scores for a in answers])
    # Without equal scores, which have no order between copies.
    ranks = np.split(
        np.argsort(np.argsort(scores, kind="stable")) / len(scores), np.cumsum([len(a.scores) for a in answers])[:-1]
    )
    answers = [Answer(a.boxes, a.classes, r) for a, r in zip(answers, ranks, strict=True)]
    counts = np.array([[0] * 5 + [1] * 15, [1] * 20])
    found = average_precision(match_pictures(truths, answers), counts)
    assert found.ap[0] == pytest.approx(average_precision(match_pictures(truths[5:], answers[5:])).ap[0])
    assert found.ap[1] == pytest.approx(average_precision(match_pictures(truths, answers)).ap[0])


def test_the_interval_holds_the_figure_and_shrinks_with_more_pictures() -> None:
    widths = []
    for pictures in (20, 120):
        truths, answers = drawn(1, pictures)
        matches = match_pictures(truths, answers)
        spread = interval(average_precision(matches, draw(pictures)).ap)
        assert spread.low < average_precision(matches).ap[0] < spread.high
        widths.append(spread.high - spread.low)
    assert widths[1] < widths[0]
    assert (draw(7).sum(axis=1) == 7).all() and (draw(7) == draw(7)).all()
