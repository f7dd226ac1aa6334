"""The cut is where the fewest bytes cross: what depends on the image alone is computed on the cheaper side."""

from __future__ import annotations

import math

import pytest
import torch
from detectors import CHANNELS, SELECTED, TwoStage, assert_equal_to_the_whole, cut, image
from torch import Tensor, nn

from detr2litert.graphs.partition import Layout
from detr2litert.graphs.toolbox import calls, sizes, value_of

CUT = [layout for layout in Layout if layout is not Layout.SINGLE]


class WithMaps(TwoStage):
    """A detector whose decoder reads other maps of the picture than the selection does."""

    def __init__(self, maps: int, width: int) -> None:
        super().__init__()
        self.maps = nn.ModuleList(nn.Conv2d(3, CHANNELS, 4, stride=4) for _ in range(maps))
        self.project = nn.Conv2d(maps * CHANNELS, width, 1)
        self.ask = nn.Linear(4, width)

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        boxes, logits = super().forward(image)
        tokens = self.project(torch.cat([layer(image).relu() for layer in self.maps], 1)).flatten(2).transpose(1, 2)
        return boxes + (self.ask(boxes) @ tokens.transpose(1, 2)).softmax(-1).amax(-1, keepdim=True), logits


class OneProjectionALayer(TwoStage):
    """A decoder of three layers, each with a projection of the memory of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.values = nn.ModuleList(nn.Linear(CHANNELS, CHANNELS) for _ in range(3))

    def decode(self, memory: Tensor, target: Tensor, reference: Tensor) -> tuple[Tensor, Tensor]:
        boxes, logits = super().decode(memory, target, reference)
        for layer in self.values:
            logits = logits + (target @ layer(memory).transpose(1, 2)).softmax(-1).amax(-1, keepdim=True)
        return boxes, logits


def crossing(detector: nn.Module, layout: Layout) -> list[list[int]]:
    parts = cut(detector, image(), layout)
    assert_equal_to_the_whole(parts, detector, image(), 1e-6)
    return [sizes(value_of(node).shape) for node in parts.a.graph_module.graph.find_nodes(op="output")[0].args[0][1:]]


@pytest.mark.parametrize("layout", CUT)
def test_a_projection_of_several_maps_is_before_the_cut(layout: Layout) -> None:
    """One narrow map crosses, and not the two that it is made of."""
    shapes = crossing(WithMaps(2, 4), layout)
    counts = [math.prod(shape) for shape in shapes]
    assert counts.count(24 * 4) >= 1
    # As many maps of eight channels as without the others: the memory, and what the selection gathers from.
    assert counts.count(24 * CHANNELS) == [math.prod(shape) for shape in crossing(TwoStage(), layout)].count(24 * CHANNELS)


def test_a_projection_that_widens_a_map_is_after_the_cut() -> None:
    parts = cut(WithMaps(1, 64), image(), Layout.INDICES)
    assert all(
        value_of(node).numel() <= 24 * CHANNELS for node in parts.a.graph_module.graph.find_nodes(op="output")[0].args[0]
    )
    assert len(calls(parts.b.graph_module, torch.ops.aten.conv2d.default, torch.ops.aten.convolution.default)) == 1


@pytest.mark.parametrize("layout", CUT)
def test_projections_of_what_crosses_anyway_stay_after_the_cut(layout: Layout) -> None:
    shapes = crossing(OneProjectionALayer(), layout)
    assert shapes.count([1, 24, CHANNELS]) <= (1 if layout is Layout.INDICES else 2)
    assert SELECTED < 24
