"""Padding."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from passes import (
    RightOnDelegate,
    assert_same,
    count,
    evaluate,
    ops,
    outputs_of,
    rewritten,
    run_on_delegate,
    run_pass,
    traced,
)
from torch import Tensor
from torch.nn import functional as F

from detr2litert.graphs.toolbox import RewriteRefusedError, aten, calls, is_call
from detr2litert.rewrites.evaluate_constants import evaluate_constants
from detr2litert.rewrites.lower_padding import lower_padding
from detr2litert.rewrites.reduce_rank import reduce_rank
from detr2litert.verify.delegate.adapters import Driver

X = torch.randn(1, 4, 6, 8, generator=torch.Generator().manual_seed(0)) - 2
WEIGHT = torch.randn(8, 4, 2, 2, generator=torch.Generator().manual_seed(1))


def stem(x: Tensor) -> Tensor:
    """A pool of stride one with zero padding on two sides that preserves the size, over negative values."""
    return F.max_pool2d(F.pad(x, (0, 1, 0, 1)), 2, 1, ceil_mode=True)


@pytest.mark.parametrize(
    "padded",
    [
        stem,
        lambda x: F.pad(x, (1, 2, 3, 4), value=0.5),
        lambda x: F.pad(x, (0, 0, 0, 0, 2, 1)),
        lambda x: F.pad(x[0], (1, 1), value=-1.0),
        lambda x: F.conv2d(F.pad(x, (0, 1, 0, 1), value=1.0), WEIGHT),
        lambda x: F.max_pool2d(F.pad(x, (1, 1, 1, 1)), 3, 2),
        lambda x: F.max_pool2d(F.pad(x, (1, 1, 1, 1)), 2, 1, dilation=2),
        lambda x: F.avg_pool2d(x, 3, 2, 1),
        lambda x: F.avg_pool2d(F.pad(x, (1, 1, 1, 1)), 2),
        lambda x: F.avg_pool2d(F.pad(x, (1, 1, 1, 1), value=2.0), 2) * 1.5,
    ],
)
def test_keeps_the_values(padded: object) -> None:
    graph_module = traced(padded, X)  # type: ignore[arg-type]
    assert run_pass(lower_padding, graph_module)
    assert_same(evaluate(graph_module, X), evaluate(padded, X), 1e-6)  # type: ignore[arg-type]
    assert run_pass(lower_padding, graph_module) == []
    assert count(graph_module, aten.avg_pool2d.default) == 0
    assert all(is_call(user, aten.conv2d.default) for pad in calls(graph_module, aten.pad.default) for user in pad.users)


def test_infinite_padding_is_bounded() -> None:
    graph_module = traced(lambda x: F.max_pool2d(F.pad(x, (1, 1, 1, 1), value=-torch.inf), 3, 2), X)
    run_pass(lower_padding, graph_module)
    assert all(bool(buffer.isfinite().all()) for _, buffer in graph_module.named_buffers())
    assert_same(evaluate(graph_module, X), (F.max_pool2d(X, 3, 2, 1),))


def test_one_side_is_one_concatenation() -> None:
    assert ops(rewritten(lower_padding, lambda x: F.pad(x, (0, 3)) * 2, X)) == ["cat", "mul"]


def test_zero_padding_amounts_are_removed() -> None:
    assert ops(rewritten(lower_padding, lambda x: F.pad(x, (0, 0)) * 2, X)) == ["mul"]


def test_does_not_fire_on_zeros_that_only_convolutions_read() -> None:
    rewritten(lower_padding, lambda x: F.conv2d(F.pad(x, (0, 1, 0, 1)), WEIGHT), X, fires=0)


@pytest.mark.parametrize("pool", [lambda x: F.max_pool2d(x, 3, 2, 1), lambda x: F.avg_pool2d(x, 2)])
def test_does_not_fire_on_a_correct_pool(pool: object) -> None:
    rewritten(lower_padding, pool, X, fires=0)  # type: ignore[arg-type]


def test_fires_if_a_second_reader_is_not_a_convolution() -> None:
    def both(x: Tensor) -> tuple[Tensor, Tensor]:
        padded = F.pad(x, (0, 1, 0, 1))
        return F.conv2d(padded, WEIGHT), F.max_pool2d(padded, 2, 1)

    rewritten(lower_padding, both, X)


@pytest.mark.parametrize("mode", ["reflect", "replicate", "circular"])
def test_refuses_padding_that_depends_on_the_image(mode: str) -> None:
    graph_module = traced(lambda x: F.pad(x, (1, 1, 1, 1), mode=mode), X)
    if count(graph_module, aten.pad.default):
        with pytest.raises(RewriteRefusedError, match=f"{mode} padding; pad with a constant"):
            run_pass(lower_padding, graph_module)
    else:
        assert mode == "circular", "only circular padding is exported as slices and copies"


def test_refuses_a_pool_with_its_own_padding() -> None:
    with pytest.raises(RewriteRefusedError, match="pad once"):
        run_pass(lower_padding, traced(lambda x: F.max_pool2d(F.pad(x, (0, 1, 0, 1)), 3, 1, 1), X))


@pytest.mark.parametrize("pool", [lambda x: F.max_pool2d(F.pad(x[0], (0, 1)), 2, 1), lambda x: F.avg_pool2d(x[0], 3, 2, 1)])
def test_refuses_a_pool_without_a_batch(pool: object) -> None:
    with pytest.raises(RewriteRefusedError, match=r"a pool of \[4, \d, \d\]; give the image a batch"):
        run_pass(lower_padding, traced(pool, X))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "mean",
    [
        lambda x: F.avg_pool2d(x, 3, 2, 1, count_include_pad=False),
        lambda x: F.avg_pool2d(x, 3, 2, 1, divisor_override=2),
        lambda x: F.avg_pool2d(x, 3, 2, 1, ceil_mode=True),
    ],
)
def test_refuses_means_of_another_kind(mean: object) -> None:
    with pytest.raises(RewriteRefusedError):
        run_pass(lower_padding, traced(mean, X))  # type: ignore[arg-type]


def test_refuses_negative_padding() -> None:
    with pytest.raises(RewriteRefusedError, match="cut with a slice"):
        run_pass(lower_padding, traced(lambda x: F.pad(x, (-1, 0)), X))


@pytest.mark.gpu
def test_delegate(right_on_delegate: RightOnDelegate) -> None:
    def network(x: Tensor) -> tuple[Tensor, ...]:
        return (
            stem(x),
            F.conv2d(F.pad(x, (0, 1, 0, 1)), WEIGHT),
            F.conv2d(F.pad(x, (0, 1, 0, 1), value=1.0), WEIGHT),
            F.avg_pool2d(F.pad(x, (1, 1, 1, 1)), 2),
            F.avg_pool2d(x.abs(), 3, 2, 1),
            F.max_pool2d(x, 3, 2, 1),
        )

    right_on_delegate([lower_padding], network, X)


@pytest.mark.gpu
def test_delegate_gets_a_pool_over_joined_zeros_wrong(driver: Driver, tmp_path: Path) -> None:
    def joined(x: Tensor) -> Tensor:
        return F.max_pool2d(torch.cat([x, torch.zeros(1, 4, 6, 1)], 3), 2, 1)

    graph_module = traced(joined, X)
    run_pass(evaluate_constants, graph_module)
    run_pass(reduce_rank, graph_module)
    (found,) = outputs_of(run_on_delegate(graph_module, (X,), driver, tmp_path))
    assert float((found - evaluate(joined, X)[0]).abs().max()) > 0.1
