"""Scales down the terms of a sum whose partial sums would overflow fp16.

Hazard: phone GPUs accumulate in fp16. Partial sums of a sum, a matmul or a convolution may exceed 65504 before terms cancel:
the result is infinite, although it would fit.

Identity, for a power of two ``s``: ``sum(x) = s * sum(x / s)``, and ``x @ w = s * (x @ (w / s))``. Division by a power of two
is exact for a result above fp16's smallest normal number, 6.1e-5; below it the error is at most 3e-8, and so ``s * 3e-8`` for a
weight.

Given::

    %y = aten.linear(%x, %w, %b)

Result, with the smallest ``s`` that leaves two powers of two of headroom::

    %p = aten.linear(%x, %w / s)
    %h = max(%p, -65504)
    %y = %h * s + %b

The maximum changes no fp16 number. It prevents a fusion: the delegate folds a scale that follows a layer into the layer's
weights, which would undo the division (measured: infinite without it).

Fires if the range analysis measured a partial sum without that headroom (or, if the profile protects all, if some order of the
terms could reach it). Does not fire if the profile protects none, if nothing was measured, or if the result itself does not fit
fp16, which no form of the sum can fix. Exact in float32.
Evidence: on the delegate in fp16, a fully connected layer over 128 terms of +900 and 128 of -900 accumulates in fp16 (65 for a
true 1), and a sum of 4096 hundreds is infinite while their mean is correct.
"""

from __future__ import annotations

import math

from torch import fx

from detr2litert.graphs.delegate import LARGEST, MIN_HEADROOM
from detr2litert.graphs.toolbox import Emitter, argument, aten, calls, constant_of, replace
from detr2litert.rewrites.contract import Findings, Miss, Site, fired, missed, rewrite
from detr2litert.rewrites.profile import Protection
from detr2litert.rewrites.ranges import range_of

_NEAR = 8.0
_LAYERS = (aten.linear.default, aten.conv2d.default)
_PRODUCTS = (aten.matmul.default, aten.bmm.default, aten.mm.default)
_SUMS = (aten.sum.default, aten.sum.dim_IntList, aten.mean.default, aten.mean.dim)


@rewrite(options=("protection",), after=("centre_coordinates", "fold_scales"))
def protect_sums(graph_module: fx.GraphModule, protection: Protection) -> Findings:
    if protection is Protection.NONE:
        return []
    found: list[Site | Miss] = []
    for node in calls(graph_module, *_LAYERS, *_PRODUCTS, *_SUMS):
        scale = _scale(node, protection)
        if scale == 1:
            found.extend(_near(node))
            continue
        emit = Emitter(graph_module, node)
        result = _layer(emit, node, scale) if node.target in _LAYERS else _operand(emit, node, scale)
        found.append(fired(node, f"terms divided by {scale:g}"))
        replace(node, result)
    return found


def _near(node: fx.Node) -> list[Miss]:
    """Records a miss for a sum within ``_NEAR`` powers of two of fp16's largest number."""
    values = range_of(node)
    if values is None or values.sums is None or values.headroom > _NEAR:
        return []
    return [
        missed(node, f"its sums have a headroom of 2^{values.headroom:.1f} in fp16, of which 2^{MIN_HEADROOM:g} are required")
    ]


def _scale(node: fx.Node, protection: Protection) -> float:
    """Returns the power of two to divide by; 1 if there is enough headroom, or if it would not help."""
    values = range_of(node)
    if values is None or values.sums is None or values.largest > LARGEST:
        return 1.0
    peak = values.sums.bound if protection is Protection.ALL else values.sums.measured
    if not 0 < peak < math.inf:
        return 1.0
    return float(2.0 ** max(0, math.ceil(math.log2(peak / LARGEST) + MIN_HEADROOM)))


def _layer(emit: Emitter, node: fx.Node, scale: float) -> fx.Node:
    """Emits a linear layer or convolution with divided weights, the scale, and then the bias."""
    x, weight, bias = node.args[0], node.args[1], argument(node, 2, "bias", None)
    value = constant_of(emit.graph_module, weight)
    smaller = emit.constant(value / scale, "weight") if value is not None else emit(aten.mul.Tensor, weight, 1 / scale)
    rest = node.args[3:]
    layer = emit(node.target, x, smaller, None, *rest) if rest else emit(node.target, x, smaller)
    isolated = emit(aten.clamp_min.default, layer, -LARGEST)
    result = emit(aten.mul.Tensor, isolated, scale)
    if bias is None:
        return result
    if node.target is aten.conv2d.default:
        bias = emit(aten.reshape.default, bias, [1, -1, 1, 1])
    return emit(aten.add.Tensor, result, bias)


def _operand(emit: Emitter, node: fx.Node, scale: float) -> fx.Node:
    """Emits a product or a reduction with its first operand divided, and the scale."""
    smaller = emit(aten.mul.Tensor, node.args[0], 1 / scale)
    return emit(aten.mul.Tensor, emit(node.target, smaller, *node.args[1:], **node.kwargs), scale)
