"""Split batched matmuls that are too large for the delegate's textures.

Hazard: the delegate stores a batched right-hand side with its batches side by side. Where ``batch * ceil(K / 4)`` passes the
texture limit of 8192 it still accepts the op, and computes something else.

Identity: batches are independent, and a sum over K may be taken in parts::

    [a; b] [c; d] = [a c; b d]                A B = A[:, :h] B[:h] + A[:, h:] B[h:]

Given::

    %y = aten.matmul(%a, %b)        # [8, 300, 6400] x [8, 6400, 32]

Result::

    %y = aten.cat([aten.matmul(%a[0:4], %b[0:4]), aten.matmul(%a[4:8], %b[4:8])], 0)

Does not fire within the limit, nor on a constant matrix, which becomes a fully connected layer. A batch that is broadcast
counts as often as it is repeated. Exact where the batch is split; up to the order of summation (1e-6 relative) where K is.
Evidence: [8, 2, 4096] x [8, 4096, 32] (8192) is right to 7e-6, [8, 2, 4097] x [8, 4097, 32] (8200) wrong by 3, with "Texture
size exceeded maximum" on stderr; likewise 2 x 16384 against 2 x 16388. A right-hand side of more than 32768 columns is wrong
as well; that one is left to the lint.
"""

from __future__ import annotations

from math import ceil, prod

from torch import fx

from rewrites.base import Emitter, Site, aten, calls, constant_of, module_of, replace, sizes, value_of
from rewrites.profile import Profile


def split_matmul(graph_module: fx.GraphModule, profile: Profile) -> list[Site]:
    fired = []
    for node in calls(graph_module, aten.matmul.default, aten.bmm.default, aten.mm.default):
        a, b = node.all_input_nodes[0], node.all_input_nodes[-1]
        if min(value_of(a).dim(), value_of(b).dim()) < 2 or (
            value_of(b).dim() == 2 and constant_of(graph_module, b) is not None
        ):
            continue
        batch, k = prod(value_of(node).shape[:-2]), int(value_of(b).shape[-2])
        if batch * ceil(k / 4) <= profile.matmul_limit:
            continue
        per_part = max(1, profile.matmul_limit // ceil(k / 4))
        depth = min(k, 4 * (profile.matmul_limit // per_part))
        emit = Emitter(graph_module, node, "split_matmul")
        fired.append(Site(node.name, module_of(node), f"batch {batch} in parts of {per_part}, depth {k} in parts of {depth}"))
        replace(node, _in_parts(emit, node, a, b, per_part, depth))
    return fired


def _in_parts(emit: Emitter, node: fx.Node, a: fx.Node, b: fx.Node, per_part: int, depth: int) -> fx.Node:
    shape = sizes(value_of(node).shape)
    batch = prod(shape[:-2])
    left, right = (_flat(emit, x, shape[:-2]) for x in (a, b))
    products = []
    for start in range(0, batch, per_part):
        end = min(batch, start + per_part)
        products.append(
            _by_depth(emit, emit(aten.slice.Tensor, left, 0, start, end), emit(aten.slice.Tensor, right, 0, start, end), depth)
        )
    return emit(aten.reshape.default, emit(aten.cat.default, products, 0), shape)


def _flat(emit: Emitter, x: fx.Node, batch: list[int]) -> fx.Node:
    """The operand with its whole batch in one dimension."""
    matrix = sizes(value_of(x).shape[-2:])
    whole = emit(aten.expand.default, x, [*batch, *matrix])
    return emit(aten.reshape.default, whole, [prod(batch), *matrix])


def _by_depth(emit: Emitter, a: fx.Node, b: fx.Node, per_part: int) -> fx.Node:
    """The product as a sum over parts of K."""
    k = int(value_of(b).shape[-2])
    total: fx.Node | None = None
    for start in range(0, k, per_part):
        end = min(k, start + per_part)
        part = emit(aten.matmul.default, emit(aten.slice.Tensor, a, -1, start, end), emit(aten.slice.Tensor, b, -2, start, end))
        total = part if total is None else emit(aten.add.Tensor, total, part)
    assert total is not None
    return total
