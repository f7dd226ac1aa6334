"""The ranges that the analysis records on the nodes of a graph."""

from __future__ import annotations

import math

import pytest
import torch
from passes import traced
from torch import Tensor, nn

from detr2litert.rewrites.ranges import PartialSum, ValueRange, measure, measured, range_of


class Head(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(8, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.linear(x).relu() * 1000


def test_every_value_is_recorded_with_its_module_and_outputs_are_unchanged() -> None:
    x = torch.randn(1, 3, 8, generator=torch.Generator().manual_seed(0))
    graph_module = traced(Head(), x)
    (output,) = measure(graph_module, [x])
    torch.testing.assert_close(output, graph_module(x)[0])
    linear, relu, product = measured(graph_module)
    assert (linear.op, linear.module) == ("aten.linear.default", "linear")
    assert linear.values.sums is not None and relu.values.sums is None
    assert product.values.largest == pytest.approx(float(output.abs().max()))
    assert product.values.headroom == pytest.approx(math.log2(65504 / float(output.abs().max())))


def test_images_widen_the_ranges() -> None:
    x = torch.ones(1, 8)
    graph_module = traced(lambda x: x.sum(-1), x)
    for factor in (1.0, 3.0, 2.0):
        measure(graph_module, [x * factor])
    (found,) = measured(graph_module)
    assert found.values == ValueRange(24.0, PartialSum(24.0, 24.0))


def test_an_image_with_a_larger_bound_does_not_hide_a_larger_sum() -> None:
    """The first one's terms cancel at once; the second's smaller ones only at the end."""
    cancelling = torch.tensor([[95.0, 95, 95, 95, -95, -95, -95, -95]]).repeat(1, 512)
    climbing = torch.cat([torch.full((1, 2048), 90.0), torch.full((1, 2048), -90.0)], 1)
    for pictures in ([cancelling, climbing], [climbing, cancelling]):
        graph_module = traced(lambda x: x.sum(-1), climbing)
        for picture in pictures:
            measure(graph_module, [picture])
        (found,) = measured(graph_module)
        assert found.values.sums == PartialSum(2048 * 90.0, 4096 * 95.0)


def test_unmeasured_nodes_have_no_range() -> None:
    graph_module = traced(lambda x: x + 1, torch.ones(2))
    assert measured(graph_module) == () and all(range_of(node) is None for node in graph_module.graph.nodes)


@pytest.mark.parametrize(
    ("values", "blurred"),
    [
        ([1.0, 2047.0, 2048.0], False),
        ([2048.0, 2049.0], True),  # fp16 represents one of them
        ([-4097.0, -4096.0], True),
        ([4096.0, 8192.0, 10000.0], False),  # large, but distinct in fp16
        ([3000.5, 3001.5], False),  # not integers: only less precise, like all large values
    ],
)
def test_integers_that_collide_in_fp16(values: list[float], blurred: bool) -> None:
    x = torch.tensor(values)
    graph_module = traced(lambda x: x * 1.0, x)
    measure(graph_module, [x])
    assert [item.values.blurred for item in measured(graph_module)] == [blurred]


def test_what_is_not_finite_has_no_headroom() -> None:
    x = torch.tensor([1.0, 0.0])
    graph_module = traced(lambda x: x / 0.0, x)
    measure(graph_module, [x])
    (found,) = measured(graph_module)
    assert found.values.largest == math.inf and found.values.headroom == -math.inf
    assert ValueRange(0.0).headroom == math.inf


def test_integers_of_an_index_are_not_measured() -> None:
    x = torch.randn(4)
    graph_module = traced(lambda x: x.topk(2)[1], x)
    measure(graph_module, [x])
    assert measured(graph_module) == ()
