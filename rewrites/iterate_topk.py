"""Computes the k largest values by k rounds of maximum and mask.

Hazard: a top-k with unused indices is converted to STABLEHLO_SORT, which no LiteRT runtime loads.

Identity: the largest value, then the largest of the rest, and so on. Each round masks only the first of equal values, so ties
are repeated as often as they occur.

Given::

    %t = aten.topk(%x, 4, -1)
    %y = getitem(%t, 0)

Result, four rounds::

    %m = aten.amax(%x, [-1], True)
    %e = 1 - sign(%m - %x)                      # 1 where x is the maximum
    %c = aten.linear(%e, %lower_triangle)       # number of maxima up to and including each position
    %x = %x - 1e4 * %e * relu(2 - %c)           # mask the first
    %y = aten.cat([%m, ...], -1)

Refuses more than 16 rounds, and more than 1024 values to select from. Does not fire if the indices are read (that is a query
selection, at which the graph is cut), nor along another dimension than the last. Exact for values that lie within 1e4 (the
profile's ``constant_limit``) of each other.
"""

from __future__ import annotations

import torch
from torch import fx

from detr2litert.graphs.toolbox import (
    Emitter,
    RewriteRefusedError,
    argument,
    aten,
    calls,
    normalise_dim,
    replace,
    value_of,
)
from detr2litert.rewrites.contract import Findings, Miss, Site, fired, missed, rewrite

_MOST_ROUNDS = 16
_MOST_VALUES = 1024


@rewrite(options=("constant_limit",))
def iterate_topk(graph_module: fx.GraphModule, constant_limit: float) -> Findings:
    found: list[Site | Miss] = []
    for node in calls(graph_module, aten.topk.default):
        x, k = node.args[0], int(node.args[1])  # type: ignore[arg-type]
        assert isinstance(x, fx.Node)
        rank = value_of(x).dim()
        largest = argument(node, 3, "largest", True)
        if any(reader.args[1] != 0 for reader in node.users) or normalise_dim(argument(node, 2, "dim", -1), rank) != rank - 1:
            found.append(missed(node, "its indices are read, or it runs along another dimension than the last"))
            continue
        count = int(value_of(x).shape[-1])
        if k > _MOST_ROUNDS or count > _MOST_VALUES or not largest:
            request = f"the {k} {'largest' if largest else 'smallest'} of {count} values"
            raise RewriteRefusedError(node, request, f"select the largest, at most {_MOST_ROUNDS} of at most {_MOST_VALUES}")
        emit = Emitter(graph_module, node)
        values = _rounds(emit, x, k, constant_limit)
        found.append(fired(node, f"{k} of {count} values"))
        for reader in list(node.users):
            replace(reader, values)
    return found


def _rounds(emit: Emitter, x: fx.Node, k: int, mask: float) -> fx.Node:
    count = int(value_of(x).shape[-1])
    up_to = emit.constant(torch.ones(count, count).tril(), "up_to")
    found = []
    for i in range(k):
        largest = emit(aten.amax.default, x, [-1], True)
        found.append(largest)
        if i + 1 < k:
            equal = emit(aten.rsub.Scalar, emit(aten.sign.default, emit(aten.sub.Tensor, largest, x)), 1.0)
            rank = emit(aten.linear.default, equal, up_to)
            first = emit(aten.mul.Tensor, equal, emit(aten.relu.default, emit(aten.rsub.Scalar, rank, 2.0)))
            x = emit(aten.sub.Tensor, x, emit(aten.mul.Tensor, first, mask))
    return emit(aten.cat.default, found, -1)
