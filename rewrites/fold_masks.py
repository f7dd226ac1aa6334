"""Removes masks that mask nothing, and replaces infinite fills with large finite ones.

Hazard: padding masks and proposal-validity masks become SELECT_V2 with a broadcast branch, which the delegate refuses, and a
fill of -inf becomes NaN in fp16 arithmetic.

Identity: ``masked_fill(x, M, v) = x`` where the constant ``M`` is False everywhere; ``= v`` where it is True everywhere;
otherwise ``= x * keep + fill`` with ``keep = 1 - M`` and ``fill = M * v``. ``where(M, x, v)`` and ``where(M, v, x)`` likewise.

Given::

    %y = aten.masked_fill(%x, %mask, -inf)

Result (mixed mask)::

    %k = aten.mul(%x, %keep)
    %y = aten.add(%k, %fill)

Does not fire when the mask or the fill depends on the image, nor on integers. Exact for masks of one value and for finite fills
of finite values; ``v`` is clamped to ± the profile's ``constant_limit``, which preserves every comparison as long as the scores
stay inside it.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, fx

from detr2litert.graphs.toolbox import (
    Emitter,
    aten,
    calls,
    constant_of,
    replace,
    sizes,
    value_of,
)
from detr2litert.rewrites.contract import Findings, Miss, Site, fired, missed, rewrite

_FILLS = (aten.masked_fill.Scalar, aten.masked_fill.Tensor)
_CHOICES = (aten.where.self, aten.where.ScalarOther, aten.where.ScalarSelf)


@rewrite(options=("constant_limit",), after=("evaluate_constants",))
def fold_masks(graph_module: fx.GraphModule, constant_limit: float) -> Findings:
    found: list[Site | Miss] = []
    for node in calls(graph_module, *_FILLS, *_CHOICES):
        parts = _parts(graph_module, node)
        if parts is None or not value_of(node).is_floating_point():
            found.append(missed(node, "its mask or its fill depends on the image, or it fills integers"))
            continue
        x, mask, fill = parts
        fill = fill.to(value_of(node).dtype).clamp(-constant_limit, constant_limit)
        shape = sizes(value_of(node).shape)
        emit = Emitter(graph_module, node)
        if not mask.any():
            result = x if sizes(value_of(x).shape) == shape else emit(aten.expand.default, x, shape)
            detail = "mask is False everywhere"
        elif mask.all():
            result, detail = emit.constant(fill.expand(shape)), "mask is True everywhere"
        else:
            masked = emit(aten.mul.Tensor, x, emit.constant((~mask).to(fill.dtype), "keep"))
            filled = mask * fill
            result = emit(aten.add.Tensor, masked, emit.constant(filled, "fill")) if filled.any() else masked
            detail = f"{int(mask.sum())} of {mask.numel()} elements filled"
        found.append(fired(node, detail))
        replace(node, result)
    return found


def _parts(graph_module: fx.GraphModule, node: fx.Node) -> tuple[fx.Node, Tensor, Tensor] | None:
    """Returns the masked tensor, the mask, and the fill for where the mask is True; None unless mask and fill are constants."""
    if node.target in _FILLS:
        x, condition, fill = node.args
        mask = constant_of(graph_module, condition)
        pairs = [(x, fill, mask)]
    else:
        condition, if_true, if_false = node.args
        mask = constant_of(graph_module, condition)
        pairs = [] if mask is None else [(if_false, if_true, mask), (if_true, if_false, ~mask)]
    for masked, fill, where in pairs:
        value = _constant(graph_module, fill)
        if (
            isinstance(masked, fx.Node)
            and where is not None
            and value is not None
            and constant_of(graph_module, masked) is None
        ):
            return masked, where, value
    return None


def _constant(graph_module: fx.GraphModule, fill: Any) -> Tensor | None:
    return torch.tensor(float(fill)) if isinstance(fill, int | float) else constant_of(graph_module, fill)
