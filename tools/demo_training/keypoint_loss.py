"""The loss of a detector's keypoints: how far each is from the object's, how sure it is of that, and whether it can be seen.

As rfdetr's original training (rfdetr 1.11.2, rfdetr/models/heads/keypoints.py): the distance and the Gaussian's negative
log-likelihood are relative to the object's size, the root of its box's area.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from tools.demo_training.pool import Targets

Matches = Sequence[tuple[Tensor, Tensor]]


def keypoint_losses(found: Tensor, targets: Targets, matches: Matches, counts: Sequence[int]) -> dict[str, Tensor]:
    """Computes the mean losses over the keypoints of matched objects.

    Args:
        found: ``[B, Q, K, 7]``, see ``KeypointOutput``.
        targets: of the B images.
        matches: queries and the objects that they are matched with, of each image.
        counts: keypoints of each class; their sum is K.

    Returns:
        ``distance`` (L1), ``likelihood`` (negative log), ``findable`` and ``visible`` (cross-entropies).
    """
    values, wanted = _pairs(found, targets, matches, counts)
    if not len(values):
        zero = found.sum() * 0
        return dict.fromkeys(("distance", "likelihood", "findable", "visible"), zero)
    places, visibility, size = wanted[:, :2], wanted[:, 2], wanted[:, 3]
    labelled = visibility > 0
    error = (values[:, :2] - places)[labelled] / size[labelled, None]
    log11, l21, log22 = values[labelled, 4:].unbind(-1)
    # |L^T e|^2 of the precision L L^T.
    along = log11.exp() * error[:, 0] + l21 * error[:, 1]
    across = log22.exp() * error[:, 1]
    return {
        "distance": error.abs().sum(-1).mean(),
        "likelihood": (0.5 * (along**2 + across**2) - log11 - log22).mean(),
        "findable": F.binary_cross_entropy_with_logits(values[:, 2], labelled.float()),
        "visible": F.binary_cross_entropy_with_logits(values[:, 3], (visibility == 2).float()),
    }


def _pairs(found: Tensor, targets: Targets, matches: Matches, counts: Sequence[int]) -> tuple[Tensor, Tensor]:
    """Returns ``[M, 7]``, found, and ``[M, 4]``, wanted (x, y, visibility, size), of every keypoint of a matched object."""
    first = [sum(counts[:label]) for label in range(len(counts))]
    values, wanted = [found.new_zeros(0, 7)], [found.new_zeros(0, 4)]
    for of_image, target, (queries, objects) in zip(found, targets, matches, strict=True):
        for query, thing in zip(queries.tolist(), objects.tolist(), strict=True):
            label = int(target["class_labels"][thing])
            count = counts[label]
            size = target["boxes"][thing, 2:].prod().sqrt().expand(count, 1)
            values.append(of_image[query, first[label] : first[label] + count])
            wanted.append(torch.cat([target["keypoints"][thing, :count], size], 1))
    return torch.cat(values), torch.cat(wanted)
