"""Compares detections with those that an original project's code gave."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import reduce
from itertools import islice
from pathlib import Path

import torch
from PIL import Image
from pycocotools import mask as coco_masks
from torch import Tensor
from torch.nn.functional import interpolate

from detr2litert.convert.models.reference import Reference, load_reference
from detr2litert.convert.models.settings.resolve import parse_requested
from detr2litert.convert.models.variants import find_variant
from detr2litert.convert.proof.reference_path import ReferencePath
from detr2litert.host_runtime.decode import Detection as Found
from tests.originals.recipe import PICTURES, Detection, Recipe

_SAME_ORDER = 0.999
_ROUNDINGS, _ROUNDING = 8, 2e-6
_EDGE = 0.1
"""Pixels that two empty boxes may differ by."""

Box = tuple[float, float, float, float]


@dataclass(frozen=True)
class Agreement:
    """How far two sets of detections agree that were matched one to one.

    Attributes:
        iou: of the worst pair; 0 if detections are left without a partner of their column.
        score: largest difference of a pair's scores; 1 if detections are left.
        left: detections of the original without a partner, then detections beyond the original's.
    """

    iou: float = 1.0
    score: float = 0.0
    left: tuple[str, ...] = ()

    def worse(self, other: Agreement) -> Agreement:
        """Returns the worse of each figure."""
        return Agreement(min(self.iou, other.iou), max(self.score, other.score), (*self.left, *other.left))


def agreement(recorded: Sequence[Detection], found: Sequence[Found]) -> Agreement:
    """Matches each recorded detection with the nearest found one of its column that has no partner yet.

    The nearest has the largest IoU minus the difference of scores.
    """
    free = list(found)
    worst = Agreement()
    for detection in recorded:
        near = [other for other in free if other.class_index == detection.column]
        if not near:
            worst = worst.worse(Agreement(0.0, 1.0, (f"missing {detection}",)))
            continue
        best = max(near, key=lambda other: iou(detection.box, other.box) - abs(detection.score - other.score))
        free.remove(best)
        worst = worst.worse(Agreement(iou(detection.box, best.box), abs(detection.score - best.score)))
    return worst.worse(Agreement(0.0, 1.0, tuple(f"extra {other}" for other in free))) if free else worst


def iou(one: Box, other: Box) -> float:
    """Returns the intersection over union of two boxes with corners x0, y0, x1, y1."""
    width = max(0.0, min(one[2], other[2]) - max(one[0], other[0]))
    height = max(0.0, min(one[3], other[3]) - max(one[1], other[1]))
    union = (one[2] - one[0]) * (one[3] - one[1]) + (other[2] - other[0]) * (other[3] - other[1]) - width * height
    if union <= 0:
        # Both are cut to nothing at an edge.
        return float(all(abs(a - b) < _EDGE for a, b in zip(one, other, strict=True)))
    return width * height / union


def load(recipe: Recipe, folder: Path) -> Reference:
    """Writes the recipe's checkpoint into ``folder`` and loads it with the recipe's options, as the command line does."""
    pairs = list(zip(recipe.options[::2], recipe.options[1::2], strict=True))
    variant = next((find_variant(value) for option, value in pairs if option == "--variant"), None)
    requested = parse_requested(tuple(value for option, value in pairs if option == "--set"))
    return load_reference(variant, str(recipe.write(folder)), requested)[0]


def compare(recipe: Recipe, reference: Reference, *, near_ties: bool = True) -> Agreement:
    """Detects on the three pictures and compares with what the original detected; columns decide, not names.

    Without ``near_ties`` one order of tokens of nearly equal scores counts, PyTorch's: for detectors that differ by more.
    """
    columns = [str(column) for column in range(reference.logit_columns)]
    path = ReferencePath(reference, columns)
    agreements = []
    for picture in PICTURES:
        with Image.open(picture) as image:
            tensor = path.tensor(image)
            recorded = [_inside(detection, image.size) for detection in recipe.detections[picture.name]]
            orders = []
            for boxes, logits, keypoints in islice(_orders(reference, tensor), None if near_ties else 1):
                found = path.decode(boxes, logits, image.size, recipe.threshold, keypoints=keypoints)
                orders.append(agreement(recorded, found.items))
                if not orders[-1].left and orders[-1].iou >= _SAME_ORDER:
                    break
        agreements.append(max(orders, key=lambda order: order.iou))
    return reduce(Agreement.worse, agreements)


def _orders(reference: Reference, tensor: Tensor) -> Iterator[tuple[Tensor, Tensor, Tensor | None]]:
    """Yields boxes, logits and, of a detector of keypoints, those.

    In float32, in float64, and in float64 of inputs that differ by rounding.

    These detectors add the n-th query to the n-th best token. Two tokens whose scores differ by less than the rounding of a sum
    change places from one implementation to another, and with them their detections.
    """
    with torch.no_grad():
        yield _outputs(reference, tensor)
        try:
            reference.module.double()
            for seed in range(_ROUNDINGS):
                noise = torch.randn(tensor.shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
                boxes, logits, keypoints = _outputs(reference, tensor.double() + (_ROUNDING * noise if seed else 0))
                yield boxes.float(), logits.float(), None if keypoints is None else keypoints.float()
        finally:
            reference.module.float()


def _outputs(reference: Reference, tensor: Tensor) -> tuple[Tensor, Tensor, Tensor | None]:
    boxes, logits, *more = reference.exported(tensor) if reference.keypoints_per_class else reference.module(tensor)
    return boxes, logits, more[0] if more else None


@torch.no_grad()
def compare_keypoints(recipe: Recipe, reference: Reference) -> tuple[float, float, int]:
    """Compares the keypoints of the recorded detections with those of the nearest found ones, as ``compare`` matches them.

    Returns:
        The largest distance along an axis, in pixels; the largest difference of scores; and how many were compared.
    """
    path = ReferencePath(reference, [str(column) for column in range(reference.logit_columns)])
    distance, score, count = 0.0, 0.0, 0
    for picture in PICTURES:
        with Image.open(picture) as image:
            found = path.detect(image, recipe.threshold)
        for detection in recipe.detections[picture.name]:
            near = [item for item in found if item.class_index == detection.column]
            best = max(near, key=lambda item: iou(detection.box, item.box) - abs(detection.score - item.score))
            own = reference.keypoints_per_class[detection.column : detection.column + 1] or (0,)
            assert len(best.keypoints or ()) == own[0]
            for (x, y, wanted), point in zip(detection.keypoints, best.keypoints or (), strict=False):
                distance = max(distance, abs(point.x - x), abs(point.y - y))
                score = max(score, abs(point.score - wanted))
                count += 1
    return distance, score, count


@torch.no_grad()
def compare_masks(recipe: Recipe, reference: Reference) -> tuple[float, int]:
    """Computes the recorded masks with the reference; the resize and the threshold are PyTorch's, as in rfdetr.

    Returns:
        The least IoU of a recorded mask with that of the query of the same column and score, and how many were recorded.
    """
    worst, count = 1.0, 0
    path = ReferencePath(reference, [str(column) for column in range(reference.logit_columns)])
    for picture in PICTURES:
        with Image.open(picture) as image:
            width, height = image.size
            output = reference.module.model(pixel_values=path.tensor(image))
        scores = output.logits[0].sigmoid()
        for detection in recipe.detections[picture.name]:
            if detection.mask is not None:
                query = (scores[:, detection.column] - detection.score).abs().argmin()
                found = interpolate(output.pred_masks[:, [query]], (height, width), mode="bilinear")[0, 0].numpy() > 0
                wanted = coco_masks.decode({"size": [height, width], "counts": detection.mask.encode()}).astype(bool)
                worst = min(worst, float((found & wanted).sum() / (found | wanted).sum()))
                count += 1
    return worst, count


def _inside(detection: Detection, size: tuple[int, int]) -> Detection:
    """Cuts a box at the picture's edges, as the path does; the originals return what is beyond."""
    left, top, right, bottom = (max(0.0, min(value, side)) for value, side in zip(detection.box, size * 2, strict=True))
    return replace(detection, box=(left, top, right, bottom))
