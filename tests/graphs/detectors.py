"""Small two-stage detectors to cut, and helpers that compare a cut with the whole."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, fx, nn

from detr2litert.convert.compiler import CompiledDetector
from detr2litert.graphs.partition import Layout, Partition, partition
from detr2litert.rewrites import driver, pipeline
from detr2litert.rewrites.profile import Profile
from detr2litert.rewrites.program import export

TOKENS, CHANNELS, SELECTED, CLASSES = 24, 8, 5, 3
HEIGHT, WIDTH = 4, 6


def image(seed: int = 0) -> Tensor:
    """A picture of ``HEIGHT x WIDTH`` patches of four pixels."""
    return torch.randn(1, 3, 4 * HEIGHT, 4 * WIDTH, generator=torch.Generator().manual_seed(seed))


class TwoStage(nn.Module):
    """Patches, an encoder head over every token, a top-k, and one decoder layer that refines the selected boxes."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.patches = nn.Conv2d(3, CHANNELS, 4, stride=4)
        self.encode = nn.Linear(CHANNELS, CHANNELS)
        self.norm = nn.LayerNorm(CHANNELS)
        self.classify = nn.Linear(CHANNELS, CLASSES)
        self.box = nn.Sequential(nn.Linear(CHANNELS, CHANNELS), nn.ReLU(), nn.Linear(CHANNELS, 4))
        self.query = nn.Linear(CHANNELS + 4, CHANNELS)
        self.refine = nn.Linear(CHANNELS, 4)
        self.register_buffer("anchors", torch.randn(1, TOKENS, 4))
        self.register_buffer("valid", torch.ones(1, TOKENS, 1, dtype=torch.bool))
        with torch.no_grad():
            for parameter in self.norm.parameters():
                parameter.add_(torch.randn(CHANNELS) * 0.3)

    def memory(self, image: Tensor) -> Tensor:
        """``[1, TOKENS, CHANNELS]``."""
        return self.patches(image).relu().flatten(2).transpose(1, 2)

    def propose(self, memory: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Encoded tokens, scores ``[1, TOKENS]`` and unactivated boxes of every token."""
        encoded = self.norm(self.encode(memory.masked_fill(~self.valid, 0.0)))
        return encoded, self.classify(encoded).max(-1)[0], self.box(encoded) + self.anchors

    def decode(self, memory: Tensor, target: Tensor, reference: Tensor) -> tuple[Tensor, Tensor]:
        """Boxes ``[1, SELECTED, 4]`` and logits ``[1, SELECTED, CLASSES]``."""
        query = self.query(torch.cat([target, reference], -1))
        query = query + (query @ memory.transpose(1, 2) * 0.3).softmax(-1) @ memory
        return (self.refine(query) + reference).sigmoid(), self.classify(query)

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        memory = self.memory(image)
        encoded, scores, boxes = self.propose(memory)
        index = torch.topk(scores, SELECTED, dim=1)[1].unsqueeze(-1)
        reference = torch.gather(boxes, 1, index.repeat(1, 1, 4))
        target = torch.gather(encoded, 1, index.expand(-1, -1, CHANNELS))
        return self.decode(memory, target, reference)


def normalised(module: nn.Module, *inputs: Tensor) -> fx.GraphModule:
    """The graph, normalised for the cut."""
    graph_module = export(module.eval(), inputs)
    driver.run(pipeline.NORMALISE, graph_module, Profile())
    return graph_module


def cut(module: nn.Module, example: Tensor, layout: Layout, lowered: bool = False, token_maps: bool = False) -> Partition:
    """Cuts a detector, and optionally lowers the parts for the GPU."""
    profile = Profile(layout=layout, token_maps=token_maps)
    parts = partition(
        normalised(module, example),
        ["image"],
        ["boxes", "logits"],
        layout=profile.layout,
        token_maps=profile.token_maps,
    )
    for part in parts.graphs.values():
        part.graph_module.graph.lint()
        if lowered:
            driver.run(pipeline.IN_EACH_GRAPH, part.graph_module, profile)
    return parts


@torch.no_grad()
def assert_equal_to_the_whole(parts: Partition, module: nn.Module, example: Tensor, tolerance: float) -> dict[str, np.ndarray]:
    """Checks that graph A, the host step and graph B compute the module's outputs; returns every named tensor."""
    values = CompiledDetector(parts, {}, {}).evaluate(example)
    for name, expected in zip(("boxes", "logits"), module(example), strict=True):
        np.testing.assert_allclose(
            values[name], expected.numpy(), atol=tolerance * max(1.0, float(expected.abs().max())), rtol=0
        )
    return values
