"""Scale down what is added up where the sum would pass fp16 on the way.

Hazard: phones accumulate in fp16. Terms of a sum, a matmul or a convolution may pass 65504 before they cancel: infinity,
although the result would fit.

Identity, for a power of two ``s``: ``sum(x) = s * sum(x / s)``, and ``x @ w = s * (x @ (w / s))``. Division by a power of two
changes no digit of a number that stays above fp16's smallest normal one, 6.1e-5; what falls below it is off by 3e-8 at most,
and so a weight by ``s * 3e-8``.

Given::

    %y = aten.linear(%x, %w, %b)

Result, with the smallest ``s`` that leaves two powers of two of room::

    %p = aten.linear(%x, %w / s)
    %h = max(%p, -65504)
    %y = %h * s + %b

The maximum changes nothing that fp16 holds. It keeps the product apart: the delegate multiplies a scale that follows a layer
into the layer's weights, which would undo the division (measured: infinite without it).

Fires where the range analysis measured a partial sum without that room (or, where the profile protects all, where some order
of the terms would reach it). Does not fire where the profile protects none, where nothing was measured, nor where the result
itself does not fit fp16: no form of the sum would help there. Exact in float32.
Evidence: on the delegate in fp16, a fully connected layer over 128 terms of +900 and 128 of -900 accumulates in fp16 (65 for a
true 1), and a sum of 4096 hundreds is infinite where the mean of the same is right.
"""

from __future__ import annotations

import math

from torch import fx

from detr2litert.graphs.delegate import LARGEST, SPARE
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
    """Why a sum within ``_NEAR`` powers of two of fp16's largest number is left as it is."""
    values = range_of(node)
    if values is None or values.sums is None or values.headroom > _NEAR:
        return []
    return [
        missed(node, f"its sums stay 2^{values.headroom:.1f} below fp16's largest number, of which 2^{SPARE:g} must be left")
    ]


def _scale(node: fx.Node, protection: Protection) -> float:
    """The power of two to divide by; 1 where there is room, or where it would not help."""
    values = range_of(node)
    if values is None or values.sums is None or values.largest > LARGEST:
        return 1.0
    peak = values.sums.bound if protection is Protection.ALL else values.sums.measured
    if not 0 < peak < math.inf:
        return 1.0
    return float(2.0 ** max(0, math.ceil(math.log2(peak / LARGEST) + SPARE)))


def _layer(emit: Emitter, node: fx.Node, scale: float) -> fx.Node:
    """A linear layer or convolution whose weights carry the division; its bias joins after the scale is taken back."""
    x, weight, bias = node.args[0], node.args[1], argument(node, 2, "bias", None)
    value = constant_of(emit.graph_module, weight)
    smaller = emit.constant(value / scale, "weight") if value is not None else emit(aten.mul.Tensor, weight, 1 / scale)
    rest = node.args[3:]
    layer = emit(node.target, x, smaller, None, *rest) if rest else emit(node.target, x, smaller)
    held = emit(aten.clamp_min.default, layer, -LARGEST)
    result = emit(aten.mul.Tensor, held, scale)
    if bias is None:
        return result
    if node.target is aten.conv2d.default:
        bias = emit(aten.reshape.default, bias, [1, -1, 1, 1])
    return emit(aten.add.Tensor, result, bias)


def _operand(emit: Emitter, node: fx.Node, scale: float) -> fx.Node:
    """A product or a reduction with its first operand divided."""
    smaller = emit(aten.mul.Tensor, node.args[0], 1 / scale)
    return emit(aten.mul.Tensor, emit(node.target, smaller, *node.args[1:], **node.kwargs), scale)
