"""A training target on every cell of a feature map, discarded after training.

A one-to-many target trains the backbone long before the Hungarian matching becomes stable, and makes training from scratch
possible in an hour or two on two cores.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from detr2litert.convert.demo.scenes import CLASSES
from tools.demo_training.pool import Targets


class DenseHead(nn.Module):
    """One-to-many training targets on the feature map: every cell near a box's centre predicts its class and box."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.tower = nn.Sequential(nn.Conv2d(channels, channels, 3, padding=1), nn.SiLU())
        self.out = nn.Conv2d(channels, len(CLASSES) + 4, 1)
        nn.init.zeros_(self.out.weight)
        if self.out.bias is not None:
            nn.init.constant_(self.out.bias[: len(CLASSES)], -math.log(99))

    def loss(self, features: Tensor, targets: Targets) -> Tensor:
        """Computes the focal loss on classes plus GIoU loss on boxes, for features ``[B, C, H, W]``."""
        cells = features.shape[-1]
        prediction = self.out(self.tower(features)).permute(0, 2, 3, 1)
        axis = (torch.arange(cells) + 0.5) / cells
        centre = torch.stack(torch.meshgrid(axis, axis, indexing="xy"), -1)
        wanted_class = torch.zeros_like(prediction[..., : len(CLASSES)])
        wanted_box = torch.zeros_like(prediction[..., -4:])
        positive = torch.zeros(prediction.shape[:3], dtype=torch.bool)
        for i, target in enumerate(targets):
            order = (target["boxes"][:, 2] * target["boxes"][:, 3]).argsort(descending=True)
            for box, label in zip(target["boxes"][order], target["class_labels"][order], strict=True):
                near = ((centre - box[:2]).abs() < box[2:] * 0.35).all(-1)
                wanted_class[i][near] = F.one_hot(label, len(CLASSES)).to(wanted_class)
                wanted_box[i][near] = box
                positive[i] |= near
        logits = prediction[..., : len(CLASSES)]
        p = logits.sigmoid()
        error = (wanted_class - p).abs()
        focal = F.binary_cross_entropy_with_logits(logits, wanted_class, reduction="none") * error**2
        n = positive.sum().clamp(min=1)
        sides = prediction[..., -4:][positive].clamp(max=4).exp() / 8
        at = centre.expand(len(targets), -1, -1, -1)[positive]
        found = torch.cat([at - sides[:, :2], at + sides[:, 2:]], -1)
        loss: Tensor = focal.sum() / n + 2 * _giou_loss(found, _corners(wanted_box[positive])).sum() / n
        return loss


def _corners(boxes: Tensor) -> Tensor:
    return torch.cat([boxes[:, :2] - boxes[:, 2:] / 2, boxes[:, :2] + boxes[:, 2:] / 2], -1)


def _giou_loss(a: Tensor, b: Tensor) -> Tensor:
    """Computes 1 - generalised IoU (Rezatofighi et al., 2019) of paired corner boxes ``[n, 4]``."""
    overlap = (torch.minimum(a[:, 2:], b[:, 2:]) - torch.maximum(a[:, :2], b[:, :2])).clamp(min=0).prod(-1)
    hull = (torch.maximum(a[:, 2:], b[:, 2:]) - torch.minimum(a[:, :2], b[:, :2])).prod(-1)
    union = (a[:, 2:] - a[:, :2]).prod(-1) + (b[:, 2:] - b[:, :2]).prod(-1) - overlap
    return 1 - overlap / union + (hull - union) / hull
