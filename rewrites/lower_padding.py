"""Write padding as a concatenation with a constant border, and a pool that reads zeros as a maximum or mean of slices.

Hazard: the delegate fuses a pad into the op that reads it and forgets the value: zeros in front of a max-pool become -inf, any
value in front of a convolution becomes zero, and an average pool leaves the border out (W3). It does the same to a
concatenation with zeros. Of rank-three tensors it pads the wrong places (W2), and a border of -inf that no pool reads comes out
as zero (W10).

Identity: padding is joining with a constant, one side of one dimension after the other; a pool is the maximum (mean) over the
places of its window, one dimension after the other.

Given::

    %p = aten.pad(%x, [0, 1, 0, 2], "constant", 0.0)        # [1, 16, 80, 80]
    %y = aten.max_pool2d(%p, [1, 2], [1, 1])

Result::

    %r = aten.cat([%x, zeros[1, 16, 80, 1]], 3)
    %p = aten.cat([%r, zeros[1, 16, 2, 81]], 2)
    %y = aten.maximum(%p[:, :, :, 0:80], %p[:, :, :, 1:81])

Does not fire where four-dimensional zeros are read by convolutions alone: there the delegate's fusion is right, and free.
Refuses a border that depends on the image (reflected, replicated) and one that cuts instead of adding. Exact; a mean up to the
order of summation. Evidence: ``max_pool2d(cat([x, 0]))`` is wrong by 2.4 on the delegate of 2.3.0, with 0.5 for the 0 right.
"""

from __future__ import annotations

from functools import reduce

import torch
from torch import fx

from rewrites.base import (
    Emitter,
    RewriteRefusedError,
    Site,
    argument,
    aten,
    calls,
    is_call,
    module_of,
    pair,
    replace,
    sizes,
    value_of,
)
from rewrites.profile import Profile

_POOLS = {aten.max_pool2d.default: aten.maximum.default, aten.avg_pool2d.default: aten.add.Tensor}
"""A pool, and the op that joins two places of its window."""


def lower_padding(graph_module: fx.GraphModule, profile: Profile) -> list[Site]:
    fired = []
    for node in calls(graph_module, aten.pad.default, aten.constant_pad_nd.default):
        amounts: list[int] = list(node.args[1])  # type: ignore[arg-type]
        value = _border_value(node)
        if min(amounts) < 0:
            raise RewriteRefusedError(node, f"padding by {amounts}", "cut with a slice instead of a negative padding")
        if value == 0 and value_of(node).dim() == 4 and all(is_call(user, aten.conv2d.default) for user in node.users):
            continue
        fired.append(Site(node.name, module_of(node), f"{amounts} of {value:g} around {sizes(value_of(node).shape)}"))
        replacement = _joined(Emitter(graph_module, node, "lower_padding"), node.all_input_nodes[0], amounts, value)
        if value == 0:
            for pool in [user for user in node.users if is_call(user, *_POOLS)]:
                _replace_pool(graph_module, pool, replacement)
        replace(node, replacement)
    return fired


def _border_value(node: fx.Node) -> float:
    by_mode = node.target is aten.pad.default
    mode = argument(node, 2, "mode", "constant") if by_mode else "constant"
    if mode != "constant":
        raise RewriteRefusedError(node, f"a {mode} border", "pad with a constant")
    return float(argument(node, 3 if by_mode else 2, "value", None) or 0.0)


def _joined(emit: Emitter, x: fx.Node, amounts: list[int], value: float) -> fx.Node:
    """``amounts`` are (before, after) of the last dimension first, as ``torch.nn.functional.pad`` takes them."""
    rank = value_of(x).dim()
    for back, (before, after) in enumerate(zip(amounts[::2], amounts[1::2], strict=True), start=1):
        dim = rank - back
        parts = [_border(emit, x, dim, before, value), x, _border(emit, x, dim, after, value)]
        present = [part for part in parts if part is not None]
        x = emit(aten.cat.default, present, dim) if len(present) > 1 else x
    return x


def _border(emit: Emitter, x: fx.Node, dim: int, count: int, value: float) -> fx.Node | None:
    if count == 0:
        return None
    shape = sizes(value_of(x).shape)
    shape[dim] = count
    return emit.constant(torch.full(shape, value), "border")


def _replace_pool(graph_module: fx.GraphModule, pool: fx.Node, padded: fx.Node) -> None:
    kernel = pair(pool.args[1])
    stride = pair(argument(pool, 2, "stride", None) or kernel)
    extents, results = sizes(value_of(padded).shape)[2:], sizes(value_of(pool).shape)[2:]
    reach = [(n - 1) * s + k for n, s, k in zip(results, stride, kernel, strict=True)]
    if any(pair(argument(pool, 3, "padding", 0))) or reach[0] > extents[0] or reach[1] > extents[1]:
        raise RewriteRefusedError(pool, "a pool with a border of its own over a padded image", "pad once, by the whole border")
    emit = Emitter(graph_module, pool, "lower_padding")
    result, joined = padded, _POOLS[pool.target]  # type: ignore[index]
    for dim, k, s, count in zip((2, 3), kernel, stride, results, strict=True):
        places = [emit(aten.slice.Tensor, result, dim, i, i + (count - 1) * s + 1, s) for i in range(k)]
        result = reduce(lambda a, b: emit(joined, a, b), places)
    if pool.target is aten.avg_pool2d.default:
        result = emit(aten.mul.Tensor, result, 1.0 / (kernel[0] * kernel[1]))
    replace(pool, result)
