"""Keypoints of annotations: average precision is pycocotools', and what does not fit the detector is one line."""

from __future__ import annotations

import contextlib
import io
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from detr2litert.host_runtime.decode import Detection
from detr2litert.host_runtime.errors import UserError
from detr2litert.host_runtime.keypoints import Keypoint
from detr2litert.host_runtime.manifest import ClassKeypoints, Keypoints
from detr2litert.host_runtime.manifest_keypoints import numbered_names
from detr2litert.verify.accuracy.accuracy import Side, answer_of, check_accuracy
from detr2litert.verify.accuracy.annotated_keypoints import with_keypoints
from detr2litert.verify.accuracy.average_precision import Answer, Truth, average_precision, match_pictures
from detr2litert.verify.accuracy.dataset import AnnotatedPicture, Dataset
from detr2litert.verify.accuracy.expected import ExpectedPicture, check_expected
from detr2litert.verify.accuracy.expected_file import read_expected
from detr2litert.verify.accuracy.read_dataset import read_dataset
from detr2litert.verify.gates import Verdict

POINTS = 4
SIGMAS = np.array([0.026, 0.079, 0.1, 0.05])
SPEC = Keypoints(0.2, (ClassKeypoints(0, tuple("abcd"), (), tuple(SIGMAS.tolist())),))


def pycocotools(truths: Sequence[Truth], answers: Sequence[Answer]) -> tuple[float, float]:
    """mAP and AP50 by the judge that everybody uses."""
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    annotations: list[dict[str, Any]] = []
    results: list[dict[str, Any]] = []
    for image, (truth, answer) in enumerate(zip(truths, answers, strict=True), start=1):
        assert truth.keypoints is not None and truth.areas is not None and answer.keypoints is not None
        for place, (x0, y0, x1, y1) in enumerate(truth.boxes.tolist()):
            points = truth.keypoints[place]
            own = np.zeros((POINTS, 3)) if points is None else points
            annotations.append(
                {"id": len(annotations) + 1, "image_id": image, "category_id": int(truth.classes[place]) + 1,
                 "bbox": [x0, y0, x1 - x0, y1 - y0], "area": float(truth.areas[place]), "iscrowd": int(truth.crowd[place]),
                 "keypoints": own.reshape(-1).tolist(), "num_keypoints": int((own[:, 2] > 0).sum())}
            )  # fmt: skip
        for number, score, found in zip(answer.classes, answer.scores, answer.keypoints, strict=True):
            assert found is not None
            flat = np.concatenate([found, np.ones((POINTS, 1))], axis=1).reshape(-1).tolist()
            results.append({"image_id": image, "category_id": int(number) + 1, "score": float(score), "keypoints": flat})
    truth_set = COCO()
    truth_set.dataset = {
        "info": {},
        "images": [{"id": i + 1} for i in range(len(truths))],
        "annotations": annotations,
        "categories": [{"id": k + 1, "name": str(k)} for k in range(2)],
    }
    with contextlib.redirect_stdout(io.StringIO()):
        truth_set.createIndex()
        judge = COCOeval(truth_set, truth_set.loadRes(results), "keypoints")
        judge.params.kpt_oks_sigmas = SIGMAS
        judge.evaluate()
        judge.accumulate()
        judge.summarize()
    return float(judge.stats[0]), float(judge.stats[1])


def drawn(seed: int, pictures: int = 15) -> tuple[list[Truth], list[Answer]]:
    """Objects, some crowds, some without an annotated keypoint; up to 40 detections in a picture, of which some fit exactly."""
    rng = np.random.default_rng(seed)
    truths, answers = [], []
    for _ in range(pictures):
        count = int(rng.integers(0, 7))
        corner, size = rng.uniform(0, 60, (count, 2)), rng.uniform(5, 40, (count, 2))
        points = corner[:, None] + rng.uniform(0, 1, (count, POINTS, 2)) * size[:, None]
        visible = rng.choice([0, 1, 2], (count, POINTS, 1), p=[0.3, 0.2, 0.5]) * (rng.random((count, 1, 1)) < 0.8)
        annotated = np.concatenate([points * (visible > 0), visible], axis=2)
        truths.append(
            Truth(
                np.concatenate([corner, corner + size], axis=1),
                rng.integers(0, 2, count),
                rng.random(count) < 0.15,
                keypoints=tuple(annotated),
                areas=size.prod(axis=1) * rng.uniform(0.3, 1, count),
            )
        )
        near = rng.integers(0, count, int(rng.integers(0, 40))) if count else np.zeros(0, int)
        moved = points[near] + rng.normal(0, 2, (len(near), POINTS, 2)) * (rng.random((len(near), 1, 1)) < 0.8)
        classes = np.where(rng.random(len(near)) < 0.85, truths[-1].classes[near], 1 - truths[-1].classes[near])
        scores = np.round(rng.random(len(near)), 2)
        answers.append(Answer(np.zeros((len(near), 4)), classes.astype(np.int64), scores, keypoints=tuple(moved)))
    return truths, answers


@pytest.mark.parametrize("seed", range(5))
def test_equal_to_pycocotools(seed: int) -> None:
    truths, answers = drawn(seed)
    found = average_precision(match_pictures(truths, answers, sigmas={0: SIGMAS, 1: SIGMAS}))
    wanted = pycocotools(truths, answers)
    assert (found.ap[0], found.ap50[0]) == pytest.approx(wanted, abs=1e-12) and 0.05 < wanted[0] < 0.95


def test_classes_without_sigmas_are_not_judged() -> None:
    truths, answers = drawn(0)
    assert len(match_pictures(truths, answers, sigmas={1: SIGMAS})) == 1


def detection(shift: float = 0.0, score: float = 0.9, findable: float = 0.9) -> Detection:
    points = tuple(Keypoint(20.0 + 10 * i + shift, 30.0 + 5 * i, findable, (1, 0, 1)) for i in range(POINTS))
    return Detection(0, "bolt", score, (10, 20, 70, 60), None, points)


def dataset(count: int = POINTS, pictures: int = 6) -> Dataset:
    points = np.array([[20.0 + 10 * i, 30.0 + 5 * i, 2] for i in range(count)])
    truth = Truth(np.array([[10.0, 20, 70, 60]]), np.array([0]), np.array([False]), None, (points,), np.array([2400.0]))
    one = AnnotatedPicture("a", lambda: Image.new("RGB", (80, 80)), truth)
    return Dataset("set", ("bolt",), (one,) * pictures, pictures)


def test_keypoints_are_judged_beside_boxes() -> None:
    annotated = with_keypoints(dataset(), SPEC, ["bolt"])
    right, wrong = (answer_of([detection(shift)], {"bolt": 0}) for shift in (0, 12))
    everything = tuple(range(6))
    result = check_accuracy(annotated, Side("reference", everything, (right,) * 6), [Side("CPU", everything, (right,) * 6)])
    assert result.verdict is Verdict.PASSED and "mAP of keypoints 1.000" in result.summary
    result = check_accuracy(annotated, Side("reference", everything, (right,) * 6), [Side("CPU", everything, (wrong,) * 6)])
    assert result.verdict is Verdict.FAILED and "of mAP of keypoints" in result.findings[0].message
    empty = answer_of([], {"bolt": 0})
    result = check_accuracy(annotated, Side("reference", everything, (right,) * 6), [Side("CPU", everything, (empty,) * 6)])
    assert result.verdict is Verdict.FAILED and len(result.findings) == 2
    without = replace(annotated, sigmas={})
    result = check_accuracy(without, Side("reference", everything, (right,) * 6), [Side("CPU", everything, (wrong,) * 6)])
    assert result.verdict is Verdict.PASSED and "keypoints" not in result.summary


def test_another_number_of_keypoints_is_one_line() -> None:
    with pytest.raises(UserError, match=r"set have 3 keypoints for bolt, and the detector 4 \(a, b, c, d\)"):
        with_keypoints(dataset(3), SPEC, ["bolt"])


@pytest.mark.parametrize("names", [(), ("keypoint",), tuple("abcd"), ("A", " b", "c", "d")], ids=str)
def test_keypoints_of_the_same_names_or_without_meet_by_position(names: tuple[str, ...]) -> None:
    given = replace(dataset(), keypoint_names={0: names} if names else {})
    found = with_keypoints(given, SPEC, ["bolt"])
    assert found.pictures == given.pictures and found.remark == "" and found.sigmas[0].tolist() == SIGMAS.tolist()


def test_a_detector_whose_keypoints_are_numbered_takes_any_names() -> None:
    spec = replace(SPEC, classes=(replace(SPEC.classes[0], names=numbered_names(POINTS)),))
    found = with_keypoints(replace(dataset(), keypoint_names={0: tuple("wxyz")}), spec, ["bolt"])
    assert found.remark == "" and list(found.sigmas) == [0]


def test_keypoints_in_another_order_are_reordered_and_that_is_said() -> None:
    """Annotated as c, a, d, b: the similarity is that of the right order, which is 1, and not that of the positions."""
    order = [2, 0, 3, 1]
    given = dataset()
    truth = given.pictures[0].truth
    assert truth.keypoints is not None and truth.keypoints[0] is not None
    written = replace(given.pictures[0], truth=replace(truth, keypoints=(truth.keypoints[0][order],)))
    named = replace(given, pictures=(written,) * 6, keypoint_names={0: tuple("CADB")})
    side = Side("CPU", tuple(range(6)), (answer_of([detection()], {"bolt": 0}),) * 6)
    found = with_keypoints(named, SPEC, ["bolt"])
    result = check_accuracy(found, replace(side, name="reference"), [side], note=found.remark)
    assert result.verdict is Verdict.PASSED and "mAP of keypoints 1.000" in result.summary
    assert "the keypoints of bolt in another order, and were brought to the detector's by name" in result.summary
    silent = with_keypoints(replace(named, keypoint_names={}), SPEC, ["bolt"])
    assert "mAP of keypoints 1.000" not in check_accuracy(silent, replace(side, name="reference"), [side]).summary


@pytest.mark.parametrize("names", [tuple("abcx"), tuple("aabc"), ("b", "a", "c", "c")], ids=str)
def test_keypoints_of_other_names_are_one_line(names: tuple[str, ...]) -> None:
    with pytest.raises(UserError) as error:
        with_keypoints(replace(dataset(), keypoint_names={0: names}), SPEC, ["bolt"])
    message = str(error.value)
    assert f"name the keypoints of bolt {', '.join(names)}, and the detector a, b, c, d; if" in message
    assert "--classes" in message and "\n" not in message


def coco(folder: Path, **fields: Any) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (80, 80)).save(folder / "a.png")
    entry = {"id": 1, "image_id": 1, "category_id": 1, "bbox": [10, 20, 60, 40]}
    record = {
        "images": [{"id": 1, "file_name": "a.png", "width": 80, "height": 80}],
        "categories": [{"id": 1, "name": "bolt", "keypoints": list("abcd"), "skeleton": [[1, 2]]}],
        "annotations": [{**entry, **fields}, {**entry, "id": 2}],
    }
    path = folder / "person_keypoints_val2017.json"
    path.write_text(json.dumps(record))
    return path


def test_coco_annotations(tmp_path: Path) -> None:
    values = [20, 30, 2, 30, 35, 1, 0, 0, 0, 50, 45, 2]
    coco(tmp_path / "annotations", keypoints=values, num_keypoints=3, area=1500.5)
    (picture,) = read_dataset(tmp_path, 10).pictures
    truth = picture.truth
    assert truth.keypoints is not None and truth.areas is not None
    assert truth.keypoints[0] is not None and truth.keypoints[0].reshape(-1).tolist() == values and truth.keypoints[1] is None
    assert truth.areas.tolist() == [1500.5, 2400]
    assert read_dataset(tmp_path, 10).keypoint_names == {0: ("a", "b", "c", "d")}


@pytest.mark.parametrize("value", [[1, 2], [1, 2, "x"], {"a": 1}, [1, 2, -1], [1, None, 2]])
def test_bad_keypoints_are_one_line(tmp_path: Path, value: Any) -> None:
    path = coco(tmp_path, keypoints=value)
    with pytest.raises(UserError, match=r"annotation 0 has .*keypoint"):
        read_dataset(path, 10)


@pytest.mark.parametrize(
    ("shift", "third", "verdict"),
    [(0, 2, Verdict.PASSED), (0.5, 1, Verdict.PASSED), (4, 2, Verdict.FAILED), (4, 0, Verdict.PASSED)],
)
def test_expected_keypoints(tmp_path: Path, shift: float, third: float, verdict: Verdict) -> None:
    """The last keypoint is moved: within a share of the diagonal, beyond it, or beyond it where neither side finds it."""
    flat = [value for i in range(POINTS) for value in (20 + 10 * i, 30 + 5 * i, 2)]
    flat[-3:] = [flat[-3] + shift, flat[-2], third]
    row = {"image_id": 1, "category_id": 0, "bbox": [10, 20, 60, 40], "score": 0.9, "keypoints": flat}
    (tmp_path / "expected.json").write_text(json.dumps([row]))
    found = detection()
    assert found.keypoints is not None
    if not third:
        found = replace(found, keypoints=(*found.keypoints[:-1], replace(found.keypoints[-1], score=0.1)))
    (expected,) = read_expected(tmp_path / "expected.json", ["a.png"])
    result = check_expected("the file", [ExpectedPicture("a.png", (80, 80), expected, [found])], ["bolt"], 0.3)
    assert result.verdict is verdict, result.summary
    boxes = [replace(found, keypoints=None)]
    result = check_expected("the file", [ExpectedPicture("a.png", (80, 80), expected, boxes)], ["bolt"], 0.3)
    assert result.verdict is Verdict.PASSED and "its keypoints were not compared" in result.summary


def test_bad_expected_keypoints_are_one_line(tmp_path: Path) -> None:
    row = {"image_id": 1, "category_id": 0, "bbox": [10, 20, 60, 40], "score": 0.9, "keypoints": [1, 2]}
    (tmp_path / "expected.json").write_text(json.dumps([row]))
    with pytest.raises(UserError, match="has keypoints that are not a list of x, y, v"):
        read_expected(tmp_path / "expected.json", ["a.png"])
