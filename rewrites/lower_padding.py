"""Lowers padding to forms that the delegate does not fuse into a pool.

Hazard: the delegate fuses a pad into the op that reads it and loses the value: zeros before a max-pool become -inf, any value
before a convolution becomes zero, and an average pool does not count the padding, its own included (the lint's
``pad-into-pool``). It does the same to a concatenation with zeros. It pads rank-three tensors at the wrong positions
(``pad-rank-3``), and padding of -inf that no pool reads becomes zero (``pad-infinite``).

Identity: padding is concatenation with a constant, for each side of each dimension. A max-pool is the maximum over the
positions of its window, one dimension after the other; an average pool is a depthwise convolution with equal weights.

Given::

    %p = aten.pad(%x, [0, 1, 0, 2], "constant", 0.0)        # [1, 16, 80, 80]
    %y = aten.max_pool2d(%p, [1, 2], [1, 1])
    %z = aten.avg_pool2d(%x, [3, 3], [2, 2], [1, 1])

Result::

    %r = aten.cat([%x, zeros[1, 16, 80, 1]], 3)
    %p = aten.cat([%r, zeros[1, 16, 2, 81]], 2)
    %y = aten.maximum(%p[:, :, :, 0:80], %p[:, :, :, 1:81])
    %z = aten.conv2d(%x, ninths[16, 1, 3, 3], None, [2, 2], [1, 1], [1, 1], 16)

Does not fire on four-dimensional zero padding that only convolutions read: there the delegate's fusion is correct, and free.
Nor on a max-pool's own padding, which is -inf and correct, or on an average pool without padding. Refuses padding that depends
on the image (reflect, replicate), negative padding, a mean that does not count the padding, and a pool over an image without a
batch. Exact; a mean up to the order of summation, and infinite padding becomes the profile's ``constant_limit``.
Evidence: ``max_pool2d(cat([x, 0]))`` has an error of 2.4 on the delegate of 2.3.0, and none with 0.5 for the 0; ``avg_pool2d(x,
3, 2, 1)`` has an error of 0.98 in a whole graph.
"""

from __future__ import annotations

from functools import reduce

import torch
from torch import fx

from detr2litert.graphs.toolbox import (
    Emitter,
    RewriteRefusedError,
    argument,
    aten,
    calls,
    is_call,
    pair,
    replace,
    shape_text,
    sizes,
    value_of,
)
from detr2litert.rewrites.contract import Findings, Miss, Site, fired, missed, rewrite

_PADS = (aten.pad.default, aten.constant_pad_nd.default)


@rewrite(options=("constant_limit",))
def lower_padding(graph_module: fx.GraphModule, constant_limit: float) -> Findings:
    found: list[Site | Miss] = []
    for pool in calls(graph_module, aten.avg_pool2d.default):
        if any(pair(argument(pool, 3, "padding", 0))) or is_call(pool.args[0], *_PADS):
            found.append(fired(pool, f"an average with padding, {shape_text(pool)}"))
            _replace_average(graph_module, pool)
    for node in calls(graph_module, *_PADS):
        amounts: list[int] = list(node.args[1])  # type: ignore[arg-type]
        value = max(-constant_limit, min(constant_limit, _padding_value(node)))
        if min(amounts) < 0:
            raise RewriteRefusedError(node, f"padding by {amounts}", "cut with a slice instead of a negative padding")
        if value == 0 and value_of(node).dim() == 4 and all(is_call(user, aten.conv2d.default) for user in node.users):
            found.append(missed(node, "only convolutions read it, into which the delegate fuses it"))
            continue
        found.append(fired(node, f"{amounts} of {value:g} around {sizes(value_of(node).shape)}"))
        replacement = _joined(Emitter(graph_module, node), node.all_input_nodes[0], amounts, value)
        if value == 0:
            for pool in [user for user in node.users if is_call(user, aten.max_pool2d.default)]:
                _replace_maximum(graph_module, pool, replacement)
        replace(node, replacement)
    return found


def _padding_value(node: fx.Node) -> float:
    by_mode = node.target is aten.pad.default
    mode = argument(node, 2, "mode", "constant") if by_mode else "constant"
    if mode != "constant":
        raise RewriteRefusedError(node, f"{mode} padding", "pad with a constant")
    return float(argument(node, 3 if by_mode else 2, "value", None) or 0.0)


def _joined(emit: Emitter, x: fx.Node, amounts: list[int], value: float) -> fx.Node:
    """Emits the concatenations; ``amounts`` are (before, after), last dimension first, as in ``torch.nn.functional.pad``."""
    rank = value_of(x).dim()
    for back, (before, after) in enumerate(zip(amounts[::2], amounts[1::2], strict=True), start=1):
        dim = rank - back
        parts = [_constant_block(emit, x, dim, before, value), x, _constant_block(emit, x, dim, after, value)]
        present = [part for part in parts if part is not None]
        x = emit(aten.cat.default, present, dim) if len(present) > 1 else x
    return x


def _constant_block(emit: Emitter, x: fx.Node, dim: int, count: int, value: float) -> fx.Node | None:
    if count == 0:
        return None
    shape = sizes(value_of(x).shape)
    shape[dim] = count
    return emit.constant(torch.full(shape, value, dtype=value_of(x).dtype), "border")


def _check_batched(pool: fx.Node) -> None:
    if value_of(pool).dim() != 4:
        raise RewriteRefusedError(pool, f"a pool of {shape_text(pool)}", "give the image a batch of one")


def _replace_maximum(graph_module: fx.GraphModule, pool: fx.Node, padded: fx.Node) -> None:
    _check_batched(pool)
    kernel = pair(pool.args[1])
    stride, dilation = pair(argument(pool, 2, "stride", None) or kernel), pair(argument(pool, 4, "dilation", 1))
    extents, results = sizes(value_of(padded).shape)[2:], sizes(value_of(pool).shape)[2:]
    reach = [(n - 1) * s + (k - 1) * d + 1 for n, s, k, d in zip(results, stride, kernel, dilation, strict=True)]
    if any(pair(argument(pool, 3, "padding", 0))):
        raise RewriteRefusedError(pool, "a pool with its own padding over a padded image", "pad once, by the sum of both")
    if reach[0] > extents[0] or reach[1] > extents[1]:
        raise RewriteRefusedError(pool, "windows that extend beyond the padding", "choose a size that the stride divides")
    emit = Emitter(graph_module, pool)
    result = padded
    for dim, k, s, d, count in zip((2, 3), kernel, stride, dilation, results, strict=True):
        places = [emit(aten.slice.Tensor, result, dim, i * d, i * d + (count - 1) * s + 1, s) for i in range(k)]
        result = reduce(lambda a, b: emit(aten.maximum.default, a, b), places)
    replace(pool, result)


def _replace_average(graph_module: fx.GraphModule, pool: fx.Node) -> None:
    _check_batched(pool)
    (x,) = pool.all_input_nodes
    kernel = pair(pool.args[1])
    stride, padding = pair(argument(pool, 2, "stride", None) or kernel), pair(argument(pool, 3, "padding", 0))
    uncounted = any(padding) and not argument(pool, 5, "count_include_pad", True)
    if uncounted or argument(pool, 6, "divisor_override", None) is not None:
        raise RewriteRefusedError(pool, "an average that does not count its padding", "count the padding")
    channels = int(value_of(x).shape[1])
    emit = Emitter(graph_module, pool)
    weight = emit.constant(torch.full((channels, 1, *kernel), 1.0 / (kernel[0] * kernel[1]), dtype=value_of(x).dtype), "mean")
    mean = emit(aten.conv2d.default, x, weight, None, stride, padding, [1, 1], channels)
    if value_of(mean).shape != value_of(pool).shape:
        raise RewriteRefusedError(pool, "windows that extend beyond the padding", "choose a size that the stride divides")
    replace(pool, mean)
