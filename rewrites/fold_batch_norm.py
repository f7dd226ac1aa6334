"""Folds inference batch norm into the preceding convolution.

Hazard: batch norm decomposes into a tuple-returning op and several elementwise ops on a full feature map, and a convolution
followed by a multiplication by a constant is fused by the delegate in a way that corrupts a second reader (the family of issue
8599).

Identity, with ``s = gamma / sqrt(var + eps)``: ``bn(conv(x, W, b)) = conv(x, s W, s (b - mean) + beta)``.

Given::

    %c = aten.conv2d(%x, %w, None)
    %n = aten._native_batch_norm_legit_no_training(%c, %gamma, %beta, %mean, %var, momentum, eps)
    %y = getitem(%n, 0)

Result::

    %y = aten.conv2d(%x, %w', %b')

If the input is not a convolution with this one reader, the result is ``%x * s + (beta - mean * s)``. Does not fire if a
parameter is computed at run time. Exact up to the rounding of the folded weights (1e-6 relative).
"""

from __future__ import annotations

import operator

import torch
from torch import Tensor, fx

from detr2litert.graphs.toolbox import (
    Emitter,
    argument,
    aten,
    calls,
    constant_of,
    has_constant_parameters,
    is_call,
    only_user,
    replace,
    value_of,
)
from detr2litert.rewrites.contract import Findings, Miss, Site, fired, missed, rewrite


@rewrite(after=("evaluate_constants",))
def fold_batch_norm(graph_module: fx.GraphModule) -> Findings:
    found: list[Site | Miss] = []
    for node in calls(graph_module, aten._native_batch_norm_legit_no_training.default):
        results = [user for user in node.users if user.target is operator.getitem and user.args[1] == 0]
        statistics = [constant_of(graph_module, a) for a in node.args[1:5]]
        if len(results) != 1 or any(s is None and a is not None for s, a in zip(statistics, node.args[1:5], strict=True)):
            found.append(missed(node, "its statistics depend on the image, or more than its first result is read"))
            continue
        x = node.args[0]
        assert isinstance(x, fx.Node)
        scale, shift = _affine(statistics, float(node.args[6]))  # type: ignore[arg-type]
        per_channel = [1, -1] + [1] * (value_of(x).dim() - 2)
        emit = Emitter(graph_module, results[0])
        if is_call(x, aten.conv2d.default) and has_constant_parameters(graph_module, x) and only_user(x) is node:
            weight, old_bias = (constant_of(graph_module, argument(x, i, "", None)) for i in (1, 2))
            assert weight is not None
            bias = shift if old_bias is None else old_bias * scale + shift
            folded = emit.constant(weight * scale.view(-1, 1, 1, 1), "folded_weight")
            y = emit(x.target, x.args[0], folded, emit.constant(bias, "folded_bias"), *x.args[3:], **x.kwargs)
            detail = f"into {x.name}"
        else:
            y = emit(aten.mul.Tensor, x, emit.constant(scale.view(per_channel), "scale"))
            y = emit(aten.add.Tensor, y, emit.constant(shift.view(per_channel), "shift"))
            detail = "to a scale and a shift"
        found.append(fired(node, detail))
        replace(results[0], y)
    return found


def _affine(statistics: list[Tensor | None], eps: float) -> tuple[Tensor, Tensor]:
    gamma, beta, mean, variance = statistics
    assert mean is not None and variance is not None
    scale = torch.rsqrt(variance.double() + eps) * (1 if gamma is None else gamma.double())
    shift = (0 if beta is None else beta.double()) - mean.double() * scale
    return scale.float(), shift.float()
