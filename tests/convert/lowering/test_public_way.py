"""The direct lowering yields the bytes of litert-torch's public one: same operators, shapes, constants and names."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from detr2litert.convert.compiler import compile_detector
from detr2litert.convert.lowering.lower import lower
from detr2litert.convert.models.reference import build_reference
from detr2litert.convert.targets import find_target
from detr2litert.graphs.partition import Part
from detr2litert.rewrites import driver, pipeline
from detr2litert.rewrites.profile import Profile
from detr2litert.rewrites.program import export
from tests.convert.lowering.public_way import convert_publicly
from tests.convert.shrunken import shrunken


class Convolutions(nn.Module):
    """Convolutions with and without groups, stride and bias, and pools, between operators that can be in either layout."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, stride=2, padding=1)
        self.depthwise = nn.Conv2d(8, 8, 3, padding=1, groups=8, bias=False)
        self.point = nn.Conv2d(8, 16, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = functional.silu(self.stem(x))
        x = self.point(self.depthwise(x) + x)
        x = torch.cat((functional.max_pool2d(x, 2), functional.avg_pool2d(x, 2)), 1)
        return functional.interpolate(x, scale_factor=2.0, mode="nearest").softmax(1)


class Attention(nn.Module):
    """Two heads over tokens, with a norm, GELU, and a tensor that two operators read."""

    def __init__(self) -> None:
        super().__init__()
        self.qkv = nn.Linear(8, 24)
        self.out = nn.Linear(8, 8, bias=False)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        q, k, v = self.qkv(x).reshape(1, -1, 3, 2, 4).permute(2, 0, 3, 1, 4)
        mixed = (q * 0.5 @ k.transpose(-1, -2)).softmax(-1) @ v
        y = functional.gelu(self.out(mixed.transpose(1, 2).flatten(2)) + x)
        return y.clamp(min=-1.0) / (1.0 - y.amax(-1, keepdim=True)).abs(), y.mean(-1)


def elementwise(x: Tensor, y: Tensor) -> tuple[Tensor, ...]:
    """Operators of one and two operands that decompose, or broadcast, or read a number."""
    z = x * torch.linspace(0, 1, 6) + y[:, :1]
    return torch.relu(z), z.sin() + z.cos().exp(), 2.0 - z, (z.square() + 1e-6).rsqrt().reciprocal(), z[:, 1:, ::2], z.sum(1)


def bounds_and_products(x: Tensor, y: Tensor) -> tuple[Tensor, ...]:
    """Clamps with bounds of either type, numbers that other operators share with them, and operands of lower rank."""
    low, both, high = x.clamp(min=1), x.clamp(0.0, 1.0), x.clamp(max=2.5)
    column, one, scalar = torch.linspace(1, 2, 4).reshape(4, 1), torch.tensor([3.0]), torch.tensor(2.5)
    sums = (x * 2.5 + scalar) / (column * one + x.abs()) - y * 1
    return (
        low - 1,
        both,
        high,
        sums,
        torch.sigmoid(sums),
        x.amax(1),
        x[0] @ y[0].t(),
        torch.bmm(x.transpose(1, 2), y),
        x.amax((0, 2), keepdim=True) / 3,
    )


CASES: dict[str, tuple[Callable[..., object], tuple[tuple[int, ...], ...]]] = {
    "convolutions": (Convolutions(), ((1, 3, 16, 16),)),
    "attention": (Attention(), ((1, 5, 8),)),
    "elementwise": (elementwise, ((1, 4, 6), (1, 4, 6))),
    "bounds and products": (bounds_and_products, ((1, 4, 6), (1, 4, 6))),
}


class Wrapped(nn.Module):
    """A function as a module."""

    def __init__(self, function: Callable[..., object]) -> None:
        super().__init__()
        self._function = function

    def forward(self, *inputs: Tensor) -> object:
        return self._function(*inputs)


@pytest.mark.parametrize("name", CASES)
def test_the_bytes_equal_the_public_conversions(tmp_path: Path, name: str) -> None:
    computed, shapes = CASES[name]
    module = computed if isinstance(computed, nn.Module) else Wrapped(computed)
    graph_module = export(module.eval(), tuple(torch.randn(shape) for shape in shapes))
    outputs = next(iter(graph_module.graph.find_nodes(op="output"))).args[0]
    driver.run(pipeline.NORMALISE, graph_module, Profile())
    inputs = tuple(str(node.target) for node in graph_module.graph.find_nodes(op="placeholder"))
    part = Part(graph_module, inputs, tuple(f"out_{i}" for i in range(len(outputs))))
    lower(part, tmp_path / "short.tflite")
    assert (tmp_path / "short.tflite").read_bytes() == convert_publicly(part)


# The public conversion takes minutes for the larger ones.
@pytest.mark.parametrize(
    "name",
    [
        pytest.param("tiny", marks=pytest.mark.ci),
        *(
            pytest.param(name, marks=pytest.mark.slow)
            for name in ("dfine-tiny", "nano", "dfine-s", "rtdetrv2-r18", "lwdetr-tiny", "deimv2-atto")
        ),
    ],
)
def test_the_bytes_of_every_family_equal_the_public_conversions(tmp_path: Path, name: str) -> None:
    """Both graphs of small relatives, which have every operator of the published sizes."""
    compiled = compile_detector(build_reference(shrunken(name)), find_target("pixel").profile)
    for graph, part in compiled.parts.graphs.items():
        lower(part, tmp_path / graph)
        assert (tmp_path / graph).read_bytes() == convert_publicly(part), graph
