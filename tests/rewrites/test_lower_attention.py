"""Scaled dot-product attention."""

from __future__ import annotations

import pytest
import torch
from passes import RightOnDelegate, ops, rewritten, run_pass, traced
from torch import Tensor
from torch.nn import functional as F

from detr2litert.graphs.toolbox import RewriteRefusedError
from detr2litert.rewrites.evaluate_constants import evaluate_constants
from detr2litert.rewrites.lower_attention import lower_attention

GENERATOR = torch.Generator().manual_seed(0)
Q, K, V = (torch.randn(1, 2, n, 8, generator=GENERATOR) for n in (5, 7, 7))
BIAS = torch.randn(1, 2, 5, 7, generator=GENERATOR)
ALLOWED = torch.tensor([True, True, False, True, False, True, True])[None, None, None]


def test_fires() -> None:
    graph_module = rewritten(lower_attention, F.scaled_dot_product_attention, Q, K, V, tolerance=1e-6)
    assert ops(graph_module) == ["mul", "transpose", "matmul", "softmax", "matmul"]


def test_scale_and_mask() -> None:
    graph_module = rewritten(
        lower_attention, lambda q, k, v: F.scaled_dot_product_attention(q, k, v, BIAS, scale=0.3), Q, K, V, tolerance=1e-6
    )
    assert "add" in ops(graph_module)


def test_a_constant_boolean_mask() -> None:
    def masked(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        return F.scaled_dot_product_attention(q, k, v, ALLOWED)

    graph_module = traced(masked, Q, K, V)
    run_pass(evaluate_constants, graph_module)
    assert len(run_pass(lower_attention, graph_module)) == 1
    torch.testing.assert_close(graph_module(Q, K, V)[0], masked(Q, K, V), atol=1e-6, rtol=0)


@pytest.mark.parametrize(
    "attention",
    [
        lambda q, k, v: F.scaled_dot_product_attention(q, k, v, is_causal=True),
        lambda q, k, v: F.scaled_dot_product_attention(q, k, v, dropout_p=0.5),
        lambda q, k, v: F.scaled_dot_product_attention(q.repeat(1, 2, 1, 1), k, v, enable_gqa=True),
        lambda q, k, v: F.scaled_dot_product_attention(q, k, v, q @ k.transpose(2, 3) > 0),
    ],
)
def test_refusals(attention: object) -> None:
    graph_module = traced(attention, Q, K, V)  # type: ignore[arg-type]
    with pytest.raises(RewriteRefusedError) as caught:
        run_pass(lower_attention, graph_module)
    error = caught.value
    assert error.op == "aten.scaled_dot_product_attention.default" and error.node == "scaled_dot_product_attention"
    assert error.shape.startswith("[1, ") and error.hint in str(error)


@pytest.mark.gpu
def test_delegate(right_on_delegate: RightOnDelegate) -> None:
    def masked(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        return F.scaled_dot_product_attention(q, k, v, BIAS)

    right_on_delegate([evaluate_constants, lower_attention], masked, Q, K, V)
