"""Sums whose terms are divided where an fp16 accumulator would overflow."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from passes import RightOnDelegate, assert_same, evaluate, outputs_of, run_on_delegate, run_pass, traced
from torch import Tensor, fx, nn

from detr2litert.rewrites.contract import Findings, Rewrite, Site, rewrite
from detr2litert.rewrites.profile import Profile, Protection
from detr2litert.rewrites.protect_sums import protect_sums
from detr2litert.rewrites.ranges import measure
from detr2litert.rewrites.reduce_rank import reduce_rank
from detr2litert.verify.delegate.adapters import Driver

CANCELLING = torch.cat([torch.full((1, 4, 128), 900.0), torch.full((1, 4, 128), -900.0)], -1)
CANCELLING[:, :, 0] += torch.tensor([1.0, 2.0, 3.0, 4.0])


def layer(outputs: int = 8) -> nn.Linear:
    made = nn.Linear(256, outputs)
    nn.init.constant_(made.weight, 1.0)
    nn.init.constant_(made.bias, 0.5)
    return made


def convolution() -> nn.Conv2d:
    made = nn.Conv2d(256, 4, 3, stride=2, padding=1)
    nn.init.constant_(made.weight, 1.0)
    return made


CASES: dict[str, tuple[nn.Module | Callable[..., Tensor], tuple[Tensor, ...]]] = {
    "linear": (layer(), (CANCELLING,)),
    "convolution": (convolution(), (CANCELLING.transpose(1, 2).reshape(1, 256, 2, 2),)),
    "matmul": (lambda x, y: x @ y, (CANCELLING, torch.ones(1, 256, 8))),
    "sum": (lambda x: x.sum(-1, keepdim=True), (CANCELLING,)),
    "mean": (lambda x: x.mean(-1, keepdim=True), (CANCELLING,)),
}


def protected(
    module: nn.Module | Callable[..., Tensor], *inputs: Tensor, protection: Protection = Protection.MEASURED
) -> tuple[fx.GraphModule, list[Site]]:
    graph_module = traced(module, *inputs)
    measure(graph_module, inputs)
    return graph_module, run_pass(protect_sums, graph_module, Profile(protection=protection))


@pytest.mark.parametrize("name", CASES)
def test_fires_and_is_exact(name: str) -> None:
    module, inputs = CASES[name]
    graph_module, fired = protected(module, *inputs)
    assert [site.detail for site in fired] == ["terms divided by 8"]  # 115200 to below 16376
    assert_same(evaluate(graph_module, *inputs), evaluate(module, *inputs), 1e-6)
    assert run_pass(protect_sums, graph_module, Profile()) == []
    measure(graph_module, inputs)
    assert run_pass(protect_sums, graph_module, Profile()) == []  # the result has headroom


def test_does_not_fire_with_headroom_or_without_ranges() -> None:
    module, (x,) = CASES["linear"]
    assert protected(module, x / 100)[1] == []
    assert protected(module, x, protection=Protection.NONE)[1] == []
    assert run_pass(protect_sums, traced(module, x), Profile()) == []


def test_does_not_fire_where_the_result_does_not_fit_either() -> None:
    assert protected(layer(), CANCELLING.abs())[1] == []


def test_all_uses_the_bound_for_any_order() -> None:
    alternating = torch.tensor([900.0, -900.0]).repeat(128).reshape(1, 1, 256)
    assert protected(layer(), alternating)[1] == []
    assert len(protected(layer(), alternating, protection=Protection.ALL)[1]) == 1


@pytest.mark.gpu
@pytest.mark.parametrize("name", CASES)
def test_delegate(name: str, right_on_delegate: RightOnDelegate) -> None:
    module, inputs = CASES[name]

    @rewrite(options=("protection",))
    def with_ranges(graph_module: fx.GraphModule, protection: Protection) -> Findings:
        measure(graph_module, inputs)
        return protect_sums.run(graph_module, protection)

    passes: list[Rewrite] = [with_ranges]
    right_on_delegate(passes, module, *inputs)


@pytest.mark.gpu
@pytest.mark.parametrize("safe", [False, True])
def test_delegate_in_fp16(fp16_driver: Driver, tmp_path: Path, safe: bool) -> None:
    """A layer over 128 terms of +3000 and 128 of -3000: infinite partial sums, correct with divided weights."""
    module, (x,) = layer(), CASES["linear"][1]
    x = x.sign() * 3000
    x[:, :, 0] += torch.tensor([20000.0, 25000.0, 30000.0, 40000.0])
    graph_module = protected(module, x)[0] if safe else traced(module, x)
    run_pass(reduce_rank, graph_module)
    (found,) = outputs_of(run_on_delegate(graph_module, (x,), fp16_driver, tmp_path, enforce_f32=False))
    (expected,) = evaluate(module, x)
    if safe:
        assert float(((found - expected).abs() / expected.abs()).max()) < 0.05
    else:
        assert not found.isfinite().any()
