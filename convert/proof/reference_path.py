"""Computes detections from a picture in PyTorch: the official pre- and post-processing around the uncut detector.

It shares no arithmetic with ``host_runtime``, so that a fault on either side shows when the two are compared. Sources: rfdetr's
``predict`` and ``PostProcess`` (see ``host_runtime.preprocess`` and ``host_runtime.decode`` for the lines), which D-FINE,
RT-DETRv2, LW-DETR and DEIMv2 share except for the normalisation and the antialiasing stated in their rows.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional

from detr2litert.convert.models.reference import Reference
from detr2litert.host_runtime.decode import Detection, Detections

ANTIALIASED = "bilinear_antialias"

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
        channels = self.reference.channels
        values = np.array(image.convert("RGB").convert(_MODES[channels])).reshape(image.height, image.width, channels)
        pixels = torch.from_numpy(values).permute(2, 0, 1)[None].to(torch.float32)
        settings = self.reference.settings
        antialias = settings.resize.value == ANTIALIASED
        resized = functional.interpolate(
            pixels / (1 / settings.scale.value), self.reference.size, mode="bilinear", align_corners=False, antialias=antialias
        )
        mean, std = (
            torch.tensor(value.value, dtype=torch.float32).view(1, -1, 1, 1) for value in (settings.mean, settings.std)
        )
        return ((resized - mean) / std).contiguous()

    @torch.no_grad()
    def outputs(self, tensor: Tensor) -> tuple[Tensor, Tensor]:
        """Computes boxes ``[1, Q, 4]`` and logits ``[1, Q, C]`` of an input tensor."""
        boxes, logits = self.reference.module(tensor)
        return boxes, logits

    def detect(self, image: Image.Image, threshold: float) -> Detections:
        """Computes the official detections above ``threshold``, best first, equal scores by query and column."""
        boxes, logits = self.outputs(self.tensor(image))
        return self.decode(boxes, logits, image.size, threshold)

    def decode(self, boxes: Tensor, logits: Tensor, size: tuple[int, int], threshold: float) -> Detections:
        """Applies the official post-processing to the detector's outputs, for a picture of (width, height) pixels."""
        scores, order = logits.sigmoid().flatten().sort(descending=True, stable=True)
        columns = logits.shape[2]
        width, height = size
        scale = torch.tensor([width, height, width, height], dtype=torch.float32)
        found = []
        for score, place in zip(scores[: self.reference.settings.num_select.value].tolist(), order.tolist(), strict=False):
            query, column = divmod(place, columns)
            name = self._classes[column]
            if score > threshold and name is not None:
                x, y, w, h = boxes[0, query].unbind()
                corners = torch.stack((x - w / 2, y - h / 2, x + w / 2, y + h / 2)) * scale
                left, top, right, bottom = corners.clamp(min=torch.zeros(4), max=scale).tolist()
                found.append(Detection(column, name, score, (left, top, right, bottom)))
        return Detections(tuple(found), width, height)
