"""Lowers scaled dot-product attention to matmul, softmax and matmul.

Hazard: the fused op has no counterpart in TFLite; how the converter expands it, and whether a constant mask is then added to a
tensor of another rank (the lint's ``constant-low-rank``), is not under our control.

Identity: ``softmax(q k' * scale + mask) v``, with the scale applied to ``q``, where ``fold_scales`` can fold it into a linear
layer.

Given::

    %y = aten.scaled_dot_product_attention(%q, %k, %v, scale=0.125)

Result::

    %s = aten.mul(%q, 0.125)
    %t = aten.transpose(%k, -1, -2)
    %a = aten.matmul(%s, %t)
    %p = aten.softmax(%a, -1)
    %y = aten.matmul(%p, %v)

A constant boolean mask, True where a key may be read, becomes one of zeros and ``-constant_limit``. Refuses dropout, causal
masks, grouped queries and a boolean mask that depends on the image. Exact up to the rounding of the scale (1e-6 relative), and
up to ``exp(-constant_limit)`` where keys are masked.
"""

from __future__ import annotations

from torch import fx

from detr2litert.graphs.toolbox import (
    Emitter,
    RewriteRefusedError,
    argument,
    aten,
    calls,
    constant_of,
    replace,
    value_of,
)
from detr2litert.rewrites.contract import Findings, Miss, Site, fired, rewrite


@rewrite(options=("constant_limit",))
def lower_attention(graph_module: fx.GraphModule, constant_limit: float) -> Findings:
    found: list[Site | Miss] = []
    for node in calls(graph_module, aten.scaled_dot_product_attention.default):
        q, k, v = node.args[:3]
        assert isinstance(q, fx.Node)
        if argument(node, 4, "dropout_p", 0.0) or argument(node, 5, "is_causal", False) or node.kwargs.get("enable_gqa", False):
            raise RewriteRefusedError(
                node, "dropout, a causal mask or grouped queries", "export the model in eval mode with a plain mask"
            )
        scale = node.kwargs.get("scale")
        scale = float(value_of(q).shape[-1]) ** -0.5 if scale is None else scale
        emit = Emitter(graph_module, node)
        scores = emit(aten.matmul.default, emit(aten.mul.Tensor, q, scale), emit(aten.transpose.int, k, -1, -2))
        mask = argument(node, 3, "attn_mask", None)
        if mask is not None:
            scores = emit(aten.add.Tensor, scores, _additive(graph_module, node, mask, emit, constant_limit))
        found.append(fired(node, f"attention {list(value_of(node).shape)}"))
        replace(node, emit(aten.matmul.default, emit(aten.softmax.int, scores, -1), v))
    return found


def _additive(graph_module: fx.GraphModule, node: fx.Node, mask: fx.Node, emit: Emitter, limit: float) -> fx.Node:
    """Returns the mask as a term to add to the scores."""
    if value_of(mask).is_floating_point():
        return mask
    allowed = constant_of(graph_module, mask)
    if allowed is None:
        raise RewriteRefusedError(node, "a boolean mask that depends on the image", "use a float mask")
    return emit.constant((~allowed).float() * -limit, "mask")
