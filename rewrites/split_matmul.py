"""Splits batched matmuls that are too large for the delegate's textures.

Hazard: the delegate stores the batches of a right-hand side next to each other. If ``batch * ceil(K / 4)`` exceeds the texture
limit of 8192 it still accepts the op, and computes a wrong result.

Identity: a sum over K may be computed in parts::

    A B = A[:, :h] B[:h] + A[:, h:] B[h:]

Given::

    %y = aten.matmul(%a, %b)        # [8, 300, 6400] x [8, 6400, 32]

Result::

    %y = aten.matmul(%a[:, :, :3200], %b[:, :3200]) + aten.matmul(%a[:, :, 3200:], %b[:, 3200:])

Does not fire within the limit, nor on a constant matrix, which becomes a fully connected layer. A batch that is broadcast
counts with its repetitions. Refuses a batch that exceeds the limit by itself. Exact up to the order of summation (1e-6
relative). K is split, not the batch, although its parts are independent: the converter merges matmuls that are concatenated
along their batch. Evidence: [8, 2, 4096] x [8, 4096, 32] (8192) is correct to 7e-6, [8, 2, 4097] x [8, 4097, 32] (8200) wrong
by 3, with "Texture size exceeded maximum" on stderr; likewise 2 x 16384 against 2 x 16388. A right-hand side of more than 32768
columns is wrong as well; the lint reports it.
"""

from __future__ import annotations

from math import ceil, prod

from torch import fx

from detr2litert.graphs.toolbox import Emitter, RewriteRefusedError, aten, calls, constant_of, replace, value_of
from detr2litert.rewrites.contract import Findings, Miss, Site, fired, missed, rewrite


@rewrite(options=("matmul_limit",), after=("lower_attention", "lower_sampling"))
def split_matmul(graph_module: fx.GraphModule, matmul_limit: int) -> Findings:
    found: list[Site | Miss] = []
    for node in calls(graph_module, aten.matmul.default, aten.bmm.default, aten.mm.default):
        a, b = node.all_input_nodes[0], node.all_input_nodes[-1]
        if min(value_of(a).dim(), value_of(b).dim()) < 2 or (
            value_of(b).dim() == 2 and constant_of(graph_module, b) is not None
        ):
            continue
        batch, k = prod(value_of(node).shape[:-2]), int(value_of(b).shape[-2])
        if batch * ceil(k / 4) <= matmul_limit:
            found.append(missed(node, f"{batch * ceil(k / 4)} texels high: the limit is {matmul_limit}"))
            continue
        if batch > matmul_limit:
            raise RewriteRefusedError(node, f"a product of {batch} matrices", f"multiply at most {matmul_limit} at once")
        parts = ceil(k / (4 * (matmul_limit // batch)))
        depth = ceil(k / parts)
        emit = Emitter(graph_module, node)
        found.append(fired(node, f"batch {batch}, depth {k} in parts of {depth}"))
        replace(node, _by_depth(emit, a, b, depth))
    return found


def _by_depth(emit: Emitter, a: fx.Node, b: fx.Node, per_part: int) -> fx.Node:
    """Emits the product as a sum over parts of K."""
    k = int(value_of(b).shape[-2])
    total: fx.Node | None = None
    for start in range(0, k, per_part):
        end = min(k, start + per_part)
        part = emit(aten.matmul.default, emit(aten.slice.Tensor, a, -1, start, end), emit(aten.slice.Tensor, b, -2, start, end))
        total = part if total is None else emit(aten.add.Tensor, total, part)
    assert total is not None
    return total
