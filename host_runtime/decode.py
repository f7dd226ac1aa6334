"""Converts graph B's boxes and logits to detections, as rfdetr's own `PostProcess` does.

Source: github.com/roboflow/rf-detr, `rfdetr/models/lwdetr.py` (1.x) and `src/rfdetr/models/postprocess.py` (commit 07e1eef):
sigmoid over all logits, the `num_select` best of the flattened queries x classes, query = index // C, label = index % C, boxes
from cxcywh to xyxy times the image's size; then `predict` selects `score > threshold`. No NMS. Versions differ:

- ties: torch.topk, undefined, up to 1.9.2; stable, by lower flattened index, since 1.9.3 (pull request 1320), as here;
- boxes are clamped to the picture since 1.8.3 (pull request 1168), as here;
- no version removes a logit column: the head has num_classes + 1 columns and the last one, "no object", is only *named*
  `__background__` by `predict` (pull request 970; COCO's 91 columns are the sparse category ids themselves). The manifest's
  `ignored_classes` are the columns that are not reported here; they still count among the `num_select`, as in the original.

With keypoints (since 1.9), a score changes after the selection, as `host_runtime.keypoints` says, and is compared with the
threshold then; the original leaves the order as it was selected, and here it is by the new score.
"""

from __future__ import annotations

import importlib.resources
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from detr2litert.host_runtime.foreign_json import OWN, conform, parse_json
from detr2litert.host_runtime.host_kernels import sigmoid
from detr2litert.host_runtime.keypoints import Keypoint, check_keypoints, to_keypoints, weighted_scores
from detr2litert.host_runtime.manifest import Manifest, Postprocess
from detr2litert.host_runtime.masks import Mask
from detr2litert.host_runtime.placement import Placement, place
from detr2litert.host_runtime.selection import topk_indices

Floats = NDArray[np.float32]
MasksOf = Callable[[Sequence[int]], Sequence[Mask]]
"""Computes the masks of queries, given by their indices, which may occur more than once."""


@dataclass(frozen=True)
class Detection:
    """One object: its logit column, name, score in 0..1, and box (left, top, right, bottom) in the picture's pixels.

    A detector of instances also gives its mask, of the picture's size; one of keypoints those of the classes that have any.
    """

    class_index: int
    name: str
    score: float
    box: tuple[float, float, float, float]
    mask: Mask | None = None
    keypoints: tuple[Keypoint, ...] | None = None

    def to_dict(self) -> dict[str, Any]:
        """Returns plain data for JSON; a mask in COCO's run-length form."""
        more: dict[str, Any] = {} if self.mask is None else {"mask": self.mask.to_dict()}
        if self.keypoints is not None:
            more["keypoints"] = [item.to_dict() for item in self.keypoints]
        return {"class_index": self.class_index, "name": self.name, "score": self.score, "box": list(self.box), **more}

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Detection:
        """Parses the result of `to_dict`, which `Detections.from_dict` has checked."""
        left, top, right, bottom = (float(value) for value in data["box"])
        mask = Mask.from_dict(data["mask"]) if "mask" in data else None
        keypoints = tuple(map(Keypoint.from_dict, data["keypoints"])) if "keypoints" in data else None
        box = (left, top, right, bottom)
        return cls(int(data["class_index"]), str(data["name"]), float(data["score"]), box, mask, keypoints)


@dataclass(frozen=True)
class Detections:
    """A picture's detections, best first, and the picture's size in pixels."""

    items: tuple[Detection, ...]
    width: int
    height: int

    def __iter__(self) -> Iterator[Detection]:
        return iter(self.items)

    def __len__(self) -> int:
        return len(self.items)

    def above(self, threshold: float) -> Detections:
        """Returns those with a score strictly above the threshold."""
        return Detections(tuple(item for item in self.items if item.score > threshold), self.width, self.height)

    def to_dict(self) -> dict[str, Any]:
        """Returns plain data for JSON."""
        return {"width": self.width, "height": self.height, "detections": [item.to_dict() for item in self.items]}

    @classmethod
    def from_dict(cls, data: Any) -> Detections:
        """Parses the result of `to_dict`; raises ValueError for anything else."""
        data = conform(data, _schema())
        return cls(tuple(Detection.from_dict(item) for item in data["detections"]), data["width"], data["height"])

    @classmethod
    def from_json(cls, data: str | bytes) -> Detections:
        """Parses a file's contents; raises ValueError if they are not JSON or not detections."""
        return cls.from_dict(parse_json(data, OWN))


def _schema() -> dict[str, Any]:
    text = importlib.resources.files(__package__).joinpath("detections.schema.json").read_text(encoding="utf-8")
    schema: dict[str, Any] = json.loads(text)
    return schema


def decode_outputs(
    manifest: Manifest,
    outputs: Mapping[str, NDArray[Any]],
    image_size: tuple[int, int],
    *,
    threshold: float = 0.5,
    nms_iou: float | None = None,
    nms_across_classes: bool = False,
    masks_of: MasksOf | None = None,
) -> Detections:
    """Returns one picture's detections, with the outputs, decoding and class names that the manifest defines.

    Args:
        manifest: the bundle's.
        outputs: graph B's outputs by name; others are ignored.
        image_size, threshold, nms_iou, nms_across_classes, masks_of: as for `decode`.

    Raises:
        ValueError: as `decode`.
        KeyError: an output is missing, which does not happen with the outputs of a run.
    """
    post = manifest.postprocess
    boxes, logits = (np.asarray(outputs[name], np.float32) for name in (post.boxes, post.logits))
    keypoints = None if post.keypoints is None else np.asarray(outputs[post.keypoints.output], np.float32)
    return decode(
        boxes,
        logits,
        image_size,
        post,
        manifest.classes,
        threshold=threshold,
        nms_iou=nms_iou,
        nms_across_classes=nms_across_classes,
        placement=place(image_size, manifest.preprocess),
        masks_of=masks_of,
        keypoints=keypoints,
    )


def decode(
    boxes: Floats,
    logits: Floats,
    image_size: tuple[int, int],
    spec: Postprocess,
    classes: Sequence[str | None],
    *,
    threshold: float = 0.5,
    nms_iou: float | None = None,
    nms_across_classes: bool = False,
    placement: Placement | None = None,
    masks_of: MasksOf | None = None,
    keypoints: Floats | None = None,
) -> Detections:
    """Returns one picture's detections.

    Args:
        boxes: [1, Q, 4], centre x, centre y, width, height as fractions of the input.
        logits: [1, Q, C], before the sigmoid.
        image_size: (width, height) in pixels of the picture that the boxes are for.
        spec: the manifest's post-processing.
        classes: C names; a detection of a class without a name (None) is named `class N`.
        threshold: scores must be strictly above it, as in rfdetr.
        nms_iou: if given, a box that overlaps a better one of its class by more than this IoU is removed.
        nms_across_classes: remove a box that overlaps a better one of any class.
        placement: where the picture lies in the input; by default it fills it.
        masks_of: called once, with the query of each detection that is returned; by default detections have no masks. They are
            cut to the boxes here if `spec` says so.
        keypoints: [1, Q, K, 7], as `host_runtime.keypoints`; needed if `spec` has keypoints.

    Raises:
        ValueError: shapes do not fit, or a value is NaN (a graph was computed wrong).
    """
    queries, columns = _check(boxes, logits, classes)
    with np.errstate(over="ignore"):
        scores = sigmoid(logits.astype(np.float32, copy=False)).reshape(-1)
    best = topk_indices(scores, min(spec.num_select, queries * columns))
    if spec.keypoints is not None:
        if keypoints is None:
            raise ValueError("the detections have keypoints, and the graphs' are not given")
        check_keypoints(keypoints, queries, spec.keypoints)
        scores[best] = weighted_scores(scores[best], best % columns, keypoints[0, best // columns], spec.keypoints)
        best = best[np.argsort(-scores[best], kind="stable")]
    best = best[scores[best] > threshold]
    best = best[~np.isin(best % columns, spec.ignored_classes)]
    labels = best % columns
    corners = to_pixels(boxes[0, best // columns], image_size, placement)
    if nms_iou is not None:
        keep = nms(corners, np.zeros_like(labels) if nms_across_classes else labels, nms_iou)
        best, labels, corners = best[keep], labels[keep], corners[keep]
    masks: Sequence[Mask | None] = [None] * len(best) if masks_of is None else masks_of((best // columns).tolist())
    if spec.masks is not None and spec.masks.within_box:
        masks = [mask and mask.within(box) for mask, box in zip(masks, corners.tolist(), strict=True)]
    points: Sequence[tuple[Keypoint, ...] | None] = [None] * len(best)
    if spec.keypoints is not None and keypoints is not None:
        scale, offset = _from_input(image_size, placement)
        points = to_keypoints(labels, keypoints[0, best // columns], spec.keypoints, scale[:2], offset[:2])
    items = tuple(
        Detection(int(label), classes[label] or f"class {label}", float(score), (left, top, right, bottom), mask, own)
        for label, score, (left, top, right, bottom), mask, own in zip(
            labels, scores[best], corners.tolist(), masks, points, strict=True
        )
    )
    return Detections(items, *image_size)


def to_pixels(boxes: Floats, image_size: tuple[int, int], placement: Placement | None = None) -> Floats:
    """Converts cxcywh fractions [N, 4] to left, top, right, bottom in pixels, clamped to the picture's (width, height).

    The boxes are fractions of the input, in which `placement` says where the picture lies; by default it fills it.
    """
    centre, half = boxes[:, :2], 0.5 * boxes[:, 2:]
    corners = np.concatenate((centre - half, centre + half), axis=1)
    extent = np.asarray((*image_size, *image_size), np.float32)
    scale, offset = _from_input(image_size, placement)
    clamped: Floats = np.clip(corners * scale + offset, 0, extent).astype(np.float32)
    return clamped


def _from_input(image_size: tuple[int, int], placement: Placement | None) -> tuple[Floats, Floats]:
    """Returns scale and offset (x, y, x, y) from fractions of the input to pixels of the picture."""
    if placement is not None:
        return placement.to_picture()
    return np.asarray((*image_size, *image_size), np.float32), np.zeros(4, np.float32)


def nms(corners: Floats, labels: NDArray[np.int64], iou: float) -> NDArray[np.int64]:
    """Performs greedy class-wise non-maximum suppression.

    Args:
        corners: [N, 4] left, top, right, bottom, best first.
        labels: [N]; boxes of different labels never suppress each other.
        iou: suppress above this intersection over union.

    Returns:
        The indices of the remaining boxes, ascending.
    """
    area = np.prod(np.maximum(corners[:, 2:] - corners[:, :2], 0), axis=1)
    alive = np.ones(len(corners), bool)
    for index in range(len(corners)):
        if not alive[index]:
            continue
        rest = np.flatnonzero(alive & (labels == labels[index]))
        rest = rest[rest > index]
        size = np.minimum(corners[rest, 2:], corners[index, 2:]) - np.maximum(corners[rest, :2], corners[index, :2])
        inter = np.prod(np.maximum(size, 0), axis=1)
        # Without a division, which would be 0 / 0 for two boxes without area.
        alive[rest[inter > iou * (area[rest] + area[index] - inter)]] = False
    return np.flatnonzero(alive)


def _check(boxes: Floats, logits: Floats, classes: Sequence[str | None]) -> tuple[int, int]:
    if boxes.ndim != 3 or logits.ndim != 3 or boxes.shape != (1, logits.shape[1], 4) or logits.shape[0] != 1:
        raise ValueError(f"boxes {list(boxes.shape)} and logits {list(logits.shape)} are not [1, Q, 4] and [1, Q, C]")
    if logits.shape[2] != len(classes):
        raise ValueError(f"there are {len(classes)} class names for {logits.shape[2]} logit columns")
    for name, tensor in (("boxes", boxes), ("logits", logits)):
        if np.isnan(tensor).any():
            raise ValueError(f"'{name}' contains NaN: the graphs were computed wrong on this accelerator or for this picture")
    return logits.shape[1], logits.shape[2]
