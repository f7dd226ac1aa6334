"""Lowers bilinear sampling to the delegate's own operator.

Hazard: none in what is computed; the tent (see ``lower_sampling``) costs a product with an interpolation matrix that is mostly
zeros, and six operators per level to compute that matrix.

Identity: the operator samples at points in pixels, with zeros outside. PyTorch's grid_sample defines them as
``((g + 1) * size - 1) / 2``, or ``(g + 1) / 2 * (size - 1)`` with align_corners.

Given::

    %y = aten.grid_sampler(%v, %g, bilinear, zeros, align_corners)   # [B, C, Q, P]

Result::

    %p = %g * size / 2 + (size - 1) / 2                               # [B, Q, P, 2]
    %s = detr2litert.resample(aten.permute(%v, [0, 2, 3, 1]), %p)     # [B, Q, P, C]
    %y = aten.permute(%s, [0, 3, 1, 2])

Does not fire if the target's profile samples with a tent. Refuses other interpolation and padding modes. Exact up to rounding
(1e-6 relative). Evidence: probes ``resampler_*``; a decoder of three layers over three levels of 80, 40 and 20 columns: half of
the time of the folded tent on an NVIDIA H100. Points count from the corner, so that fp16 knows them less precisely than the
tent's, which count from the centre: the fp16 gate decides.
"""

from __future__ import annotations

import torch
from torch import fx

from detr2litert.graphs.native_ops import RESAMPLE
from detr2litert.graphs.toolbox import Emitter, aten, calls, replace, value_of
from detr2litert.rewrites.contract import Findings, Miss, Site, fired, rewrite
from detr2litert.rewrites.profile import Sampling
from detr2litert.rewrites.sampling import check_mode


@rewrite(options=("sampling",))
def use_resampler(graph_module: fx.GraphModule, sampling: Sampling) -> Findings:
    if sampling is not Sampling.RESAMPLER:
        return []
    found: list[Site | Miss] = []
    for node in calls(graph_module, aten.grid_sampler.default):
        check_mode(node)
        image, grid, align_corners = node.args[0], node.args[1], bool(node.args[4])
        assert isinstance(image, fx.Node)
        height, width = (int(s) for s in value_of(image).shape[-2:])
        emit = Emitter(graph_module, node)
        points = _pixels(emit, grid, (width, height), align_corners)
        sampled = emit(RESAMPLE, emit(aten.permute.default, image, [0, 2, 3, 1]), points)
        _, _, queries, count = value_of(node).shape
        found.append(fired(node, f"{queries} x {count} points on {height}x{width}"))
        replace(node, emit(aten.permute.default, sampled, [0, 3, 1, 2]))
    return found


def _pixels(emit: Emitter, grid: object, size: tuple[int, int], align_corners: bool) -> fx.Node:
    """Emits points in pixels: the scale is a number where the image is square, so that it merges with others."""
    scale = [(s - 1) / 2 if align_corners else s / 2 for s in size]
    shift = [(s - 1) / 2 for s in size]
    if size[0] == size[1]:
        return emit(aten.add.Tensor, emit(aten.mul.Tensor, grid, scale[0]), shift[0])
    scaled = emit(aten.mul.Tensor, grid, emit.constant(torch.tensor(scale), "pixels"))
    return emit(aten.add.Tensor, scaled, emit.constant(torch.tensor(shift), "corner"))
