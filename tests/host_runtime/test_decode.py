from __future__ import annotations

import numpy as np
import pytest
import torch

from detr2litert.host_runtime.decode import Detection, Detections, decode, nms, to_pixels
from detr2litert.host_runtime.manifest import Postprocess

SPEC = Postprocess(num_select=300)


def random_outputs(queries: int, columns: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    boxes = rng.uniform(0, 1, (1, queries, 4)).astype(np.float32)
    return boxes, (rng.normal(size=(1, queries, columns)) * 3 - 4).astype(np.float32)


def official(boxes: np.ndarray, logits: np.ndarray, size: tuple[int, int], num_select: int):
    """rfdetr's PostProcess since 1.9.3, written out in torch: scores, labels, boxes of the num_select best pairs."""
    scores = torch.from_numpy(logits).sigmoid().view(1, -1)
    order = torch.argsort(scores, dim=1, descending=True, stable=True)[:, :num_select]
    labels = order % logits.shape[2]
    x, y, w, h = torch.from_numpy(boxes).unbind(-1)
    corners = torch.stack([x - 0.5 * w, y - 0.5 * h, x + 0.5 * w, y + 0.5 * h], dim=-1)
    corners = corners.gather(1, (order // logits.shape[2]).unsqueeze(-1).expand(-1, -1, 4))
    scale = torch.tensor([size[0], size[1], size[0], size[1]], dtype=torch.float32)
    corners = (corners * scale).clamp_min(0.0).clamp(max=scale)
    return scores.gather(1, order)[0].numpy(), labels[0].numpy(), corners[0].numpy()


@pytest.mark.parametrize(("queries", "columns", "num_select"), [(300, 91, 300), (300, 4, 300), (40, 7, 40), (10, 3, 300)])
@pytest.mark.parametrize("threshold", [0.0, 0.3])
def test_it_is_the_official_post_processing(queries, columns, num_select, threshold):
    boxes, logits = random_outputs(queries, columns)
    scores, labels, corners = official(boxes, logits, (640, 427), num_select)
    keep = scores > threshold
    found = decode(boxes, logits, (640, 427), Postprocess(num_select), [f"c{i}" for i in range(columns)], threshold=threshold)
    assert len(found) == keep.sum() > 0
    assert [item.class_index for item in found] == labels[keep].tolist()
    np.testing.assert_allclose([item.score for item in found], scores[keep], atol=1e-6)
    np.testing.assert_allclose([item.box for item in found], corners[keep], atol=1e-3)


def test_exact_ties_keep_the_order_of_queries_and_classes():
    boxes, _ = random_outputs(3, 2)
    found = decode(boxes, np.full((1, 3, 2), 2.0, np.float32), (10, 10), Postprocess(5), ["a", "b"])
    assert [item.name for item in found] == ["a", "b", "a", "b", "a"]


def test_scores_that_saturate_tie_as_in_the_original_which_sorts_after_the_sigmoid():
    boxes, _ = random_outputs(2, 1)
    logits = np.array([[[30.0], [40.0]]], np.float32)
    found = decode(boxes, logits, (1, 1), SPEC, ["a"])
    np.testing.assert_array_equal([item.box for item in found], to_pixels(boxes[0], (1, 1)))


def test_one_query_may_be_two_classes_and_only_strictly_above_the_threshold():
    boxes = np.full((1, 1, 4), 0.5, np.float32)
    found = decode(boxes, np.array([[[1.0, 0.0, 2.0]]], np.float32), (8, 8), SPEC, ["a", "b", "c"], threshold=0.5)
    assert [item.name for item in found] == ["c", "a"]


def test_boxes_are_in_pixels_and_inside_the_picture():
    boxes = np.array([[0.5, 0.5, 0.5, 0.5], [0.0, 1.0, 0.5, 0.5]], np.float32)
    np.testing.assert_array_equal(to_pixels(boxes, (100, 40)), [[25, 10, 75, 30], [0, 30, 25, 40]])


def test_ignored_classes_are_not_reported_but_take_their_place():
    boxes, _ = random_outputs(1, 3)
    logits = np.array([[[3.0, 2.0, 1.0]]], np.float32)
    found = decode(boxes, logits, (8, 8), Postprocess(2, ignored_classes=(0,)), ["bg", "cat", "dog"])
    assert [item.name for item in found] == ["cat"]


def test_a_hole_has_a_name():
    boxes, logits = random_outputs(1, 2)
    found = decode(boxes, logits + 20, (8, 8), SPEC, [None, "cat"])
    assert {item.name for item in found} == {"class 0", "cat"}


def test_nothing_found_is_no_error():
    boxes, logits = random_outputs(5, 3)
    found = decode(boxes, logits - 50, (8, 6), SPEC, ["a", "b", "c"])
    assert len(found) == 0
    assert found.to_dict() == {"width": 8, "height": 6, "detections": []}


def test_json_round_trip():
    found = Detections((Detection(3, "猫", 0.75, (1.0, 2.0, 3.5, 4.0)),), 10, 20)
    assert Detections.from_dict(found.to_dict()) == found


def test_nms_is_off_unless_asked_for_and_class_wise():
    boxes = np.array([[[0.5, 0.5, 0.4, 0.4], [0.51, 0.5, 0.4, 0.4], [0.2, 0.2, 0.1, 0.1]]], np.float32)
    logits = np.array([[[3.0, -9.0], [2.0, 1.0], [1.5, -9.0]]], np.float32)
    every = decode(boxes, logits, (100, 100), SPEC, ["a", "b"])
    assert [item.name for item in every] == ["a", "a", "a", "b"]
    kept = decode(boxes, logits, (100, 100), SPEC, ["a", "b"], nms_iou=0.5)
    assert [(item.name, round(item.score, 2)) for item in kept] == [("a", 0.95), ("a", 0.82), ("b", 0.73)]
    assert decode(boxes, logits, (100, 100), SPEC, ["a", "b"], nms_iou=0.99) == every


def test_nms_by_hand():
    boxes = np.array([[0, 0, 10, 10], [0, 0, 10, 5], [0, 0, 10, 5], [5, 5, 5, 5], [5, 5, 5, 5]], np.float32)
    same = np.zeros(5, np.int64)
    assert nms(boxes, same, 0.5).tolist() == [0, 1, 3, 4]  # IoU 0.5 is not above 0.5; boxes without area overlap nothing
    assert nms(boxes, same, 0.4).tolist() == [0, 3, 4]
    assert nms(boxes, np.arange(5), 0.1).tolist() == [0, 1, 2, 3, 4]
    assert nms(boxes[:0], same[:0], 0.5).tolist() == []


@pytest.mark.parametrize(
    ("boxes", "logits", "names", "words"),
    [
        ((1, 3, 4), (1, 2, 2), 2, "are not"),
        ((1, 3, 5), (1, 3, 2), 2, "are not"),
        ((3, 4), (3, 2), 2, "are not"),
        ((2, 3, 4), (2, 3, 2), 2, "are not"),
        ((1, 3, 4), (1, 3, 2), 3, "3 class names for 2 logit columns"),
    ],
)
def test_shapes_that_do_not_fit(boxes, logits, names, words):
    with pytest.raises(ValueError, match=words):
        decode(np.zeros(boxes, np.float32), np.zeros(logits, np.float32), (1, 1), SPEC, ["x"] * names)


@pytest.mark.parametrize("where", ["boxes", "logits"])
def test_nan_is_an_error_not_an_empty_picture(where):
    tensors = dict(zip(("boxes", "logits"), random_outputs(5, 3), strict=True))
    tensors[where][0, 2, 1] = np.nan
    with pytest.raises(ValueError, match=f"'{where}' contains NaN"):
        decode(tensors["boxes"], tensors["logits"], (8, 8), SPEC, ["a", "b", "c"])


def test_above_keeps_what_is_strictly_above_and_the_size():
    box = (0.0, 0.0, 1.0, 1.0)
    found = Detections(tuple(Detection(0, "a", score, box) for score in (0.9, 0.5, 0.4)), 10, 20)
    assert found.above(0.5) == Detections(found.items[:1], 10, 20)
    assert found.above(0.95) == Detections((), 10, 20)
