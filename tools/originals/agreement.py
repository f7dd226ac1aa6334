"""Compares what two runs of an original project found, and chooses a threshold that both agree about."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

SMALLEST_GAP = 2e-3
ROBUST = 3e-3
"""The largest difference of detections that do not depend on the last bits of the weights."""


@torch.no_grad()
def perturb(model: torch.nn.Module) -> None:
    """Changes the last two bits or so of a model's weights."""
    torch.manual_seed(0)
    for value in model.parameters():
        if value.is_floating_point():
            value.mul_(1 + 2e-7 * torch.randn_like(value))


def above(found: dict[str, list[Any]], threshold: float) -> dict[str, list[Any]]:
    return {name: [one for one in rows if one[1] > threshold] for name, rows in found.items()}


def threshold_of(found: dict[str, list[Any]], *, all_selected: bool = False) -> float | None:
    """Chooses a threshold with at least ten detections in each picture and no score near it, or below all with all selected."""
    scores = {name: np.array([one[1] for one in rows]) for name, rows in found.items()}
    if all_selected:
        lowest = min(one.min() for one in scores.values())
        return round(float(lowest) - 2 * SMALLEST_GAP, 4) if lowest > 2 * SMALLEST_GAP else None
    for threshold in np.arange(0.95, 0.02, -0.0005):
        if sum((one > threshold).sum() for one in scores.values()) > 160:
            return None
        if all(
            (one > threshold).sum() >= 10 and np.abs(one - threshold).min() > 1.05 * SMALLEST_GAP for one in scores.values()
        ):
            return round(float(threshold), 4)
    return None


def difference(first: dict[str, list[Any]], second: dict[str, list[Any]]) -> float:
    """Returns the largest difference between the two as sets: of score × 10, or of 1 - IoU of boxes or masks, or of keypoints.

    Keypoints' is in parts of the box's diagonal.

    It is 1 for one without a partner.
    """
    worst = 0.0
    for name, rows in first.items():
        others = list(second[name])
        if len(rows) != len(others):
            return 1.0
        for column, score, box, _, mask, keypoints in rows:
            costs = [
                max(
                    10 * abs(score - other[1]),
                    1 - _iou(box, other[2]),
                    1 - _mask_iou(mask, other[4]),
                    _apart(keypoints, other[5], box),
                )
                if other[0] == column
                else 1.0
                for other in others
            ]
            best = int(np.argmin(costs))
            worst = max(worst, min(1.0, costs[best]))
            others.pop(best)
    return worst


def _iou(a: list[float], b: list[float]) -> float:
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    inter = max(width, 0.0) * max(height, 0.0)
    union = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - inter
    return inter / union if union > 0 else 0.0


def _mask_iou(a: Any, b: Any) -> float:
    if a is None or b is None:
        return 1.0
    union = int((a | b).sum())
    return int((a & b).sum()) / union if union else 1.0


def _apart(a: Any, b: Any, box: list[float]) -> float:
    if a is None or b is None:
        return 0.0
    return float(np.abs(np.subtract(a, b)[:, :2]).max() / np.hypot(box[2] - box[0], box[3] - box[1]))
