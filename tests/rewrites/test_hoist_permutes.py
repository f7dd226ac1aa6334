"""Slices of one tensor that are permuted alike."""

from __future__ import annotations

import pytest
import torch
from passes import RightOnDelegate, count, rewritten
from torch import Tensor

from detr2litert.graphs.toolbox import aten
from detr2litert.rewrites.hoist_permutes import hoist_permutes

POINTS = torch.randn(5, 8, 12, 2, generator=torch.Generator().manual_seed(0))
ORDER = (1, 0, 2, 3)


def levels(x: Tensor) -> tuple[Tensor, ...]:
    """Each part scaled and shifted, as the pixels of a feature level are."""
    parts = (x[:, :, :3] * 40 + 39.5, x[:, :, 3:9] * 20 + 19.5, x[:, :, 9:])
    return tuple(part.permute(ORDER) for part in parts)


def test_fires() -> None:
    found = rewritten(hoist_permutes, levels, POINTS, fires=3)
    assert count(found, aten.permute.default) == 1


@pytest.mark.parametrize(
    "function",
    [
        lambda x: (x[:, :, :3].permute(ORDER), x[:, :, 3:].permute(0, 2, 1, 3)),
        lambda x: x[:, :, :3].permute(ORDER),
        lambda x: ((part := x[:, :, :3]).permute(ORDER), (other := x[:, :, 3:]).permute(ORDER), part.exp(), other.exp()),
    ],
    ids=["other permutes", "one slice", "slices that are read as well"],
)
def test_does_not_fire(function: object) -> None:
    rewritten(hoist_permutes, function, POINTS, fires=0)  # type: ignore[arg-type]


@pytest.mark.gpu
def test_delegate(right_on_delegate: RightOnDelegate) -> None:
    right_on_delegate([hoist_permutes], lambda x: levels(x * 2), POINTS)
