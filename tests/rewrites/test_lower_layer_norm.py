"""Layer norm as primitive operators."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from passes import RightOnDelegate, evaluate, ops, outputs_of, rewritten, run_on_delegate, run_pass, traced
from torch import nn

from detr2litert.rewrites.contract import Rewrite
from detr2litert.rewrites.lower_layer_norm import lower_layer_norm
from detr2litert.rewrites.reduce_rank import reduce_rank
from detr2litert.verify.delegate.adapters import Driver

GENERATOR = torch.Generator().manual_seed(0)
X = torch.randn(1, 6, 32, generator=GENERATOR)


def norm(eps: float = 1e-6, affine: bool = True) -> nn.LayerNorm:
    layer = nn.LayerNorm(32, eps=eps, elementwise_affine=affine)
    for parameter in layer.parameters():
        parameter.data = torch.rand(32, generator=GENERATOR) + 0.5
    return layer


@pytest.mark.parametrize("affine", [True, False])
@pytest.mark.parametrize("eps", [1e-6, 1e-5, 1e-12])
def test_fires(affine: bool, eps: float) -> None:
    graph_module = rewritten(lower_layer_norm, norm(eps, affine), X * 3 + 1, tolerance=1e-5)
    assert "layer_norm" not in ops(graph_module)
    assert len(ops(graph_module)) == (9 if affine else 7)


def test_epsilon_matters() -> None:
    rewritten(lower_layer_norm, norm(1e-2), X * 1e-3, tolerance=1e-5)


def test_does_not_fire_on_a_norm_over_several_dimensions() -> None:
    rewritten(lower_layer_norm, nn.LayerNorm([6, 32]), X, fires=0)


@pytest.mark.gpu
def test_delegate(right_on_delegate: RightOnDelegate) -> None:
    right_on_delegate([lower_layer_norm], norm(1e-5), torch.cat([X, X * 30, torch.zeros(1, 2, 32)], 1))


@pytest.mark.gpu
def test_delegate_in_fp16_with_a_large_mean(fp16_driver: Driver, tmp_path: Path) -> None:
    """Rows around 100 with a deviation of one, which the converter's own form computes imprecisely."""
    x = torch.randn(1, 32, 384, generator=GENERATOR).round(decimals=1) + 100
    x = x.half().float()
    layer = nn.LayerNorm(384, elementwise_affine=False)
    (expected,) = evaluate(layer, x)

    def error(*passes: Rewrite) -> float:
        graph_module = traced(layer, x)
        for rewrite in (*passes, reduce_rank):
            run_pass(rewrite, graph_module)
        (found,) = outputs_of(run_on_delegate(graph_module, (x,), fp16_driver, tmp_path, enforce_f32=False))
        return float((found - expected).abs().max())

    lowered, converters = error(lower_layer_norm), error()
    assert 1.5 * lowered < converters
