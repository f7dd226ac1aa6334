"""The direct lowering yields the bytes of litert-torch's public one, where it has no operators of its own.

Linear layers and products of batches are written as single operators (``convert.lowering.operators``), which the public way
takes apart: files with those have other bytes, and must compute the same.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from detr2litert.convert.compiler import compile_detector
from detr2litert.convert.lowering.lower import lower
from detr2litert.convert.models.reference import build_reference
from detr2litert.convert.targets import find_target
from detr2litert.graphs.partition import Layout, Part
from detr2litert.graphs.toolbox import value_of
from detr2litert.host_runtime.tflite.graph import read_graph
from detr2litert.rewrites import driver, pipeline
from detr2litert.rewrites.profile import Profile
from detr2litert.rewrites.program import export
from detr2litert.verify.delegate.run import run_model
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
    """Two heads over tokens, with GELU and a tensor that two operators read: linear layers and products of batches."""

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


def norms_and_activations(x: Tensor, y: Tensor) -> tuple[Tensor, ...]:
    """What surrounds linear layers, without them."""
    both = functional.gelu(x.reshape(1, 2, 2, 6).permute(0, 2, 1, 3)) + y.reshape(1, 2, 2, 6)
    return both.softmax(-1), both.clamp(min=-1.0) / (1.0 - both.amax(-1, keepdim=True)).abs(), both.mean(-1)


CASES: dict[str, tuple[Callable[..., object], tuple[tuple[int, ...], ...]]] = {
    "convolutions": (Convolutions(), ((1, 3, 16, 16),)),
    "norms and activations": (norms_and_activations, ((1, 4, 6), (1, 4, 6))),
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


def part_of(computed: Callable[..., object], shapes: tuple[tuple[int, ...], ...]) -> Part:
    """A module or a function as a normalised part."""
    module = computed if isinstance(computed, nn.Module) else Wrapped(computed)
    graph_module = export(module.eval(), tuple(torch.randn(shape) for shape in shapes))
    outputs = next(iter(graph_module.graph.find_nodes(op="output"))).args[0]
    driver.run(pipeline.NORMALISE, graph_module, Profile())
    inputs = tuple(str(node.target) for node in graph_module.graph.find_nodes(op="placeholder"))
    return Part(graph_module, inputs, tuple(f"out_{i}" for i in range(len(outputs))))


def assert_equal_values(part: Part, ours: Path, public: Path) -> None:
    """Both files compute the same on LiteRT's CPU, up to a millionth of the largest value."""
    generator = torch.Generator().manual_seed(0)
    inputs = {}
    for name, node in zip(part.input_names, part.graph_module.graph.find_nodes(op="placeholder"), strict=True):
        value = value_of(node)
        # Integers are indices of the proposals, which every graph has more than four of.
        drawn = torch.randn(value.shape, generator=generator) if value.is_floating_point() else torch.arange(value.numel()) % 4
        inputs[name] = drawn.to(value.dtype).reshape(value.shape).numpy()
    runs = [run_model(path, [inputs], accelerator="cpu") for path in (ours, public)]
    assert all(run.ok for run in runs), [run.error for run in runs]
    for name, expected in runs[1].outputs[0].items():
        found = runs[0].outputs[0][name]
        assert found.shape == expected.shape
        np.testing.assert_allclose(found, expected, atol=1e-6 * max(1.0, float(np.abs(expected).max())), rtol=0, err_msg=name)


@pytest.mark.parametrize("name", CASES)
def test_the_bytes_equal_the_public_conversions(tmp_path: Path, name: str) -> None:
    part = part_of(*CASES[name])
    lower(part, tmp_path / "ours.tflite")
    assert (tmp_path / "ours.tflite").read_bytes() == convert_publicly(part)


def broadcast_products(x: Tensor, y: Tensor) -> tuple[Tensor, ...]:
    """Products that the converter must take apart: of broadcast batches, of matrices, and with a vector."""
    return x[:, None] @ y[:, :, None].expand(1, 4, 6, 6), x[0] @ y[0].t(), x @ y[0, 0]


def test_products_of_broadcast_batches_compute_what_the_public_conversions_do(tmp_path: Path) -> None:
    part = part_of(broadcast_products, ((1, 4, 6), (1, 4, 6)))
    lower(part, tmp_path / "ours.tflite")
    (tmp_path / "public.tflite").write_bytes(convert_publicly(part))
    assert_equal_values(part, tmp_path / "ours.tflite", tmp_path / "public.tflite")


def test_linear_layers_and_products_compute_what_the_public_conversions_do(tmp_path: Path) -> None:
    part = part_of(Attention(), ((1, 5, 8),))
    lower(part, tmp_path / "ours.tflite")
    (tmp_path / "public.tflite").write_bytes(convert_publicly(part))
    assert_equal_values(part, tmp_path / "ours.tflite", tmp_path / "public.tflite")
    ours, public = (Counter(op.name for op in read_graph(tmp_path / f"{name}.tflite").ops) for name in ("ours", "public"))
    assert ours["FULLY_CONNECTED"] == public["FULLY_CONNECTED"] == 2 and ours["BATCH_MATMUL"] == public["BATCH_MATMUL"] == 2
    assert ours["RESHAPE"] < public["RESHAPE"] and ours.total() < public.total()


# The public conversion takes minutes for the larger ones.
@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=pytest.mark.slow)
        for name in ("tiny", "dfine-tiny", "nano", "dfine-s", "rtdetrv2-r18", "lwdetr-tiny", "deimv2-atto")
    ],
)
def test_the_files_of_every_family_compute_what_the_public_conversions_do(tmp_path: Path, name: str) -> None:
    """Both graphs of small relatives, which have every operator of the published sizes."""
    profile = replace(find_target("pixel").profile, native_form=False, layout=Layout.TOKENS)
    compiled = compile_detector(build_reference(shrunken(name)), profile)
    for graph, part in compiled.parts.graphs.items():
        ours, public = tmp_path / f"{graph}.tflite", tmp_path / f"{graph}_public.tflite"
        lower(part, ours)
        public.write_bytes(convert_publicly(part))
        assert_equal_values(part, ours, public)
