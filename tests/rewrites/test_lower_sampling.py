"""A sampler that was not folded."""

from __future__ import annotations

import pytest
import torch
from passes import RightOnDelegate, count, rewritten, run_pass, traced
from torch.nn import functional as F

from detr2litert.graphs.toolbox import RewriteRefusedError, aten
from detr2litert.rewrites.lower_sampling import lower_sampling

GENERATOR = torch.Generator().manual_seed(0)
IMAGE = torch.randn(2, 4, 6, 8, generator=GENERATOR)
GRID = torch.rand(2, 5, 3, 2, generator=GENERATOR) * 2.8 - 1.4


@pytest.mark.parametrize("align_corners", [False, True])
def test_fires(align_corners: bool) -> None:
    graph_module = rewritten(
        lower_sampling, lambda v, g: F.grid_sample(v, g, align_corners=align_corners), IMAGE, GRID, tolerance=1e-6
    )
    assert count(graph_module, aten.grid_sampler.default) == 0


def test_does_not_fire_elsewhere() -> None:
    rewritten(lower_sampling, lambda v, g: v.mean((2, 3)) + g.mean((1, 2, 3))[:, None], IMAGE, GRID, fires=0)


@pytest.mark.parametrize(
    ("sample", "reason"),
    [
        (lambda v, g: F.grid_sample(v, g, mode="nearest", align_corners=False), "not bilinear"),
        (lambda v, g: F.grid_sample(v, g, padding_mode="border", align_corners=False), "not bilinear"),
        (lambda v, g: F.grid_sample(v[:, :, None], g[:, None, :, :, [0, 1, 0]], align_corners=False), "a volume"),
    ],
)
def test_refusals(sample: object, reason: str) -> None:
    graph_module = traced(sample, IMAGE, GRID)  # type: ignore[arg-type]
    with pytest.raises(RewriteRefusedError) as caught:
        run_pass(lower_sampling, graph_module)
    assert caught.value.op == "aten.grid_sampler.default" and caught.value.node == "grid_sampler"
    assert reason in str(caught.value) and caught.value.hint in str(caught.value) and caught.value.shape in str(caught.value)


@pytest.mark.gpu
def test_delegate(right_on_delegate: RightOnDelegate) -> None:
    right_on_delegate([lower_sampling], lambda v, g: F.grid_sample(v, g, align_corners=False), IMAGE, GRID)
