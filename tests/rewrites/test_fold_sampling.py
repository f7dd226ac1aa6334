"""Deformable attention with its weights folded into the tent."""

from __future__ import annotations

import pytest
import torch
from passes import RightOnDelegate, count, rewritten
from torch import Tensor
from torch.nn import functional as F

from detr2litert.graphs.toolbox import aten
from detr2litert.rewrites.fold_sampling import fold_sampling
from detr2litert.rewrites.profile import Sampling

GENERATOR = torch.Generator().manual_seed(0)
LARGE = torch.randn(2, 4, 6, 8, generator=GENERATOR)
SMALL = torch.randn(2, 4, 3, 4, generator=GENERATOR)
# Between -1.4 and 1.4: inside, across the edge, and outside of the image.
GRID = torch.rand(2, 5, 6, 2, generator=GENERATOR) * 2.8 - 1.4
WEIGHTS = torch.rand(2, 1, 5, 6, generator=GENERATOR).softmax(-1)


def one_level(image: Tensor, grid: Tensor, weights: Tensor) -> Tensor:
    return (F.grid_sample(image, grid, align_corners=False) * weights).sum(-1)


def stacked(large: Tensor, small: Tensor, grid: Tensor, weights: Tensor) -> Tensor:
    levels = [F.grid_sample(v, grid[:, :, 3 * i : 3 * i + 3], align_corners=False) for i, v in enumerate((large, small))]
    return (torch.stack(levels, -2).flatten(-2) * weights).sum(-1)


def joined(large: Tensor, small: Tensor, grid: Tensor, weights: Tensor) -> Tensor:
    parts = ((large, grid[:, :, :4]), (small, grid[:, :, 4:]))
    return (weights * torch.cat([F.grid_sample(v, g, align_corners=True) for v, g in parts], -1)).sum(-1)


def test_one_level() -> None:
    graph_module = rewritten(fold_sampling, one_level, LARGE, GRID, WEIGHTS, tolerance=1e-5)
    assert count(graph_module, aten.grid_sampler.default) == 0 and count(graph_module, aten.matmul.default) == 2


@pytest.mark.parametrize("levels", [stacked, joined])
def test_several_levels(levels: object) -> None:
    graph_module = rewritten(fold_sampling, levels, LARGE, SMALL, GRID, WEIGHTS, tolerance=1e-5)  # type: ignore[arg-type]
    assert count(graph_module, aten.grid_sampler.default) == 0 and count(graph_module, aten.matmul.default) == 4


@pytest.mark.parametrize(("limit", "strips"), [(24, 1), (23, 2), (12, 2), (8, 3), (4, 6), (1, 6)])
def test_an_image_beyond_the_texture_limit_is_split_into_strips(limit: int, strips: int) -> None:
    """2 images of 6 rows of 8 pixels: 2 * 48 / 4 = 24, and a row alone is 4. One query of one point needs no groups."""
    inputs = LARGE, GRID[:, :1, :1].contiguous(), WEIGHTS[:, :, :1, :1].contiguous()
    graph_module = rewritten(fold_sampling, one_level, *inputs, tolerance=1e-5, matmul_limit=limit)
    assert count(graph_module, aten.matmul.default) == 2 * strips


@pytest.mark.parametrize(("limit", "products"), [(20, 1), (19, 2), (8, 3), (2, 5)])
def test_queries_beyond_the_limit_are_split_into_groups(limit: int, products: int) -> None:
    """2 images, 5 queries of 6 points: 2 * 5 * ceil(6 / 4) = 20; an image of one row is one strip."""
    image = LARGE[:, :, :1, :4].contiguous()
    graph_module = rewritten(fold_sampling, one_level, image, GRID, WEIGHTS, tolerance=1e-5, matmul_limit=limit)
    assert count(graph_module, aten.matmul.default) == products + 1


def test_does_not_fire_on_a_plain_weighted_sum() -> None:
    rewritten(fold_sampling, lambda x: (x * torch.arange(8.0)).sum(-1), LARGE, fires=0)


def test_pixel_centres_and_borders_are_exact() -> None:
    centres = (torch.arange(8) * 2 + 1) / 8 - 1
    grid = torch.stack(torch.meshgrid(centres, torch.tensor([-1.0, -5 / 6, 5 / 6, 1.0]), indexing="xy"), -1).reshape(1, 4, 8, 2)
    grid = torch.cat([grid, grid * 1e3]).reshape(2, 4, 8, 2)
    rewritten(fold_sampling, one_level, LARGE, grid, torch.ones(2, 1, 4, 8), tolerance=1e-6)


@pytest.mark.parametrize(
    "unfoldable",
    [
        lambda v, g, w: (F.grid_sample(v, g, align_corners=False) * w).sum(-1, keepdim=True),
        lambda v, g, w: (F.grid_sample(v, g, align_corners=False) * w).sum(-2),
        lambda v, g, w: (F.grid_sample(v, g, align_corners=False) * w.expand(2, 4, 5, 6)).sum(-1),
        lambda v, g, w: (F.grid_sample(v, g, align_corners=False) * w[:, :, :1]).sum(-1),
        lambda v, g, w: (F.grid_sample(v, g, align_corners=False) * w[..., :1]).sum(-1),
        lambda v, g, w: (lambda s: (s * w).sum(-1) + s[..., 0])(F.grid_sample(v, g, align_corners=False)),
        lambda v, g, w: (lambda p: p.sum(-1) + p[..., 0])(F.grid_sample(v, g, align_corners=False) * w),
        lambda v, g, w: (v * w[:, :, :1, :1]).sum(-1),
    ],
)
def test_does_not_fire(unfoldable: object) -> None:
    rewritten(fold_sampling, unfoldable, LARGE, GRID, WEIGHTS, fires=0)  # type: ignore[arg-type]


def test_does_not_fire_for_the_unfolded_profile() -> None:
    rewritten(fold_sampling, one_level, LARGE, GRID, WEIGHTS, fires=0, sampling=Sampling.TENT)


@pytest.mark.gpu
def test_delegate(right_on_delegate: RightOnDelegate) -> None:
    right_on_delegate([fold_sampling], stacked, LARGE, SMALL, GRID, WEIGHTS)


@pytest.mark.gpu
def test_delegate_in_strips(right_on_delegate: RightOnDelegate) -> None:
    """Eight images of 4160 pixels would need a texture of 8320; the strips are separate in the converted graph."""
    image = torch.randn(8, 4, 65, 64, generator=GENERATOR)
    grid, weights = GRID[:1].expand(8, -1, -1, -1).contiguous(), WEIGHTS[:1].expand(8, -1, -1, -1).contiguous()
    right_on_delegate([fold_sampling], one_level, image, grid, weights)
