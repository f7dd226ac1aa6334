"""A value that graph B reads in two arrangements crosses once."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from detectors import CHANNELS, HEIGHT, SELECTED, TOKENS, WIDTH, TwoStage, assert_equal_to_the_whole, cut, image
from torch import Tensor, nn

from detr2litert.graphs.partition import Layout, Partition
from detr2litert.graphs.toolbox import aten, calls, sizes, value_of

CUT = [layout for layout in Layout if layout is not Layout.SINGLE]


class WithMap(TwoStage):
    """A decoder that also reads the map that the tokens are made from, as a mask head does."""

    def __init__(self) -> None:
        super().__init__()
        self.local = nn.Conv2d(CHANNELS, CHANNELS, 3, padding=1)

    def both(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """The map ``[1, CHANNELS, HEIGHT, WIDTH]`` and the tokens ``[1, TOKENS, CHANNELS]``."""
        features = self.patches(image).relu()
        return features, features.flatten(2).transpose(1, 2)

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        features, memory = self.both(image)
        encoded, scores, boxes = self.propose(memory)
        index = torch.topk(scores, SELECTED, dim=1)[1].unsqueeze(-1)
        reference, target = (torch.gather(x, 1, index.expand(-1, -1, x.shape[-1])) for x in (boxes, encoded))
        boxes, logits = self.decode(memory, target, reference)
        return boxes + self.local(features).amax((2, 3)).mean(-1, keepdim=True), logits


class Turned(WithMap):
    """Tokens by columns, through another chain of views."""

    def both(self, image: Tensor) -> tuple[Tensor, Tensor]:
        features, _ = super().both(image)
        return features, features.permute(0, 3, 2, 1).unsqueeze(0).movedim(0, 1).reshape(1, TOKENS, CHANNELS)


class TokensFirst(WithMap):
    """The tokens are computed, and the map is an arrangement of them."""

    def both(self, image: Tensor) -> tuple[Tensor, Tensor]:
        memory = self.encode(super().both(image)[1])
        return memory.transpose(1, 2).reshape(1, CHANNELS, HEIGHT, WIDTH), memory


class OtherValues(WithMap):
    """The tokens are another value, not an arrangement of the map."""

    def both(self, image: Tensor) -> tuple[Tensor, Tensor]:
        features, memory = super().both(image)
        return features, memory * 2


def memories(parts: Partition) -> dict[str, list[int]]:
    nodes = parts.b.graph_module.graph.find_nodes(op="placeholder")
    return {str(node.target): sizes(value_of(node).shape) for node in nodes if str(node.target).startswith("memory")}


@pytest.mark.parametrize("layout", CUT)
@pytest.mark.parametrize("lowered", [False, True])
@pytest.mark.parametrize("detector", [WithMap, Turned, TokensFirst])
def test_one_value_crosses_once_in_any_layout(detector: type[WithMap], lowered: bool, layout: Layout) -> None:
    parts = cut(detector(), image(), layout, lowered, token_maps=True)
    values = assert_equal_to_the_whole(parts, detector(), image(5), 1e-5)
    assert parts.a.output_names == ("enc_scores", "memory")
    height, width = (WIDTH, HEIGHT) if detector is Turned else (HEIGHT, WIDTH)
    assert memories(parts) == {"memory": [1, height, width, CHANNELS]}
    expected = detector().both(image(5))[1].detach().numpy()
    np.testing.assert_allclose(values["memory"].reshape(expected.shape), expected, atol=1e-5)


def test_without_token_maps_the_tokens_cross() -> None:
    parts = cut(WithMap(), image(), Layout.INDICES)
    assert_equal_to_the_whole(parts, WithMap(), image(5), 1e-6)
    assert memories(parts) == {"memory": [1, TOKENS, CHANNELS]}


def test_lowered_graph_b_undoes_the_arrangement_with_one_permutation() -> None:
    parts = cut(WithMap(), image(), Layout.INDICES, lowered=True, token_maps=True)
    (convolution,) = calls(parts.b.graph_module, aten.conv2d.default)
    turned = convolution.all_input_nodes[0]
    assert turned.target is aten.permute.default and turned.all_input_nodes[0].name == "memory"


@pytest.mark.parametrize("layout", CUT)
def test_another_value_crosses_as_well(layout: Layout) -> None:
    parts = cut(OtherValues(), image(), layout, token_maps=True)
    assert_equal_to_the_whole(parts, OtherValues(), image(5), 1e-6)
    assert set(memories(parts)) == {"memory_0", "memory_1"}
