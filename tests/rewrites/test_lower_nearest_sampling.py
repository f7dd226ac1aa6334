"""Discrete deformable attention: points rounded to cells."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from passes import RightOnDelegate, assert_same, count, evaluate, rewritten, run_pass, traced
from torch import Tensor, fx

from detr2litert.graphs.toolbox import aten
from detr2litert.rewrites.evaluate_constants import evaluate_constants
from detr2litert.rewrites.fold_sampling import fold_sampling
from detr2litert.rewrites.lower_nearest_sampling import lower_nearest_sampling
from detr2litert.rewrites.lower_sampling import lower_sampling
from detr2litert.rewrites.merge_scalars import merge_scalars
from detr2litert.rewrites.profile import Profile
from detr2litert.rewrites.remove_identities import remove_identities

GENERATOR = torch.Generator().manual_seed(0)
WEIGHTS = torch.rand(2, 1, 5, 3, generator=GENERATOR).softmax(-1)
# From -0.2 to 1.2: inside, across the border, and outside of the image.
POINTS = torch.rand(2, 5, 3, 2, generator=GENERATOR) * 1.4 - 0.2
SIZES = ((6, 8), (1, 1), (7, 5), (49, 3), (3, 80))


def image_of(height: int, width: int) -> Tensor:
    return torch.randn(2, 4, height, width, generator=torch.Generator().manual_seed(1))


def cells_of(points: Tensor, height: int, width: int, low: int = 0) -> Tensor:
    cells = (points * torch.tensor([[width, height]]) + 0.5).to(torch.int64)
    return torch.stack([cells[..., 0].clamp(low, width - 1), cells[..., 1].clamp(low, height - 1)], -1)


def nearest(image: Tensor, points: Tensor, low: int = 0, step: int = 1) -> Tensor:
    """As in transformers' modeling_rt_detr_v2.py, ``multi_scale_deformable_attention_v2(method="discrete")``."""
    batch, channels, height, width = image.shape
    _, queries, count, _ = points.shape
    cells = cells_of(points, height, width, low).reshape(batch, queries * count, 2)
    number = (torch.arange(batch) * step % batch).unsqueeze(-1).repeat(1, queries * count)
    sampled = image[number, :, cells[..., 1], cells[..., 0]]
    return sampled.transpose(1, 2).reshape(batch, channels, queries, count)


def ready(function: Callable[..., Tensor], *inputs: Tensor) -> fx.GraphModule:
    """The function's graph as it is after the cut: its constants are evaluated."""
    graph_module = traced(function, *inputs)
    run_pass(remove_identities, graph_module)
    run_pass(evaluate_constants, graph_module)
    return graph_module


def attention(image: Tensor, points: Tensor, weights: Tensor) -> Tensor:
    return (nearest(image, points) * weights).sum(-1)


@pytest.mark.parametrize(("height", "width"), SIZES)
def test_fires(height: int, width: int) -> None:
    inputs = image_of(height, width), POINTS
    graph_module = rewritten(lower_nearest_sampling, ready(nearest, *inputs), *inputs, tolerance=1e-5)
    assert count(graph_module, aten.index.Tensor) == 0 and count(graph_module, aten.grid_sampler.default) == 1


@pytest.mark.parametrize("other", [lambda v, p: nearest(v, p).sum(1), lambda v, p: nearest(v, p).flatten(2).transpose(1, 2)])
def test_fires_whatever_reads_the_samples(other: Callable[..., Tensor]) -> None:
    inputs = image_of(6, 8), POINTS
    rewritten(lower_nearest_sampling, ready(other, *inputs), *inputs, tolerance=1e-5)


def test_fires_on_samples_that_are_not_turned() -> None:
    def flat(image: Tensor, points: Tensor) -> Tensor:
        cells = cells_of(points, 6, 8).reshape(2, 15, 2)
        return image[torch.arange(2)[:, None], :, cells[..., 1], cells[..., 0]] * 2

    inputs = image_of(6, 8), POINTS
    rewritten(lower_nearest_sampling, ready(flat, *inputs), *inputs, tolerance=1e-5)


@pytest.mark.parametrize(
    "other",
    [
        lambda v, p: nearest(v, p, low=1),
        lambda v, p: nearest(v, p, step=0),
        lambda v, p: v[:, :, (p[0, 0, :, 0] * 6).long().clamp(0, 5), (p[0, 0, :, 1] * 6).long().clamp(0, 5)],
        lambda v, p: v[torch.arange(2)[:, None], :, (p[..., 0].flatten(1) * 5).round().long().clamp(0, 5), torch.tensor([[3]])],
    ],
)
def test_does_not_fire(other: Callable[..., Tensor]) -> None:
    inputs = image_of(6, 8), POINTS
    rewritten(lower_nearest_sampling, ready(other, *inputs), *inputs, fires=0)


@pytest.mark.parametrize(("height", "width"), SIZES)
def test_the_folded_form_reads_exactly_one_cell(height: int, width: int) -> None:
    """Every cell's value is another integer, so a weight that is not exactly one or zero would show, in fp16 as well."""
    image = torch.arange(1.0, height * width + 1).view(1, 1, height, width).expand(2, 1, height, width).contiguous()
    ones, profile = torch.ones(2, 1, 15, 1), Profile()
    points = POINTS.reshape(2, 15, 1, 2)
    graph_module = ready(attention, image, points, ones)
    for rewrite in (lower_nearest_sampling, fold_sampling, merge_scalars):
        run_pass(rewrite, graph_module, profile)
    assert count(graph_module, aten.index.Tensor, aten.grid_sampler.default, aten.stack.default) == 0
    assert_same(evaluate(graph_module, image, points, ones), evaluate(attention, image, points, ones))
    if height * width <= 2048:
        with torch.no_grad():
            found = graph_module.half()(image.half(), points.half(), ones.half())
        cells = cells_of(points, height, width)
        # The exact point lies within fp16's rounding of a border where the cell is another one: one of its neighbours.
        found = torch.as_tensor(found[0] if isinstance(found, tuple) else found).float().flatten() - 1
        assert (found == found.round()).all()
        rows, columns = found // width, found % width
        assert (rows - cells[..., 1].flatten()).abs().max() <= 1 and (columns - cells[..., 0].flatten()).abs().max() <= 1
        same = (rows == cells[..., 1].flatten()) & (columns == cells[..., 0].flatten())
        assert same.float().mean() > 0.9


def test_cells_of_every_column_are_exact_in_fp16() -> None:
    """A row of 80: the points in the middle of the cells, of their whole width but a sixteenth, read these cells."""
    image = torch.arange(80.0).view(1, 1, 1, 80)
    inside = torch.linspace(-0.46, 0.46, 9)
    points = ((torch.arange(80.0)[:, None] + inside) / 80).view(1, 720, 1, 1)
    points = torch.cat([points, torch.zeros_like(points)], -1)
    ones = torch.ones(1, 1, 720, 1)

    def around_centre(image: Tensor, points: Tensor, weights: Tensor) -> Tensor:
        return attention(image, points + 0.5, weights)

    graph_module = ready(around_centre, image, points - 0.5, ones)
    for rewrite in (lower_nearest_sampling, fold_sampling, merge_scalars):
        run_pass(rewrite, graph_module)
    with torch.no_grad():
        found = graph_module.half()(image.half(), (points - 0.5).half(), ones.half())
    expected = torch.arange(80.0).repeat_interleave(9)
    assert torch.equal(torch.as_tensor(found[0] if isinstance(found, tuple) else found).float().flatten(), expected)


@pytest.mark.gpu
@pytest.mark.parametrize("last", [fold_sampling, lower_sampling])
def test_delegate(right_on_delegate: RightOnDelegate, last: object) -> None:
    passes = [remove_identities, evaluate_constants, lower_nearest_sampling, last, merge_scalars]
    right_on_delegate(passes, attention, image_of(6, 8), POINTS, WEIGHTS)  # type: ignore[arg-type]
