"""Computes the keypoints of detections, and their share in the scores, in PyTorch; see ``convert.proof.reference_path``.

Source: rfdetr 1.11.2, rfdetr/models/postprocess.py (``_postprocess_keypoints``) and rfdetr/utilities/keypoints.py, whose places
hold a class with the most keypoints each; here they follow each other, as the detector gives them.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from detr2litert.host_runtime.keypoints import Keypoint

_LEAST = 1e-12


def of_class(keypoints: Tensor, counts: Sequence[int], column: int) -> Tensor | None:
    """Returns the keypoints ``[K_c, 7]`` of a class among a query's ``[K, 7]``; None for a class without a count."""
    return keypoints[sum(counts[:column]) : sum(counts[: column + 1])] if column < len(counts) else None


def score_with(score: Tensor, keypoints: Tensor | None, weight: float) -> Tensor:
    """Returns a detection's score, given those of its keypoints ``[K_c, 7]``: σ(log score - weight · log of the mean trace)."""
    if keypoints is None or weight == 0:
        return score
    trace = torch.zeros(())
    if len(keypoints):
        _, _, findable, _, log11, l21, log22 = keypoints.unbind(-1)
        terms = torch.stack([-2 * log11, -2 * log22, 2 * l21.abs().clamp(min=_LEAST).log() - 2 * log11 - 2 * log22])
        share = findable.sigmoid().clamp(min=_LEAST).log()
        trace = torch.logsumexp(terms.logsumexp(0) + share, 0) - share.logsumexp(0)
    return (score.log() - weight * trace).sigmoid().clamp(max=torch.nextafter(torch.ones(()), torch.zeros(())))


def in_pixels(keypoints: Tensor, scale: Tensor, offset: Tensor) -> tuple[Keypoint, ...]:
    """Converts keypoints ``[K_c, 7]`` to a picture's pixels: x, y times ``scale`` plus ``offset``, both ``[2]``."""
    found = []
    for x, y, findable, _, log11, l21, log22 in keypoints.double():
        factor = torch.stack([torch.stack([log11.exp(), torch.zeros_like(l21)]), torch.stack([l21, log22.exp()])])
        stretch = torch.diag(scale.double())
        covariance = stretch @ torch.linalg.inv(factor @ factor.T) @ stretch
        place = (torch.stack([x, y]) * scale + offset).tolist()
        entries = (float(covariance[0, 0]), float(covariance[0, 1]), float(covariance[1, 1]))
        found.append(Keypoint(place[0], place[1], float(findable.sigmoid()), entries))
    return tuple(found)
