"""Batched matmuls beyond the delegate's texture limit."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from passes import RightOnDelegate, assert_same, count, rewritten, run_on_delegate, run_pass, traced
from torch import Tensor

from detr2litert.graphs.toolbox import RewriteRefusedError, aten
from detr2litert.rewrites.profile import Profile
from detr2litert.rewrites.reduce_rank import reduce_rank
from detr2litert.rewrites.split_matmul import split_matmul
from detr2litert.verify.delegate.adapters import Driver

GENERATOR = torch.Generator().manual_seed(0)


def pair(*shapes: tuple[int, ...]) -> tuple[Tensor, ...]:
    return tuple(torch.randn(shape, generator=GENERATOR) for shape in shapes)


@pytest.mark.parametrize(
    ("shapes", "limit", "products"),
    [
        (((6, 3, 8), (6, 8, 5)), 6, 2),
        (((6, 3, 9), (6, 9, 5)), 12, 2),  # ceil(9 / 4) = 3
        (((6, 3, 10), (6, 10, 5)), 6, 3),
        (((2, 3, 3, 8), (2, 3, 8, 5)), 6, 2),  # two batch dimensions
        (((6, 3, 8), (8, 5)), 6, 2),  # a batch that is broadcast will be repeated
        (((3, 8), (6, 8, 5)), 6, 2),
        (((3, 40), (40, 5)), 4, 3),
    ],
)
def test_fires(shapes: tuple[tuple[int, ...], ...], limit: int, products: int) -> None:
    graph_module = rewritten(split_matmul, torch.matmul, *pair(*shapes), tolerance=1e-6, matmul_limit=limit)
    assert count(graph_module, aten.matmul.default) == products


@pytest.mark.parametrize("product", [torch.bmm, torch.matmul])
def test_no_part_is_beyond_the_limit(product: object) -> None:
    graph_module = rewritten(split_matmul, product, *pair((7, 2, 50), (7, 50, 3)), tolerance=1e-6, matmul_limit=28)  # type: ignore[arg-type]
    for node in graph_module.graph.nodes:
        if node.target is aten.matmul.default:
            batch, depth, _ = node.args[1].meta["val"].shape
            assert batch * -(-depth // 4) <= 28


def test_does_not_fire_within_the_limit() -> None:
    rewritten(split_matmul, torch.matmul, *pair((4, 3, 8), (4, 8, 5)), fires=0, matmul_limit=8)


def test_does_not_fire_on_a_constant_matrix_or_a_vector() -> None:
    (weight,) = pair((40, 5))
    x = pair((6, 3, 40))
    rewritten(split_matmul, lambda x: torch.matmul(x, weight * 1), *x, fires=0, matmul_limit=1000)
    rewritten(split_matmul, lambda x: torch.matmul(x, x[0, 0]), *x, fires=0, matmul_limit=4)
    graph_module = traced(torch.nn.Bilinear(2, 2, 2), *pair((1, 2), (1, 2)))
    assert run_pass(split_matmul, graph_module) == []


def test_refuses_a_batch_beyond_the_limit() -> None:
    with pytest.raises(RewriteRefusedError, match="a product of 6 matrices"):
        run_pass(split_matmul, traced(torch.matmul, *pair((6, 3, 8), (6, 8, 5))), Profile(matmul_limit=5))


@pytest.mark.gpu
def test_delegate(right_on_delegate: RightOnDelegate, driver: Driver, tmp_path: Path) -> None:
    """8 * ceil(4097 / 4) = 8200: accepted and wrong unsplit, correct in parts."""
    inputs = pair((8, 2, 4097), (8, 4097, 32))
    plain = traced(torch.matmul, *inputs)
    run_pass(reduce_rank, plain)
    run = run_on_delegate(plain, inputs, driver, tmp_path)
    assert run.ok and any("Texture size" in line for line in run.error_lines)
    with pytest.raises(AssertionError):
        assert_same((torch.from_numpy(run.outputs[0]["out_0"]),), (torch.matmul(*inputs),), 0.1)
    right_on_delegate([split_matmul], torch.matmul, *inputs)


@pytest.mark.gpu
def test_delegate_is_correct_at_the_limit(right_on_delegate: RightOnDelegate) -> None:
    right_on_delegate([split_matmul], lambda a, b: torch.matmul(a, b), *pair((8, 2, 4096), (8, 4096, 32)))
