"""Feature levels sampled as one map."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
import torch
from passes import RightOnDelegate, count, ops, rewritten
from torch import Tensor, nn

from detr2litert.graphs.native_ops import RESAMPLE
from detr2litert.rewrites.join_levels import arrange, join_levels

LEVELS = ((9, 9), (4, 5), (2, 3))
POINTS = (2, 3, 1)
HEADS, WIDTH, QUERIES = 2, 8, 5
TOKENS = sum(height * width for height, width in LEVELS)
CONSTANTS = {(h, w): (torch.tensor([w / 2, h / 2]), torch.tensor([w / 2, h / 2]) - 0.5) for h, w in LEVELS}
SIZES = ((80, 80), (40, 40), (20, 20))

MEMORY = torch.randn(1, TOKENS, WIDTH, generator=torch.Generator().manual_seed(0))
# From far outside of the map to far outside of it, edges and corners among them.
GRIDS = torch.rand(HEADS, QUERIES, sum(POINTS), 2, generator=torch.Generator().manual_seed(1)) * 3 - 1.5
GRIDS[0, 0] = torch.tensor([[-1.0, -1.0], [1.0, 1.0], [-1.0, 1.0], [0.0, -1.0], [1.0, 0.0], [-1.2, 0.3]])


def sampled(tokens: Tensor, grids: Tensor, split: bool = True) -> Tensor:
    """The levels of a memory, sampled at points in [-1, 1] as in a decoder layer."""
    maps = tokens.view(1, TOKENS, HEADS, WIDTH // HEADS).permute(0, 2, 3, 1).flatten(0, 1)
    rows = maps.split([height * width for height, width in LEVELS], dim=-1)
    places = grids.split(POINTS, dim=-2) if split else [grids[:, :, 0:2], grids[:, :, 1:4], grids[:, :, 5:6]]
    found = []
    for (height, width), level, place in zip(LEVELS, rows, places, strict=True):
        image = level.reshape(HEADS, -1, height, width).permute(0, 2, 3, 1)
        scale, shift = (width / 2, (width - 1) / 2) if height == width else CONSTANTS[height, width]
        pixels = place * scale + shift
        found.append(torch.ops.detr2litert.resample(image, pixels).permute(0, 3, 1, 2))
    return torch.cat(found, dim=-1)


class Layers(nn.Module):
    """Decoder layers that sample one memory, each through a linear layer of its own, or as it is."""

    def __init__(self, layers: int, own: bool = True) -> None:
        super().__init__()
        torch.manual_seed(2)
        self.values = nn.ModuleList(nn.Linear(WIDTH, WIDTH) if own else nn.Identity() for _ in range(layers))

    def forward(self, memory: Tensor, grids: Tensor) -> Tensor:
        first, *others = [sampled(value(memory), grids / (1 + i)) for i, value in enumerate(self.values)]
        return sum(others, first)


@pytest.mark.parametrize("own", [False, True])
def test_levels_are_sampled_as_one_map_that_is_made_once(own: bool) -> None:
    joined = rewritten(join_levels, Layers(2, own), MEMORY, GRIDS, fires=2, tolerance=1e-5)
    assert count(joined, RESAMPLE) == 2
    # The map is made once: the two smaller levels beside each other, the largest below.
    assert (ops(joined).count("constant_pad_nd"), ops(joined).count("cat")) == (2, 2)
    assert ops(joined).count("linear") == 2 * own
    assert ops(joined).count("maximum") == 2


def test_what_is_outside_of_a_level_is_zero_though_another_level_is_there() -> None:
    # Ones everywhere: a pixel of a neighbour would be added to what is sampled near an edge.
    ones = torch.ones_like(MEMORY)
    edges = torch.linspace(-1.6, 1.6, QUERIES * HEADS * 6 * 2).view_as(GRIDS)
    rewritten(join_levels, Layers(2, own=False), ones, edges, fires=2, tolerance=1e-5)


def test_does_not_fire_on_a_memory_that_is_sampled_once() -> None:
    rewritten(join_levels, Layers(1), MEMORY, GRIDS, fires=0)


@pytest.mark.parametrize("sizes", [LEVELS, SIZES, SIZES[::-1], ((3, 9), (9, 3), (3, 9))])
def test_no_two_levels_touch(sizes: Sequence[tuple[int, int]]) -> None:
    layout = arrange(sizes)
    taken = torch.zeros(layout.height, layout.width)
    for (height, width), (top, left) in zip(sizes, layout.places, strict=True):
        assert top + height <= layout.height and left + width <= layout.width
        around = taken[max(top - 1, 0) : top + height + 1, max(left - 1, 0) : left + width + 1]
        assert around.sum() == 0
        taken[top : top + height, left : left + width] = 1


def test_the_place_of_the_published_levels() -> None:
    assert arrange(SIZES).places == ((41, 0), (0, 21), (0, 0))


def test_does_not_fire_on_points_that_are_no_slices_in_order() -> None:
    def twice(memory: Tensor, grids: Tensor) -> Tensor:
        return sampled(memory, grids, split=False) + sampled(memory, grids / 2, split=False)

    rewritten(join_levels, twice, MEMORY, GRIDS, fires=0)


def test_does_not_fire_on_maps_of_several_tensors_nor_on_other_arrangements() -> None:
    def once(first: Tensor, second: Tensor, points: Tensor) -> Tensor:
        found = [torch.ops.detr2litert.resample(x, p) for x, p in zip((first, second), points.split(2, dim=2), strict=True)]
        return torch.cat([x.permute(0, 3, 1, 2) for x in found], dim=-1)

    def separate(first: Tensor, second: Tensor, points: Tensor) -> Tensor:
        return once(first, second, points) + once(first, second, points / 2)

    def turned(memory: Tensor, points: Tensor) -> Tensor:
        # Columns first: the pixels do not follow each other as the tokens do.
        maps = [memory[:, :16].view(1, 4, 4, 8).transpose(1, 2), memory[:, 16:20].view(1, 2, 2, 8)]
        return separate(maps[0], maps[1], points)

    points = torch.rand(1, 3, 4, 2) * 4
    rewritten(join_levels, separate, torch.rand(1, 4, 4, 8), torch.rand(1, 2, 2, 8), points, fires=0)
    rewritten(join_levels, turned, MEMORY, points, fires=0)


@pytest.mark.gpu
def test_delegate(right_on_delegate: RightOnDelegate) -> None:
    right_on_delegate([join_levels], Layers(2), MEMORY, GRIDS)
