"""Lowers layer norm to the delegate's own operator.

Hazard: in primitive operators a norm is five to seven, and overflows fp16 without a protection that adds four more (see
``protect_layer_norm``).

Identity: none; the operator computes the norm, with its sums in fp32.

Given::

    %y = aten.layer_norm(%x, [C], %w, %b, eps)

Result::

    %y = detr2litert.layer_norm(%x, %w, %b, eps)     # ones and zeros where the norm has no weight or bias

Does not fire if the target's profile has primitive norms, on norms over more than the last dimension, or on weights computed at
run time. Tolerance 1e-6. Evidence: probes ``native_layer_norm_*``: 8e-7 in fp32; in fp16, rows of |x| near 4000 with a variance
of a million differ by the rounding of the result only.
"""

from __future__ import annotations

import torch
from torch import fx

from detr2litert.graphs.native_ops import LAYER_NORM
from detr2litert.graphs.toolbox import Emitter, constant_of, replace, value_of
from detr2litert.rewrites.contract import Findings, Miss, Site, fired, missed, rewrite
from detr2litert.rewrites.layer_norm import layer_norms
from detr2litert.rewrites.profile import Norms


@rewrite(options=("norms",), after=("fold_scales", "protect_sums"), before=("protect_layer_norm", "lower_layer_norm"))
def use_layer_norm(graph_module: fx.GraphModule, norms: Norms) -> Findings:
    if norms is not Norms.NATIVE:
        return []
    found: list[Site | Miss] = []
    for norm in layer_norms(graph_module):
        affine = [p for p in (norm.weight, norm.bias) if p is not None]
        if any(constant_of(graph_module, parameter) is None for parameter in affine):
            found.append(missed(norm.node, "its weight or bias is computed at run time"))
            continue
        emit = Emitter(graph_module, norm.node)
        channels = int(value_of(norm.node).shape[-1])
        weight = norm.weight if norm.weight is not None else emit.constant(torch.ones(channels), "ones")
        bias = norm.bias if norm.bias is not None else emit.constant(torch.zeros(channels), "zeros")
        found.append(fired(norm.node, f"layer norm over {channels}, eps {norm.eps:g}"))
        replace(norm.node, emit(LAYER_NORM, norm.x, weight, bias, float(norm.eps)))
    return found
