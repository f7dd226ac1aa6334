"""The loss of a detector's masks: which query an object's mask is asked of, and how far that mask is from the object.

As RF-DETR Seg's original training does (rfdetr 1.11.2, rfdetr/models/criterion.py, which follows Mask2Former and PointRend), a
mask is compared at points only, most of them where it is least sure. Queries are matched with objects by class and box alone.
"""

from __future__ import annotations

import numpy as np
import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor
from torch.nn import functional as F
from transformers import RfDetrForInstanceSegmentation

from tools.demo_training.pool import Targets

_POINTS = 400
_CANDIDATES = 3
_UNCERTAIN = 0.75
_CLASS_COST, _BOX_COST, _GIOU_COST = 2.0, 5.0, 2.0
_FOCAL_ALPHA, _FOCAL_GAMMA = 0.25, 2.0

Matches = list[tuple[Tensor, Tensor]]
"""One entry per image: indices of queries and the objects that they are matched with."""


def match(logits: Tensor, boxes: Tensor, targets: Targets, groups: int) -> Matches:
    """Matches the queries of each group with the objects, one to one (Carion et al., 2020; Chen et al., 2022).

    Args:
        logits: ``[B, G Q, C]``.
        boxes: ``[B, G Q, 4]`` as cx, cy, w, h in [0, 1].
        targets: of the B images.
        groups: G; each of them is matched with all objects.
    """
    matches = []
    for scores, found, target in zip(logits.detach().sigmoid(), boxes.detach(), targets, strict=True):
        cost = _cost(scores, found, target).numpy()
        queries, objects = [], []
        size = len(cost) // groups
        for start in range(0, len(cost), size):
            rows, columns = linear_sum_assignment(cost[start : start + size])
            queries.append(rows + start)
            objects.append(columns)
        matches.append((torch.from_numpy(np.concatenate(queries)), torch.from_numpy(np.concatenate(objects))))
    return matches


def _cost(scores: Tensor, boxes: Tensor, target: dict[str, Tensor]) -> Tensor:
    """Returns the cost ``[Q, n]`` of each pair of a query and an object: focal, distance and generalised IoU."""
    p = scores[:, target["class_labels"]].clamp(1e-6, 1 - 1e-6)
    positive = -_FOCAL_ALPHA * (1 - p) ** _FOCAL_GAMMA * p.log()
    negative = -(1 - _FOCAL_ALPHA) * p**_FOCAL_GAMMA * (1 - p).log()
    distance = torch.cdist(boxes, target["boxes"], p=1)
    return _CLASS_COST * (positive - negative) + _BOX_COST * distance - _GIOU_COST * _giou(boxes, target["boxes"])


def _giou(a: Tensor, b: Tensor) -> Tensor:
    """Computes the generalised IoU (Rezatofighi et al., 2019) of all pairs of boxes ``[n, 4]`` and ``[m, 4]``."""
    (low_a, high_a), (low_b, high_b) = ((box[:, :2] - box[:, 2:] / 2, box[:, :2] + box[:, 2:] / 2) for box in (a, b))
    overlap = (torch.minimum(high_a[:, None], high_b) - torch.maximum(low_a[:, None], low_b)).clamp(min=0).prod(-1)
    hull = (torch.maximum(high_a[:, None], high_b) - torch.minimum(low_a[:, None], low_b)).prod(-1)
    union = a[:, None, 2:].prod(-1) + b[:, 2:].prod(-1) - overlap
    return overlap / union - (hull - union) / hull


def matched_masks(model: RfDetrForInstanceSegmentation, features: Tensor, queries: Tensor, matches: Matches) -> list[Tensor]:
    """Computes the masks of matched queries alone, one list entry a decoder layer.

    Args:
        model: whose head to compute; the same arithmetic as its ``segmentation_head``.
        features: ``[B, C, h, w]`` of the backbone.
        queries: ``[L, B, Q, C]``, the decoder layers' outputs.
        matches: of the B images.

    Returns:
        Logits ``[M, H, W]`` for the M matched queries of all images, in their order.
    """
    side = model.config.backbone_config.image_size // model.downsample_ratio
    cells = F.interpolate(features, size=(side, side), mode="bilinear", align_corners=False)
    masks = []
    for block, layer in zip(model.blocks, queries, strict=True):
        cells = block(cells)
        # Split once: the gradient of a slice would be a whole map of zeros for each picture.
        pictures = zip(layer.unbind(), model.spatial_features_proj(cells).split(1), matches, strict=True)
        masks.append(torch.cat([model.get_mask_logits(query[which][None], one)[0] for query, one, (which, _) in pictures]))
    return masks


def mask_loss(masks: Tensor, objects: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Computes the cross-entropy and the dice loss (Milletari et al., 2016) of masks at points.

    Args:
        masks: logits ``[M, H, W]``.
        objects: bool ``[M, S, S]``, what they should be.
        generator: of the points.
    """
    points = _uncertain_points(masks.detach(), generator)
    found = _at(masks, points, "bilinear")
    wanted = _at(objects.float(), points, "nearest")
    entropy = F.binary_cross_entropy_with_logits(found, wanted)
    p = found.sigmoid()
    dice = 1 - (2 * (p * wanted).sum(-1) + 1) / (p.sum(-1) + wanted.sum(-1) + 1)
    return entropy, dice.mean()


def _uncertain_points(masks: Tensor, generator: torch.Generator) -> Tensor:
    """Draws points ``[M, P, 2]`` in [0, 1]: most where a mask's logit is nearest to 0, the rest anywhere."""
    candidates = torch.rand(len(masks), _CANDIDATES * _POINTS, 2, generator=generator)
    count = int(_UNCERTAIN * _POINTS)
    nearest = _at(masks, candidates, "bilinear").abs().topk(count, dim=1, largest=False).indices
    uncertain = candidates.gather(1, nearest[..., None].expand(-1, -1, 2))
    return torch.cat([uncertain, torch.rand(len(masks), _POINTS - count, 2, generator=generator)], 1)


def _at(maps: Tensor, points: Tensor, mode: str) -> Tensor:
    """Samples maps ``[M, H, W]`` at points ``[M, P, 2]`` (x, y in [0, 1]), as resizing with half-pixel centres does."""
    grid = 2 * points[:, None] - 1
    return F.grid_sample(maps[:, None], grid, mode=mode, padding_mode="border", align_corners=False)[:, 0, 0]
