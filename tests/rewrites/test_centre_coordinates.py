"""Coordinates whose centre is subtracted before an offset is added."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from passes import (
    RightOnDelegate,
    assert_same,
    count,
    evaluate,
    outputs_of,
    run_on_delegate,
    run_pass,
    traced,
)
from torch import Tensor, fx

from detr2litert.graphs.toolbox import aten
from detr2litert.rewrites.centre_coordinates import centre_coordinates
from detr2litert.rewrites.contract import Findings, Site, rewrite
from detr2litert.rewrites.merge_scalars import merge_scalars
from detr2litert.rewrites.profile import Profile, Protection
from detr2litert.rewrites.ranges import measure
from detr2litert.rewrites.reduce_rank import reduce_rank
from detr2litert.verify.delegate.adapters import Driver

GENERATOR = torch.Generator().manual_seed(0)
REFERENCE = torch.rand(1, 40, 1, 4, generator=GENERATOR) * 0.05 + 0.9
OFFSETS = torch.randn(1, 40, 6, 2, generator=GENERATOR) * 0.02
LOGITS = REFERENCE.logit()


def columns(reference: Tensor, offsets: Tensor) -> Tensor:
    """Sampling positions on a map of 64 columns, relative to its centre."""
    points = reference[..., :2] + offsets
    return ((2 * points - 1)[..., 0] * 32).transpose(1, 2)


def from_logits(logits: Tensor, offsets: Tensor) -> Tensor:
    return columns(logits.sigmoid(), offsets)


def shared(reference: Tensor, offsets: Tensor) -> tuple[Tensor, Tensor]:
    grid = 2 * (reference[..., :2] + offsets) - 1
    return grid[..., 0] * 32, grid[..., 1] * 16


Function = Callable[..., Tensor | tuple[Tensor, ...]]


def centred(
    function: Function, *inputs: Tensor, protection: Protection = Protection.MEASURED, merged: bool = True
) -> tuple[fx.GraphModule, list[Site]]:
    graph_module = traced(function, *inputs)
    if merged:
        run_pass(merge_scalars, graph_module)
    measure(graph_module, inputs)
    return graph_module, run_pass(centre_coordinates, graph_module, Profile(protection=protection))


@pytest.mark.parametrize("merged", [False, True])
@pytest.mark.parametrize(("function", "first"), [(columns, REFERENCE), (from_logits, LOGITS)])
def test_fires_once_and_changes_nothing(function: Function, first: Tensor, merged: bool) -> None:
    graph_module, fired = centred(function, first, OFFSETS, merged=merged)
    assert len(fired) == 1 and "0.5 subtracted from" in fired[0].detail
    assert_same(evaluate(graph_module, first, OFFSETS), evaluate(function, first, OFFSETS), 1e-6)
    assert count(graph_module, aten.tanh.default) == (function is from_logits)
    measure(graph_module, (first, OFFSETS))
    assert run_pass(centre_coordinates, graph_module, Profile()) == []


def test_the_sum_is_shifted_once_for_all_that_read_it() -> None:
    graph_module, fired = centred(shared, REFERENCE, OFFSETS)
    assert len(fired) == 2 and count(graph_module, aten.add.Tensor) == 2
    assert_same(evaluate(graph_module, REFERENCE, OFFSETS), evaluate(shared, REFERENCE, OFFSETS), 1e-6)


@pytest.mark.parametrize(
    "function",
    [
        lambda a, b: a[..., :2] + b,  # no shift
        lambda a, b: (a[..., :2] + b) * 2 + 1,  # away from zero
        lambda a, b: (a[..., :2] * 100 + b) - 0.5,  # not a coordinate in [0, 1]
        lambda a, b: (a[..., :2] * b) - 0.5,  # not a sum
        lambda a, b: (a[..., :2] + 0.25) - 0.5,  # a sum with a number: left to merge_scalars
    ],
)
def test_does_not_fire(function: Function) -> None:
    assert centred(function, REFERENCE, OFFSETS)[1] == []


def test_does_not_fire_without_ranges_or_protection() -> None:
    assert centred(columns, REFERENCE, OFFSETS, protection=Protection.NONE)[1] == []
    assert run_pass(centre_coordinates, traced(columns, REFERENCE, OFFSETS), Profile()) == []


@pytest.mark.gpu
def test_delegate(right_on_delegate: RightOnDelegate) -> None:
    @rewrite(options=("protection",))
    def with_ranges(graph_module: fx.GraphModule, protection: Protection) -> Findings:
        measure(graph_module, (LOGITS, OFFSETS))
        return centre_coordinates.run(graph_module, protection)

    right_on_delegate([merge_scalars, with_ranges], from_logits, LOGITS, OFFSETS)


@pytest.mark.gpu
def test_delegate_in_fp16(fp16_driver: Driver, tmp_path: Path) -> None:
    expected = from_logits(LOGITS, OFFSETS)

    def error(graph_module: fx.GraphModule) -> float:
        run_pass(reduce_rank, graph_module)
        run = run_on_delegate(graph_module, (LOGITS, OFFSETS), fp16_driver, tmp_path, enforce_f32=False)
        return float((outputs_of(run)[0] - expected).abs().max())

    plain = traced(from_logits, LOGITS, OFFSETS)
    before, after = error(plain), error(centred(from_logits, LOGITS, OFFSETS)[0])
    assert after < 0.5 * before, (before, after)
