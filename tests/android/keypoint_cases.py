"""Keypoints for the other runtimes: outputs with the detections that Python decodes from them, and manifests."""

from __future__ import annotations

import copy
import dataclasses
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from detr2litert.host_runtime.decode import Detections, decode
from detr2litert.host_runtime.manifest import ClassKeypoints, Fit, Keypoints, Postprocess, Preprocess
from detr2litert.host_runtime.placement import place

Array = NDArray[Any]
SEED = 20260104
SIZE = (640, 427)
SCALE = np.array([0.4, 0.4, 3, 3, 1.5, 9, 1.5], np.float32)
BIAS = np.array([0.5, 0.5, 0, 0, 3, 0, 3], np.float32)


def keypoints_of(class_index: int, count: int) -> ClassKeypoints:
    """A class's keypoints, in a chain."""
    names = tuple(f"k{index}" for index in range(count))
    return ClassKeypoints(class_index, names, tuple((index, index + 1) for index in range(count - 1)), (0.05,) * count)


TWO = Keypoints(0.2, (keypoints_of(1, 5), keypoints_of(2, 3)))
"""Of four classes, of which the first and the last have none."""


@dataclass(frozen=True)
class KeypointCase:
    """A graph's outputs, how they are decoded, and the detections."""

    name: str
    outputs: dict[str, Array]
    settings: dict[str, Any]
    found: Detections


def keypoint_cases() -> Iterator[KeypointCase]:
    """Yields the cases; the same every time."""
    rng = np.random.default_rng(SEED)

    def case(name: str, spec: Keypoints = TWO, into: Preprocess | None = None, **changed: Any) -> KeypointCase:
        queries, classes = 40, 4
        outputs = {
            "boxes": rng.uniform(0, 1, (1, queries, 4)).astype(np.float32),
            "logits": (2 * rng.standard_normal((1, queries, classes))).astype(np.float32),
            "keypoints": rng.standard_normal((1, queries, spec.total, 7)).astype(np.float32) * SCALE + BIAS,
        }
        outputs |= changed.pop("outputs", {})
        settings = {"num_select": 60, "ignored_classes": [], "threshold": 0.4, "nms_iou": None, "nms_across_classes": False}
        settings |= changed
        if settings["nms_iou"] is not None:
            outputs["boxes"][..., 2:] = 0.6
        post = Postprocess(settings["num_select"], ignored_classes=tuple(settings["ignored_classes"]), keypoints=spec)
        found = decode(
            outputs["boxes"],
            outputs["logits"],
            SIZE,
            post,
            [f"c{index}" for index in range(classes)],
            placement=None if into is None else place(SIZE, into),
            keypoints=outputs["keypoints"],
            **{key: settings[key] for key in ("threshold", "nms_iou", "nms_across_classes")},
        )
        settings |= {"width": SIZE[0], "height": SIZE[1], "keypoints": json.loads(json.dumps(dataclasses.asdict(spec)))}
        if into is not None:
            settings["preprocess"] = _preprocess(into)
        return KeypointCase(name, outputs, settings, found)

    yield case("two_classes")
    yield case("everything", threshold=0.0, num_select=1000)
    yield case("unweighted", dataclasses.replace(TWO, score_weight=0.0))
    yield case("heavily_weighted", dataclasses.replace(TWO, score_weight=3.0), threshold=0.0)
    yield case("class_without_keypoints_in_the_schema", dataclasses.replace(TWO, classes=(keypoints_of(0, 0), *TWO.classes)))
    yield case("not_in_the_order_of_classes", dataclasses.replace(TWO, classes=TWO.classes[::-1]))
    yield case("ignored", ignored_classes=[0, 2])
    yield case("nms", nms_iou=0.5)
    yield case("nms_across_classes", nms_iou=0.5, nms_across_classes=True)
    yield case("not_square", into=Preprocess(160, 224, "bilinear"))
    fits: tuple[Fit, ...] = ("letterbox", "letterbox_top_left")
    for fit in fits:
        for height, width in ((160, 224), (416, 416)):
            yield case(f"{fit}_{height}x{width}", into=Preprocess(height, width, "bilinear", fit=fit, fill=(114.0,) * 3))
    # Equal logits and equal keypoints: the order is that of the indices.
    ties = np.broadcast_to(BIAS, (1, 40, TWO.total, 7)).copy()
    yield case("ties", outputs={"logits": rng.integers(-2, 3, (1, 40, 4)).astype(np.float32), "keypoints": ties})
    # Saturated scores, and precisions that give no finite covariance, or none that differs from 0.
    far = rng.standard_normal((1, 40, TWO.total, 7)).astype(np.float32) * np.array([9, 9, 60, 60, 30, 1e4, 30], np.float32)
    yield case("far", outputs={"logits": rng.uniform(10, 40, (1, 40, 4)).astype(np.float32), "keypoints": far}, threshold=0.0)
    yield case("nothing", threshold=0.999)


def arrays(found: Detections) -> dict[str, Array]:
    """Of each detection the number of keypoints, and of all keypoints x, y, score, xx, xy, yy; NaN without a covariance."""
    none = (float("nan"),) * 3
    points = [(point.x, point.y, point.score, *(point.covariance or none)) for item in found for point in item.keypoints or ()]
    return {
        "found.keypoint_count": np.asarray([len(item.keypoints or ()) for item in found], np.int32),
        "found.keypoints": np.asarray(points, np.float32).reshape(-1, 6),
    }


def _preprocess(spec: Preprocess) -> dict[str, Any]:
    """The JSON layout of a manifest's pre-processing."""
    data: dict[str, Any] = json.loads(json.dumps(dataclasses.asdict(spec)))
    return {name: value for name, value in data.items() if name not in ("fit", "fill") or spec.fit != "stretch"}


def keypoint_manifests(sound: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Yields name and text of manifests with keypoints, from a sound one."""

    def changed(name: str, **fields: Any) -> tuple[str, str]:
        return f"keypoints_{name}", json.dumps({**sound, **fields})

    def spec(name: str, **fields: Any) -> tuple[str, str]:
        post = sound["postprocess"]
        return changed(name, postprocess={**post, "keypoints": {**post["keypoints"], **fields}})

    def one(name: str, **fields: Any) -> tuple[str, str]:
        classes = sound["postprocess"]["keypoints"]["classes"]
        return spec(name, classes=[{**classes[0], **fields}, *classes[1:]])

    def output(name: str, **fields: Any) -> tuple[str, str]:
        graphs = copy.deepcopy(sound["graphs"])
        next(item for item in graphs["a"]["outputs"] if item["name"] == "keypoints").update(fields)
        return changed(name, graphs=graphs)

    first, second = sound["postprocess"]["keypoints"]["classes"]
    yield changed("sound")
    yield changed("of_version_4", schema_version=4)
    yield changed("null", postprocess={**sound["postprocess"], "keypoints": None})
    without = {key: value for key, value in sound["postprocess"].items() if key != "keypoints"}
    yield changed("version_5_without", postprocess=without)
    masks = {"output": "masks", "kept": "kept", "kind": "bilinear_above_zero"}
    yield changed("and_masks", postprocess={**sound["postprocess"], "masks": masks})
    yield spec("output_unknown", output="points")
    yield spec("extra", visible=True)
    yield spec("weight_negative", score_weight=-0.1)
    yield spec("weight_zero", score_weight=0)
    yield spec("weight_text", score_weight="0.2")
    yield spec("no_classes", classes=[])
    yield spec("class_twice", classes=[first, {**second, "class_index": first["class_index"]}])
    yield spec("class_missing", classes=[first])
    yield spec(
        "class_without_keypoints",
        classes=[first, second, {**first, "class_index": 2, "names": [], "skeleton": [], "sigmas": []}],
    )
    yield one("class_unknown", class_index=3)
    yield one("class_negative", class_index=-1)
    yield one("sigmas_short", sigmas=first["sigmas"][:-1])
    yield one("sigma_zero", sigmas=[0, *first["sigmas"][1:]])
    yield one("names_short", names=first["names"][:-1])
    yield one("name_number", names=[1, *first["names"][1:]])
    yield one("skeleton_empty", skeleton=[])
    yield one("skeleton_beyond", skeleton=[[0, len(first["names"])]])
    yield one("skeleton_negative", skeleton=[[0, -1]])
    yield one("skeleton_of_three", skeleton=[[0, 1, 1]])
    yield one("skeleton_fraction", skeleton=[[0, 0.5]])
    yield one("extra_of_class", colour="red")
    yield output("output_of_eight_channels", shape=[1, 4, 5, 8])
    yield output("output_of_fewer_keypoints", shape=[1, 4, 4, 7])
    yield output("output_of_other_queries", shape=[1, 3, 5, 7])
    yield output("output_of_rank_three", shape=[4, 5, 7])
    yield output("output_of_two_pictures", shape=[2, 4, 5, 7])
    yield output("output_of_indices", dtype="int32")
