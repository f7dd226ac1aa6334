"""Remove masks that mask nothing, and turn infinite fills into large finite ones.

Hazard: padding masks and proposal-validity masks become SELECT_V2 with a broadcast branch, which the delegate refuses, and a
fill of -inf is not a number that survives fp16 arithmetic.

Identity: ``masked_fill(x, M, v) = x`` where the constant ``M`` is False everywhere; ``= full(v)`` where it is True
everywhere; otherwise ``= x * keep + fill`` with ``keep = 1 - M`` and ``fill = M * v``. ``where`` likewise.

Given::

    %y = aten.masked_fill(%x, %mask, -inf)

Result (mixed mask)::

    %k = aten.mul(%x, %keep)
    %y = aten.add(%k, %fill)

Does not fire when the mask depends on the image. Exact for masks of one value and for finite fills; ``v`` is held to ± the
profile's ``constant_limit``, which preserves every comparison as long as the scores stay inside it.
"""

from __future__ import annotations

import torch
from torch import fx

from rewrites.base import Emitter, Site, aten, calls, constant_of, module_of, remove_dead_code, replace, sizes, value_of
from rewrites.profile import Profile


def fold_masks(graph_module: fx.GraphModule, profile: Profile) -> list[Site]:
    fired = []
    for node in calls(graph_module, aten.masked_fill.Scalar, aten.masked_fill.Tensor):
        x, mask_node, fill = node.args
        mask = constant_of(graph_module, mask_node)
        fill_tensor = constant_of(graph_module, fill)
        if mask is None or not isinstance(x, fx.Node) or (isinstance(fill, fx.Node) and fill_tensor is None):
            continue
        number = float(fill_tensor) if fill_tensor is not None else float(fill)  # type: ignore[arg-type]
        number = max(-profile.constant_limit, min(profile.constant_limit, number))
        emit = Emitter(graph_module, node, "fold_masks")
        if not mask.any():
            result, detail = x, "mask is False everywhere"
        elif mask.all():
            result, detail = emit.constant(torch.full(sizes(value_of(node).shape), number)), "mask is True everywhere"
        else:
            keep = emit.constant((~mask).float(), "keep")
            kept = emit(aten.mul.Tensor, x, keep)
            result = kept if number == 0 else emit(aten.add.Tensor, kept, emit.constant(mask.float() * number, "fill"))
            detail = f"{int(mask.sum())} of {mask.numel()} places filled with {number:g}"
        fired.append(Site(node.name, module_of(node), detail))
        replace(node, result)
    remove_dead_code(graph_module)
    return fired
