"""Computes detections from a picture in PyTorch: the official pre- and post-processing around the uncut detector.

It shares no arithmetic with ``host_runtime``, so that a fault on either side shows when the two are compared. Sources: rfdetr's
``predict`` and ``PostProcess`` (see ``host_runtime.preprocess`` and ``host_runtime.decode`` for the lines), which D-FINE,
RT-DETRv2, LW-DETR and DEIMv2 share except for the normalisation and the interpolation stated in their rows.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional

from detr2litert.convert.models.reference import Reference
from detr2litert.convert.models.settings.setting import MEAN
from detr2litert.convert.proof.reference_keypoints import in_pixels, of_class, score_with
from detr2litert.convert.proof.resize_8bit import resize_in_8_bits
from detr2litert.host_runtime.decode import Detection, Detections
from detr2litert.host_runtime.masks import Mask

ANTIALIASED = "bilinear_antialias"
IN_8_BITS = "bilinear_8bit"

_MODES = {1: "L", 3: "RGB", 4: "RGBA"}
"""Pillow's mode of a picture with this number of channels."""


class ReferencePath:
    """The complete path from picture to detections in PyTorch, with the uncut, original detector.

    Args:
        reference: the detector.
        classes: a name for each logit column; a column without one is never reported.
    """

    def __init__(self, reference: Reference, classes: Sequence[str | None]) -> None:
        self.reference = reference
        self._classes = tuple(classes)

    def tensor(self, image: Image.Image) -> Tensor:
        """Converts a picture to the detector's input ``[1, channels, H, W]``."""
        settings = self.reference.settings
        picture = image.convert(_MODES[self.reference.channels])
        left, top, width, height = self._region(image.size)
        if settings.resize.value == IN_8_BITS:
            resized = _planes_in_8_bits(picture, height, width) / (1 / settings.scale.value)
        else:
            antialias = settings.resize.value == ANTIALIASED
            resized = functional.interpolate(
                _planes(picture) / (1 / settings.scale.value),
                (height, width),
                mode="bilinear",
                align_corners=False,
                antialias=antialias,
            )
        mean, std = (
            torch.tensor(value.value, dtype=torch.float32).view(1, -1, 1, 1) for value in (settings.mean, settings.std)
        )
        full_height, full_width = self.reference.size
        padding = (left, full_width - width - left, top, full_height - height - top)
        normal = functional.pad((resized - mean) / std, padding)
        if settings.fill.value != MEAN and any(padding):
            # As if the padding had been pixels; transformers instead pads with zeros after the normalisation.
            border = functional.pad(torch.zeros(1, 1, height, width), padding, value=1.0)
            values = torch.tensor(settings.fill.value, dtype=torch.float32).view(1, -1, 1, 1) * settings.scale.value
            normal = normal + border * ((values - mean) / std)
        return normal.contiguous()

    def _region(self, size: tuple[int, int]) -> tuple[int, int, int, int]:
        """Returns left, top, width and height of a picture of ``size`` (width, height) in the input."""
        full_height, full_width = self.reference.size
        fit = self.reference.settings.fit.value
        if fit == "stretch":
            return 0, 0, full_width, full_height
        ratio = min(full_width / size[0], full_height / size[1])
        if fit == "letterbox_top_left":
            width, height = (max(1, math.floor(side * ratio)) for side in size)
            return 0, 0, width, height
        width, height = (max(1, round(side * ratio)) for side in size)
        # An odd pixel goes to the right or bottom, as in ultralytics, which rounds half of the padding less 0.1.
        return round((full_width - width) / 2 - 0.1), round((full_height - height) / 2 - 0.1), width, height

    @torch.no_grad()
    def outputs(self, tensor: Tensor) -> tuple[Tensor, Tensor]:
        """Computes boxes ``[1, Q, 4]`` and logits ``[1, Q, C]`` of an input tensor."""
        boxes, logits = self.reference.module(tensor)
        return boxes, logits

    @torch.no_grad()
    def detect(self, image: Image.Image, threshold: float, *, masks: bool = True) -> Detections:
        """Computes the official detections above ``threshold``, best first, equal scores by query and column.

        ``masks`` is whether those of a detector of instances are computed.
        """
        boxes, logits, *rest = self.reference.exported(self.tensor(image))
        if self.reference.keypoints_per_class:
            return self.decode(boxes, logits, image.size, threshold, keypoints=rest[0])
        return self.decode(boxes, logits, image.size, threshold, *(rest if masks else ()))

    def decode(
        self,
        boxes: Tensor,
        logits: Tensor,
        size: tuple[int, int],
        threshold: float,
        masks: Tensor | None = None,
        keypoints: Tensor | None = None,
    ) -> Detections:
        """Applies the official post-processing to the detector's outputs, for a picture of (width, height) pixels."""
        scores, order = logits.sigmoid().flatten().sort(descending=True, stable=True)
        counts, weight = self.reference.keypoints_per_class, self.reference.keypoint_score_weight
        columns = logits.shape[2]
        width, height = size
        extent = torch.tensor([width, height, width, height], dtype=torch.float32)
        full_height, full_width = self.reference.size
        left, top, region_width, region_height = self._region(size)
        origin = torch.tensor([left, top, left, top])
        full = torch.tensor([full_width, full_height])
        enlarged = torch.tensor([width / region_width, height / region_height] * 2, dtype=torch.float64)
        found = []
        for selected, place in zip(scores[: self.reference.settings.num_select.value], order.tolist(), strict=False):
            query, column = divmod(place, columns)
            name = self._classes[column]
            own = None if keypoints is None else of_class(keypoints[0, query], counts, column)
            score = float(score_with(selected, own, weight))
            if score > threshold and name is not None:
                x, y, w, h = boxes[0, query].unbind()
                corners = torch.stack((x - w / 2, y - h / 2, x + w / 2, y + h / 2))
                pixels = corners * torch.tensor([full_width, full_height] * 2) - origin
                x0, y0, x1, y1 = (pixels * enlarged).float().clamp(min=torch.zeros(4), max=extent).tolist()
                own_pixels = None if masks is None else self.mask_pixels(masks[:, [query]], size, (x0, y0, x1, y1))
                mask = None if own_pixels is None else Mask.of(own_pixels.numpy())
                points = None
                if own is not None and len(own):
                    points = in_pixels(own, enlarged[:2] * full, -origin[:2] * enlarged[:2])
                found.append(Detection(column, name, score, (x0, y0, x1, y1), mask, points))
        if keypoints is not None:
            found.sort(key=lambda item: -item.score)
        return Detections(tuple(found), width, height)

    def mask_pixels(self, logits: Tensor, size: tuple[int, int], box: Sequence[float] | None = None) -> Tensor:
        """Resizes a mask's logits ``[1, 1, h, w]`` to a picture of (width, height) pixels; those above 0 are the object.

        Of a family whose masks are probabilities, those are resized, and half is the threshold. A letterbox is resized as a
        whole, in pixels of the picture, and cut: rfdetr has none, and D-FINE-seg cuts whole cells before the resize.
        Nothing outside of the box (x0, y0, x1, y1) is the object, in a family whose masks are cut to boxes.
        """
        threshold = 0.0
        if self.reference.variant.family.masks_activation == "sigmoid":
            logits, threshold = logits.sigmoid(), 0.5
        left, top, width, height = self._region(size)
        if (height, width) == self.reference.size:
            resized = functional.interpolate(logits, size[::-1], mode="bilinear", align_corners=False)[0, 0]
        else:
            x = ((torch.arange(size[0]) + 0.5) * width / size[0] + left) / self.reference.size[1]
            y = ((torch.arange(size[1]) + 0.5) * height / size[1] + top) / self.reference.size[0]
            grid = torch.stack(torch.meshgrid(x, y, indexing="xy"), dim=-1)[None] * 2 - 1
            resized = functional.grid_sample(logits, grid.float(), padding_mode="border", align_corners=False)[0, 0]
        pixels = resized > threshold
        if box is not None and self.reference.variant.family.masks_within_box:
            (x0, y0, x1, y1), (columns, rows) = box, (torch.arange(side) for side in size)
            pixels = pixels & torch.outer((rows >= y0) & (rows < y1), (columns >= x0) & (columns < x1))
        return pixels


def _planes(picture: Image.Image) -> Tensor:
    """Returns the pixels as float32 ``[1, channels, height, width]``."""
    pixels = np.array(picture).reshape(picture.height, picture.width, -1)
    return torch.from_numpy(pixels).permute(2, 0, 1)[None].to(torch.float32)


def _planes_in_8_bits(picture: Image.Image, height: int, width: int) -> Tensor:
    if picture.mode != "RGBA":
        return resize_in_8_bits(_planes(picture), height, width)
    # Pillow's Image.resize weights colours with their opacity, and takes it out of them again.
    weighted = resize_in_8_bits(_planes(picture.convert("RGBa")), height, width)
    pixels = weighted[0].permute(1, 2, 0).to(torch.uint8).numpy()
    return _planes(Image.frombytes("RGBa", (width, height), pixels.tobytes()).convert("RGBA"))
