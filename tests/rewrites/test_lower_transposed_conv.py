"""Transposed convolutions."""

from __future__ import annotations

import pytest
import torch
from passes import RightOnDelegate, ops, rewritten, run_pass, traced
from torch import nn
from torch.nn import functional

from detr2litert.graphs.toolbox import RewriteRefusedError
from detr2litert.rewrites.lower_transposed_conv import lower_transposed_conv

X = torch.randn(1, 8, 5, 6, generator=torch.Generator().manual_seed(0))


def layer(**options: object) -> nn.Module:
    torch.manual_seed(0)
    return nn.ConvTranspose2d(8, 4, **{"kernel_size": 2, "stride": 2, **options})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "options", [{}, {"bias": False}, {"kernel_size": (3, 2), "stride": (3, 2)}, {"kernel_size": 1, "stride": 1}]
)
def test_fires_and_keeps_the_values(options: dict[str, object]) -> None:
    graph_module = rewritten(lower_transposed_conv, layer(**options), X, tolerance=1e-6)
    assert ops(graph_module) == ["conv2d", "reshape", "permute", "reshape"]


def test_does_not_fire_on_a_plain_convolution() -> None:
    rewritten(lower_transposed_conv, nn.Conv2d(8, 4, 2, 2), X, fires=0)


@pytest.mark.parametrize(
    "options", [{"kernel_size": 3}, {"padding": 1}, {"output_padding": 1}, {"groups": 2}, {"dilation": 2}, {"stride": 1}]
)
def test_refuses_overlapping_windows_and_padding(options: dict[str, object]) -> None:
    with pytest.raises(RewriteRefusedError, match="overlapping windows, padding, dilation or groups; upsample, then convolve"):
        run_pass(lower_transposed_conv, traced(layer(**options), X))


def test_refuses_a_bias_computed_at_run_time() -> None:
    weight = torch.randn(8, 4, 2, 2)
    graph_module = traced(lambda x, b: functional.conv_transpose2d(x, weight, b, 2), X, torch.randn(4))
    with pytest.raises(RewriteRefusedError, match="weights computed at run time"):
        run_pass(lower_transposed_conv, graph_module)


@pytest.mark.gpu
def test_delegate(right_on_delegate: RightOnDelegate) -> None:
    right_on_delegate([lower_transposed_conv], layer(), X)


def test_refuses_an_image_without_a_batch() -> None:
    with pytest.raises(RewriteRefusedError, match=r"of \[4, 10, 12\]; give the image a batch"):
        run_pass(lower_transposed_conv, traced(layer(), X[0]))
