"""Lowers group norm to means over the map, and convolutions that average the channels of a group.

Hazard: the converter splits the channels into groups with a reshape to rank five and spreads the weights with BROADCAST_TO;
the delegate refuses both.

Identity: all channels have the same number of cells, so that the mean of a group is the mean of its channels' means. With ``P``
the matrix that averages the k channels of each group, ``P[c, c'] = 1 / k`` if c and c' are of one group::

    mean(x) = P @ mean_hw(x);  d = x - mean(x);  var(x) = P @ mean_hw(d * d)

Given::

    %y = aten.group_norm(%x, 32, %w, %b, eps)                   # [1, 256, 80, 80]

Result::

    %d = %x - conv2d(mean(%x, [2, 3]), P)                       # P as a kernel [256, 256, 1, 1]
    %r = rsqrt(conv2d(mean(%d * %d, [2, 3]), P) + eps)          # [1, 256, 1, 1]
    %y = %d * (%r * %w) + %b

Every tensor keeps its channels in their dimension: no reshape, no transpose. The rank stays four, and what is multiplied with
the map is one value a channel. ``protect_sums`` scales the two means down where their sums would overflow fp16.

Refuses other ranks than four. Tolerance 1e-5 in float32. Evidence: the probe ``emitted_group_norm`` (the converter's form, on
the delegate: "BROADCAST_TO: Operation is not supported").
"""

from __future__ import annotations

import torch
from torch import fx

from detr2litert.graphs.toolbox import (
    Emitter,
    RewriteRefusedError,
    argument,
    aten,
    calls,
    replace,
    sizes,
    value_of,
)
from detr2litert.rewrites.contract import Findings, Miss, Site, fired, rewrite


@rewrite(before=("protect_sums",))
def lower_group_norm(graph_module: fx.GraphModule) -> Findings:
    found: list[Site | Miss] = []
    for node in calls(graph_module, aten.group_norm.default):
        x, groups = node.args[:2]
        shape = sizes(value_of(x).shape)  # type: ignore[arg-type]
        if len(shape) != 4:
            raise RewriteRefusedError(node, f"a group norm of rank {len(shape)}", "give it a map [1, C, H, W]")
        channels, eps = shape[1], argument(node, 4, "eps", 1e-5)
        emit = Emitter(graph_module, node)
        average = emit.constant(_average(channels, int(groups)), "group_average")  # type: ignore[arg-type]

        def mean(values: fx.Node, emit: Emitter = emit, average: fx.Node = average) -> fx.Node:
            return emit(aten.conv2d.default, emit(aten.mean.dim, values, [2, 3], True), average)

        centred = emit(aten.sub.Tensor, x, mean(x))  # type: ignore[arg-type]
        variance = mean(emit(aten.mul.Tensor, centred, centred))
        factor = emit(aten.rsqrt.default, emit(aten.add.Tensor, variance, eps))
        weight, bias = (argument(node, place, name, None) for place, name in ((2, "weight"), (3, "bias")))
        per_channel = [1, channels, 1, 1]
        if weight is not None:
            factor = emit(aten.mul.Tensor, factor, emit(aten.reshape.default, weight, per_channel))
        result = emit(aten.mul.Tensor, centred, factor)
        if bias is not None:
            result = emit(aten.add.Tensor, result, emit(aten.reshape.default, bias, per_channel))
        found.append(fired(node, f"{channels} channels in {groups} groups, eps {eps:g}"))
        replace(node, result)
    return found


def _average(channels: int, groups: int) -> torch.Tensor:
    """Returns the kernel ``[C, C, 1, 1]`` that averages the channels of each group."""
    own = torch.arange(channels) // (channels // groups)
    return (own[:, None] == own[None, :]).float()[..., None, None] / (channels // groups)
