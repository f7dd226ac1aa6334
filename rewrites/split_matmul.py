"""Split batched matmuls that are too large for the delegate's textures.

Hazard: the delegate stores a batched right-hand side with its batches side by side. Where ``batch * ceil(K / 4)`` passes the
texture limit of 8192 it still accepts the op, and computes something else.

Identity: batches are independent, and a sum over K may be taken in parts::

    [a; b] [c; d] = [a c; b d]                A B = A[:, :h] B[:h] + A[:, h:] B[h:]

Given::

    %y = aten.matmul(%a, %b)        # [8, 300, 6400] x [8, 6400, 32]

Result::

    %y = aten.cat([aten.matmul(%a[0:4], %b[0:4]), aten.matmul(%a[4:8], %b[4:8])], 0)

Does not fire within the limit. Exact where the batch is split; up to the order of summation (1e-6 relative) where K is.
"""

from __future__ import annotations

from math import ceil, prod

from torch import fx

from rewrites.base import Emitter, Site, aten, calls, constant_of, module_of, replace, sizes, value_of
from rewrites.profile import Profile


def split_matmul(graph_module: fx.GraphModule, profile: Profile) -> list[Site]:
    fired = []
    for node in calls(graph_module, aten.matmul.default):
        a, b = node.args
        if not isinstance(a, fx.Node) or not isinstance(b, fx.Node) or constant_of(graph_module, b) is not None:
            continue
        shape = sizes(value_of(b).shape)
        batch, k = prod(shape[:-2]), shape[-2]
        if batch * ceil(k / 4) <= profile.matmul_limit:
            continue
        emit = Emitter(graph_module, node, "split_matmul")
        per_part = profile.matmul_limit // ceil(k / 4)
        if per_part >= 1 and len(shape) >= 3:
            replace(node, _by_batch(emit, node, a, b, batch, per_part))
            detail = f"batch {batch} in parts of {per_part}"
        else:
            replace(node, _by_depth(emit, a, b, k, 4 * profile.matmul_limit))
            detail = f"depth {k} in parts of {4 * profile.matmul_limit}"
        fired.append(Site(node.name, module_of(node), detail))
    return fired


def _by_batch(emit: Emitter, node: fx.Node, a: fx.Node, b: fx.Node, batch: int, per_part: int) -> fx.Node:
    flat_a = emit(aten.reshape.default, a, [batch, *sizes(value_of(a).shape[-2:])])
    flat_b = emit(aten.reshape.default, b, [batch, *sizes(value_of(b).shape[-2:])])
    parts = []
    for start in range(0, batch, per_part):
        end = min(batch, start + per_part)
        left, right = (emit(aten.slice.Tensor, x, 0, start, end) for x in (flat_a, flat_b))
        parts.append(emit(aten.matmul.default, left, right))
    return emit(aten.reshape.default, emit(aten.cat.default, parts, 0), sizes(value_of(node).shape))


def _by_depth(emit: Emitter, a: fx.Node, b: fx.Node, k: int, per_part: int) -> fx.Node:
    total: fx.Node | None = None
    for start in range(0, k, per_part):
        end = min(k, start + per_part)
        part = emit(aten.matmul.default, emit(aten.slice.Tensor, a, -1, start, end), emit(aten.slice.Tensor, b, -2, start, end))
        total = part if total is None else emit(aten.add.Tensor, total, part)
    assert total is not None
    return total
