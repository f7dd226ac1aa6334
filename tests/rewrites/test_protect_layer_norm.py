"""Layer norm in the fp16-safe form."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from passes import RightOnDelegate, evaluate, ops, outputs_of, rewritten, run_on_delegate, run_pass, traced
from torch import Tensor, fx, nn

from detr2litert.graphs.toolbox import value_of
from detr2litert.rewrites.profile import Profile, Protection
from detr2litert.rewrites.protect_layer_norm import protect_layer_norm
from detr2litert.rewrites.ranges import measure
from detr2litert.rewrites.reduce_rank import reduce_rank
from detr2litert.verify.delegate.adapters import Driver

GENERATOR = torch.Generator().manual_seed(0)
X = torch.randn(1, 6, 32, generator=GENERATOR)
LARGE = torch.cat([X * s for s in (1e-3, 1.0, 30.0, 1000.0)], 1)


def norm(eps: float = 1e-6, affine: bool = True) -> nn.LayerNorm:
    layer = nn.LayerNorm(32, eps=eps, elementwise_affine=affine)
    for parameter in layer.parameters():
        parameter.data = torch.rand(32, generator=GENERATOR) + 0.5
    return layer


def safe(layer: nn.Module, x: Tensor) -> fx.GraphModule:
    graph_module = traced(layer, x)
    run_pass(protect_layer_norm, graph_module)
    return graph_module


@torch.no_grad()
def in_half(graph_module: fx.GraphModule, x: Tensor) -> Tensor:
    """The graph with every tensor, intermediates included, stored in fp16."""
    result: Tensor = graph_module.half()(x.half())[0]
    return result.float()


def plain_in_half(x: Tensor, eps: float) -> Tensor:
    """Layer norm as the converter lowers it: mean, squared difference, mean, rsqrt; stored in fp16 throughout."""
    x = x.half()
    difference = x - x.mean(-1, keepdim=True)
    return (difference * torch.rsqrt((difference * difference).mean(-1, keepdim=True) + eps)).float()


@pytest.mark.parametrize("affine", [True, False])
@pytest.mark.parametrize("eps", [1e-6, 1e-5, 1e-12])
def test_fires(affine: bool, eps: float) -> None:
    rewritten(protect_layer_norm, norm(eps, affine), X * 10, tolerance=1e-5)
    rewritten(protect_layer_norm, norm(1e-5), LARGE, tolerance=1e-5)


def test_does_not_fire() -> None:
    rewritten(protect_layer_norm, norm(), X, fires=0, protection=Protection.NONE)
    rewritten(protect_layer_norm, nn.LayerNorm([6, 32]), X, fires=0)


@pytest.mark.parametrize(("factor", "fires"), [(1.0, 0), (10.0, 0), (100.0, 1)])
def test_fires_where_the_measured_rows_need_it(factor: float, fires: int) -> None:
    graph_module = traced(norm(), X)
    measure(graph_module, [X * factor])
    assert len(run_pass(protect_layer_norm, graph_module, Profile())) == fires
    again = traced(norm(), X)
    measure(again, [X * factor])
    assert len(run_pass(protect_layer_norm, again, Profile(protection=Protection.ALL))) == 1


def test_large_rows_overflow_in_the_plain_form_only() -> None:
    spread = torch.randn(1, 64, 384, generator=GENERATOR)
    x = spread / spread.abs().amax(-1, keepdim=True) * 1068
    layer = nn.LayerNorm(384, eps=1e-6, elementwise_affine=False)
    expected = layer(x)
    assert float((plain_in_half(x, 1e-6) - expected).abs().max()) > 1.0
    assert float((in_half(safe(layer, x), x) - expected).abs().max()) < 1e-2


def test_no_intermediate_overflows_half() -> None:
    largest = []

    class Recorder(fx.Interpreter):
        def run_node(self, n: fx.Node) -> object:
            value = super().run_node(n)
            if n.op == "call_function":
                largest.append(float(value.abs().max()))  # type: ignore[union-attr, attr-defined]
            return value

    x = LARGE[:, -6:] * 10
    graph_module = safe(norm(affine=False), x)
    Recorder(graph_module).run(x)
    assert x.abs().max() < 65504 and max(largest) < 65504
    assert all(value_of(n).shape for n in graph_module.graph.nodes if n.op == "call_function")


@pytest.mark.parametrize("value", [0.0, 1.0, -3.0, 1068.0])
@pytest.mark.parametrize("half", [False, True])
def test_constant_rows_give_zero(value: float, half: bool) -> None:
    x = torch.full((1, 2, 32), value)
    graph_module = safe(norm(affine=False), x)
    found = in_half(graph_module, x) if half else graph_module(x)[0]
    assert float(found.abs().max()) < 1e-3


@pytest.mark.gpu
def test_delegate(right_on_delegate: RightOnDelegate) -> None:
    rows = torch.cat([LARGE, torch.zeros(1, 2, 32), torch.full((1, 2, 32), 7.0)], 1)
    right_on_delegate([protect_layer_norm], norm(1e-5), rows)


@pytest.mark.gpu
@pytest.mark.parametrize("protected", [False, True])
def test_delegate_in_fp16(fp16_driver: Driver, tmp_path: Path, protected: bool) -> None:
    """At magnitudes published for trained detectors: wide rows, and rows with a single outlier (measured: 4e-3 and 1e-2)."""
    wide = torch.randn(1, 32, 384, generator=GENERATOR)
    outlier = 3 * torch.randn(1, 32, 384, generator=GENERATOR)
    outlier[:, :, 7] = 1068
    rows = torch.cat([wide / wide.abs().amax(-1, keepdim=True) * 1068, outlier], 1)
    layer = nn.LayerNorm(384, eps=1e-6, elementwise_affine=False)
    graph_module = traced(layer, rows)
    for rewrite in (*([protect_layer_norm] if protected else []), reduce_rank):
        run_pass(rewrite, graph_module)
    (found,) = outputs_of(run_on_delegate(graph_module, (rows,), fp16_driver, tmp_path, enforce_f32=False))
    error = (found - evaluate(layer, rows)[0]).abs()
    if protected:
        assert float(error.max()) < 0.03
    else:
        assert not found.any()  # an infinite variance yields zeros


def test_the_converter_supports_the_ops() -> None:
    assert "layer_norm" not in ops(safe(norm(), X))
