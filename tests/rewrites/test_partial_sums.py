"""The largest partial sum, compared with sums written by hand and with brute force."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from detr2litert.graphs.toolbox import aten
from detr2litert.rewrites.partial_sums import PartialSum, partial_sum

GENERATOR = torch.Generator().manual_seed(0)


def randn(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=GENERATOR)


def every_prefix(terms: Tensor) -> float:
    """The largest |prefix| of sums over the first dimension, at whole slices of four."""
    prefixes = terms.cumsum(0)
    return float(prefixes[3::4].abs().max()) if len(terms) % 4 == 0 else float(prefixes[-1].abs().max())


def found(target: Any, *args: Any) -> PartialSum:
    result = partial_sum(target, args)
    assert result is not None
    return result


def test_partial_sums_of_a_cancelling_sum_are_measured() -> None:
    x = torch.full((1, 256), 900.0)
    x[:, 128:] = -900.0
    sums = found(aten.linear.default, x, torch.ones(1, 256))
    assert float(F.linear(x, torch.ones(1, 256))) == 0
    assert sums == PartialSum(128 * 900.0, 256 * 900.0)


@pytest.mark.parametrize("shape", [(8,), (2, 3, 8), (1, 2, 2, 8)])
def test_linear(shape: tuple[int, ...]) -> None:
    x, w = randn(*shape), randn(5, 8)
    sums = found(aten.linear.default, x, w, randn(5))
    assert sums.bound == pytest.approx(float((x.abs() @ w.abs().t()).max()), rel=1e-6)
    assert sums.measured == pytest.approx(every_prefix((x.reshape(-1, 1, 8) * w).permute(2, 0, 1)), rel=1e-5)


def test_matmul_broadcasts_and_measures_each_batch() -> None:
    x, y = randn(2, 1, 3, 8), randn(4, 8, 5)
    terms = x[..., :, :, None] * y[:, None]  # [2, 4, 3, 8, 5]
    sums = found(aten.matmul.default, x, y)
    # The prefixes of 16 of 24 rows are computed: the result is exact unless the largest is in another row.
    assert sums.measured <= every_prefix(terms.permute(3, 0, 1, 2, 4)) + 1e-5
    assert sums.bound == pytest.approx(float((x.abs() @ y.abs()).max()), rel=1e-6)
    one = found(aten.bmm.default, x[:, 0], y[:2])
    assert one.measured == pytest.approx(
        max(every_prefix((x[b, 0, :, :, None] * y[b]).permute(1, 0, 2)) for b in range(2)), rel=1e-5
    )


@pytest.mark.parametrize("groups", [1, 2, 4])
@pytest.mark.parametrize(("stride", "padding", "dilation"), [(1, 0, 1), (2, 1, 1), (1, 2, 2)])
def test_convolution(groups: int, stride: int, padding: int, dilation: int) -> None:
    x, w = randn(1, 4, 5, 5), randn(8, 4 // groups, 3, 3)
    sums = found(aten.conv2d.default, x, w, None, [stride, stride], [padding, padding], [dilation, dilation], groups)
    result = F.conv2d(x, w, None, stride, padding, dilation, groups)
    assert sums.bound == pytest.approx(
        float(F.conv2d(x.abs(), w.abs(), None, stride, padding, dilation, groups).max()), rel=1e-5
    )
    followed = min(16, result[0, 0].numel())
    if followed == result[0, 0].numel():
        assert sums.measured >= float(result.abs().max()) - 1e-4  # the last prefix is the result
    assert sums.measured <= sums.bound


def test_convolution_sums_rows_columns_then_channels() -> None:
    x = torch.zeros(1, 4, 1, 2)
    x[0, :, 0, 0], x[0, :, 0, 1] = 100.0, -100.0
    sums = found(aten.conv2d.default, x, torch.ones(1, 4, 1, 2))
    assert sums.measured == 400.0  # all channels of the first column before the second


def test_reductions() -> None:
    x = torch.tensor([[3.0, 4.0, -7.0, 1.0, 5.0, -5.0, 5.0, -5.0]])
    assert found(aten.sum.dim_IntList, x, [1]).bound == 35.0
    assert found(aten.mean.dim, x, [-1], True).measured == 1.0
    assert found(aten.sum.default, torch.ones(100)).measured == 100.0
    assert found(aten.softmax.int, torch.zeros(2, 50), -1).measured == 50.0


def test_layer_norm_is_its_variance() -> None:
    x = randn(2, 3, 16) * 10
    sums = found(aten.layer_norm.default, x, [16], None, None, 1e-5)
    assert sums.measured == pytest.approx(float((16 * x.var(-1, unbiased=False)).max()), rel=1e-5)


def test_other_operators_have_no_sums() -> None:
    assert partial_sum(aten.relu.default, (randn(3),)) is None


def test_images_widen_the_result() -> None:
    large, small = torch.full((1, 8), 5.0), torch.full((1, 8), 1.0)
    known = partial_sum(aten.sum.dim_IntList, (large, [1]))
    assert partial_sum(aten.sum.dim_IntList, (small, [1]), known) == known
    grown = partial_sum(aten.sum.dim_IntList, (large * 2, [1]), known)
    assert grown == PartialSum(80.0, 80.0)


def test_small_sums_get_a_valid_bound() -> None:
    """By the Cauchy-Schwarz bound no order of the terms could overflow; the result is recorded as the measured sum."""
    x, w, image, kernel = randn(3, 8), randn(5, 8), randn(1, 4, 5, 5), randn(8, 4, 3, 3)
    for target, args, exact in (
        (aten.linear.default, (x, w), x.abs() @ w.abs().t()),
        (aten.matmul.default, (x, w.t()), x.abs() @ w.abs().t()),
        (aten.conv2d.default, (image, kernel), F.conv2d(image.abs(), kernel.abs())),
    ):
        sums = partial_sum(target, args, None, 1e4, 7.0)
        assert sums is not None and float(exact.max()) <= sums.bound <= 1e4 and sums.measured == 7.0
        followed = partial_sum(target, args, sums, 0.1, 7.0)
        assert followed is not None and followed.measured >= 7.0 and followed.bound == sums.bound
