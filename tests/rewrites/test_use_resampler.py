"""Bilinear sampling by the delegate's own operator."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from passes import RightOnDelegate, count, ops, rewritten, run_pass, traced
from torch import Tensor
from torch.nn import functional as F

from detr2litert.graphs.native_ops import RESAMPLE
from detr2litert.graphs.toolbox import RewriteRefusedError, aten
from detr2litert.rewrites.profile import Profile, Sampling
from detr2litert.rewrites.use_resampler import use_resampler

GENERATOR = torch.Generator().manual_seed(0)
WIDE = torch.randn(2, 4, 6, 8, generator=GENERATOR)
SQUARE = torch.randn(2, 4, 7, 7, generator=GENERATOR)
GRID = torch.rand(2, 5, 3, 2, generator=GENERATOR) * 2.8 - 1.4
"""A quarter of the points outside the image."""
NATIVE = Profile(sampling=Sampling.RESAMPLER)


def sampled(align_corners: bool = False) -> Callable[..., Tensor]:
    return lambda v, g: F.grid_sample(v, g, align_corners=align_corners)


@pytest.mark.parametrize("align_corners", [False, True])
@pytest.mark.parametrize("image", [WIDE, SQUARE], ids=["wide", "square"])
def test_fires(align_corners: bool, image: Tensor) -> None:
    found = rewritten(use_resampler, sampled(align_corners), image, GRID, tolerance=2e-6, sampling=Sampling.RESAMPLER)
    assert count(found, aten.grid_sampler.default) == 0 and count(found, RESAMPLE) == 1


def test_each_sampler_is_replaced() -> None:
    def twice(v: Tensor, g: Tensor) -> Tensor:
        return F.grid_sample(v, g, align_corners=False) + F.grid_sample(v * 2, g * 0.5, align_corners=False)

    found = rewritten(use_resampler, twice, WIDE, GRID, fires=2, tolerance=2e-6, sampling=Sampling.RESAMPLER)
    assert count(found, RESAMPLE) == 2


def test_points_far_outside_are_zero() -> None:
    """As far as an unbounded offset takes them."""
    found = rewritten(use_resampler, sampled(), WIDE, GRID * 1000, tolerance=2e-6, sampling=Sampling.RESAMPLER)
    assert float(found(WIDE, GRID + 1000)[0].abs().max()) == 0


def test_the_corners_and_the_half_pixel() -> None:
    """-1 and 1 are the edges, half a pixel outside the first and the last centre; or these centres, with align_corners."""
    image = torch.arange(1.0, 17).reshape(1, 1, 4, 4)
    corners = torch.tensor([[-1.0, -1], [1, -1], [-1, 1], [1, 1]]).reshape(1, 1, 4, 2)
    for align_corners, expected in ((False, [0.25, 1, 3.25, 4]), (True, [1.0, 4, 13, 16])):
        found = rewritten(use_resampler, sampled(align_corners), image, corners, sampling=Sampling.RESAMPLER, tolerance=1e-6)
        torch.testing.assert_close(found(image, corners)[0].flatten(), torch.tensor(expected), rtol=0, atol=1e-5)


def test_the_scale_of_a_square_image_is_a_number_that_merges_with_others() -> None:
    found = rewritten(use_resampler, sampled(), SQUARE, GRID, tolerance=2e-6, sampling=Sampling.RESAMPLER)
    assert ops(found) == ["mul", "add", "permute", "resample", "permute"]
    numbers = [node.args[1] for node in found.graph.nodes if node.target in (aten.mul.Tensor, aten.add.Tensor)]
    assert numbers == [3.5, 3.0]


@pytest.mark.parametrize("sampling", [Sampling.FOLDED_TENT, Sampling.TENT])
def test_does_not_fire_for_a_target_that_samples_with_a_tent(sampling: Sampling) -> None:
    assert count(rewritten(use_resampler, sampled(), WIDE, GRID, fires=0, sampling=sampling), aten.grid_sampler.default) == 1


def test_does_not_fire_elsewhere() -> None:
    rewritten(
        use_resampler,
        lambda v, g: v.mean((2, 3)) + g.mean((1, 2, 3))[:, None],
        WIDE,
        GRID,
        fires=0,
        sampling=Sampling.RESAMPLER,
    )


@pytest.mark.parametrize(
    ("sample", "reason"),
    [
        (lambda v, g: F.grid_sample(v, g, mode="nearest", align_corners=False), "not bilinear"),
        (lambda v, g: F.grid_sample(v, g, padding_mode="border", align_corners=False), "not bilinear"),
        (lambda v, g: F.grid_sample(v[:, :, None], g[:, None, :, :, [0, 1, 0]], align_corners=False), "a volume"),
    ],
)
def test_refusals(sample: object, reason: str) -> None:
    graph_module = traced(sample, WIDE, GRID)  # type: ignore[arg-type]
    with pytest.raises(RewriteRefusedError) as caught:
        run_pass(use_resampler, graph_module, NATIVE)
    assert caught.value.op == "aten.grid_sampler.default" and caught.value.node == "grid_sampler"
    assert reason in str(caught.value) and caught.value.hint in str(caught.value)


@pytest.mark.gpu
@pytest.mark.parametrize("align_corners", [False, True])
@pytest.mark.parametrize("image", [WIDE, SQUARE], ids=["wide", "square"])
def test_delegate(right_on_delegate: RightOnDelegate, align_corners: bool, image: Tensor) -> None:
    right_on_delegate([use_resampler], sampled(align_corners), image, GRID, profile=NATIVE)
