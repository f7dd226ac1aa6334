"""Keypoints: scores, coordinates and covariances are rfdetr's, of the right query and the right class's slots."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from detr2litert.host_runtime.decode import Detections, decode
from detr2litert.host_runtime.keypoints import Keypoint
from detr2litert.host_runtime.manifest import ClassKeypoints, Keypoints, Postprocess, Preprocess
from detr2litert.host_runtime.placement import place

QUERIES, CLASSES, SIZE = 30, 5, (640, 427)
SCALE, BIAS = np.array([0.4, 0.4, 3, 3, 1.5, 9, 1.5]), np.array([0.5, 0.5, 0, 0, 3, 0, 3])


def of_class(class_index: int, count: int) -> ClassKeypoints:
    return ClassKeypoints(class_index, tuple(f"k{index}" for index in range(count)), (), (0.05,) * count)


SCHEMA = (of_class(0, 0), of_class(1, 4), of_class(3, 2))
NAMES = [f"c{index}" for index in range(CLASSES)]


def outputs(seed: int, scale: np.ndarray = SCALE) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    keypoints = (rng.standard_normal((1, QUERIES, 6, 7)) * scale + BIAS).astype(np.float32)
    boxes = rng.uniform(0.1, 0.9, (1, QUERIES, 4)).astype(np.float32)
    return boxes, (2 * rng.standard_normal((1, QUERIES, CLASSES))).astype(np.float32), keypoints


def official(logits: np.ndarray, keypoints: np.ndarray, weight: float, select: int) -> list[tuple[float, int, np.ndarray]]:
    """rfdetr's, written out in torch with matrices: score, class, and [n, 6] x, y, score, xx, xy, yy for each selected pair."""
    scores = torch.from_numpy(logits).sigmoid().view(-1)
    found = []
    for place_ in torch.argsort(scores, descending=True, stable=True)[:select].tolist():
        label, score, own = place_ % CLASSES, scores[place_], torch.zeros(0, 7)
        if label in (1, 3):
            own = torch.from_numpy(keypoints)[0, place_ // CLASSES][slice(0, 4) if label == 1 else slice(4, 6)]
        lower = torch.zeros(len(own), 2, 2, dtype=torch.float64)
        lower[:, 0, 0], lower[:, 1, 0], lower[:, 1, 1] = own[:, 4].double().exp(), own[:, 5], own[:, 6].double().exp()
        covariance = torch.linalg.inv(lower @ lower.mT)
        findable = own[:, 2].sigmoid()
        if label in (0, 1, 3):
            trace = covariance.diagonal(dim1=1, dim2=2).sum(dim=1)
            mean = (trace * findable).sum() / findable.sum() if len(own) else torch.tensor(1.0)
            score = torch.sigmoid(score.log() - weight * mean.log())
        size = torch.tensor(SIZE, dtype=torch.float64)
        covariance = covariance * (size[:, None] * size)
        numbers = [own[:, :2] * size, findable[:, None], covariance.flatten(1)[:, [0, 1, 3]]]
        found.append((float(score), label, torch.cat(numbers, dim=1).numpy()))
    return sorted(found, key=lambda item: -item[0])


@pytest.mark.parametrize("weight", [0.05, 0.2, 2.0])
def test_it_is_the_official_post_processing(weight: float) -> None:
    boxes, logits, keypoints = outputs(1)
    spec = Postprocess(80, keypoints=Keypoints(weight, SCHEMA))
    wanted = [item for item in official(logits, keypoints, weight, 80) if item[0] > 0.3]
    found = decode(boxes, logits, SIZE, spec, NAMES, threshold=0.3, keypoints=keypoints)
    assert [item.class_index for item in found] == [label for _, label, _ in wanted]
    np.testing.assert_allclose([item.score for item in found], [score for score, _, _ in wanted], atol=1e-6)
    for item, (_, _, own) in zip(found, wanted, strict=True):
        assert (item.keypoints is None) == (len(own) == 0)
        numbers = [(point.x, point.y, point.score, *(point.covariance or ())) for point in item.keypoints or ()]
        np.testing.assert_allclose(np.reshape(numbers, (-1, 6)), own, rtol=1e-5, atol=1e-3)


def test_without_a_weight_the_scores_stay() -> None:
    boxes, logits, keypoints = outputs(2)
    plain = decode(boxes, logits, SIZE, Postprocess(80), NAMES)
    spec = Postprocess(80, keypoints=Keypoints(0.0, SCHEMA))
    found = decode(boxes, logits, SIZE, spec, NAMES, keypoints=keypoints)
    assert [(item.score, item.box, item.class_index) for item in found] == [
        (item.score, item.box, item.class_index) for item in plain
    ]
    assert {item.class_index for item in found if item.keypoints} == {1, 3}


def test_keypoints_lie_where_boxes_do_and_are_not_clamped() -> None:
    """A keypoint at a corner of a box is at that corner of the picture's box, however the picture lies in the input."""
    keypoints = np.zeros((1, 2, 1, 7), np.float32)
    keypoints[0, :, 0, :2] = (0.3, 0.45), (-0.5, 1.25)
    boxes = np.array([[[0.4, 0.5, 0.2, 0.1], [0.5, 0.5, 0.1, 0.1]]], np.float32)
    spec = Postprocess(2, keypoints=Keypoints(0.0, (of_class(0, 1),)))
    logits = np.array([[[3.0], [2.0]]], np.float32)
    for fit, fill in (("stretch", ()), ("letterbox", (0, 0, 0)), ("letterbox_top_left", (0, 0, 0))):
        placement = place(SIZE, Preprocess(320, 256, "bilinear", fit=fit, fill=fill))
        found = decode(boxes, logits, SIZE, spec, ["a"], placement=placement, keypoints=keypoints)
        (inside,), (outside,) = (item.keypoints or () for item in found)
        assert (inside.x, inside.y) == pytest.approx(found.items[0].box[:2])
        assert outside.x < 0 and outside.y > SIZE[1]
        # Standard deviations of 1 are the input's sides.
        scale, _ = placement.to_picture()
        assert inside.covariance == pytest.approx((float(scale[0]) ** 2, 0, float(scale[1]) ** 2))


def test_a_better_score_comes_first_and_suppresses() -> None:
    """By its keypoints the second of two equal boxes is the better one; equal scores keep their order."""
    keypoints = np.zeros((1, 3, 1, 7), np.float32)
    keypoints[0, :, 0, 4] = keypoints[0, :, 0, 6] = (0, 3, 3)
    boxes = np.full((1, 3, 4), 0.5, np.float32)
    spec = Postprocess(3, keypoints=Keypoints(0.2, (of_class(0, 1),)))
    logits = np.array([[[2.0], [1.5], [1.5]]], np.float32)
    keypoints[0, :, 0, 0] = (0.1, 0.2, 0.3)
    found = decode(boxes, logits, (10, 10), spec, ["a"], threshold=0.0, keypoints=keypoints)
    assert [round(item.keypoints[0].x) for item in found if item.keypoints] == [2, 3, 1]
    assert found.items[0].score == found.items[1].score > found.items[2].score
    (best,) = decode(boxes, logits, (10, 10), spec, ["a"], threshold=0.0, nms_iou=0.5, keypoints=keypoints)
    assert best == found.items[0]


def test_extreme_numbers_give_detections_that_json_can_hold() -> None:
    boxes, logits, keypoints = outputs(3, np.array([1e38, 1e9, 1e4, 1, 200, 1e30, 200]))
    spec = Postprocess(80, keypoints=Keypoints(0.2, SCHEMA))
    logits[0, 0] = 60
    found = decode(boxes, logits, SIZE, spec, NAMES, threshold=-1.0, keypoints=keypoints)
    assert len(found) == 80 and all(0 <= item.score <= 1 and math.isfinite(item.score) for item in found)
    points = [point for item in found for point in item.keypoints or ()]
    assert {point.covariance is None for point in points} == {True, False}
    assert Detections.from_dict(found.to_dict()) == found


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_numbers_that_are_none_are_refused(value: float) -> None:
    boxes, logits, keypoints = outputs(4)
    keypoints[0, 3, 2, 5] = value
    with pytest.raises(ValueError, match="'keypoints' contains NaN or infinity"):
        decode(boxes, logits, SIZE, Postprocess(80, keypoints=Keypoints(0.2, SCHEMA)), NAMES, keypoints=keypoints)


def test_another_shape_is_refused() -> None:
    boxes, logits, keypoints = outputs(5)
    spec = Postprocess(80, keypoints=Keypoints(0.2, SCHEMA))
    for wrong in (keypoints[:, :, :5], keypoints[..., :6], keypoints[:, :-1], keypoints[0]):
        with pytest.raises(ValueError, match=r"are not \[1, 30, 6, 7\]"):
            decode(boxes, logits, SIZE, spec, NAMES, keypoints=wrong)
    with pytest.raises(ValueError, match="not given"):
        decode(boxes, logits, SIZE, spec, NAMES)


@pytest.mark.parametrize(
    "change",
    [{"keypoints": []}, {"keypoints": [{"x": 1, "y": 2}]}, {"keypoints": [{"x": 1, "y": 2, "score": 2}]},
     {"keypoints": [{"x": 1e10, "y": 2, "score": 1}]}, {"keypoints": [{"x": 1, "y": 2, "score": 1, "covariance": [1, 2]}]}],
)  # fmt: skip
def test_detections_with_other_keypoints_are_not_read(change: dict[str, object]) -> None:
    item = {"class_index": 0, "name": "a", "score": 0.5, "box": [0, 0, 1, 1]}
    point = Keypoint(1, 2, 0.5, (1, 0, 1))
    sound = {"width": 4, "height": 4, "detections": [{**item, "keypoints": [point.to_dict()]}]}
    assert Detections.from_dict(sound).items[0].keypoints == (point,)
    with pytest.raises(ValueError, match="keypoints"):
        Detections.from_dict({**sound, "detections": [{**item, **change}]})
