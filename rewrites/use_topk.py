"""Finds the k largest values with one operator.

Hazard: a top-k whose indices nothing reads is converted to STABLEHLO_SORT, which no LiteRT runtime loads; rounds of maximum and
mask (``iterate_topk``) take several dispatches each.

Identity: TOPK_V2 gives the values as well as the indices.

Given::

    %t = aten.topk(%x, 4, -1)                                   # %x: [1, 300, 4, 33]
    %y = getitem(%t, 0)

Result::

    %v = detr2litert.top_values(aten.reshape(%x, [1200, 33]), 4)
    %y = aten.reshape(%v, [1, 300, 4, 4])

Does not fire if the target's profile iterates, if the indices are read, along another dimension than the last, nor on the
smallest values. Exact, ties included; values below fp16's lowest number, -65504, are not found. Evidence: measured on
SwiftShader, a graph that reshapes, selects 4 of 33 values and reshapes again takes 11 dispatches instead of 26.
"""

from __future__ import annotations

from math import prod

from torch import fx

from detr2litert.graphs.native_ops import TOP_VALUES
from detr2litert.graphs.toolbox import Emitter, argument, aten, calls, normalise_dim, replace, sizes, value_of
from detr2litert.rewrites.contract import Findings, Miss, Site, fired, missed, rewrite
from detr2litert.rewrites.profile import TopK


@rewrite(options=("topk",), before=("iterate_topk",))
def use_topk(graph_module: fx.GraphModule, topk: TopK) -> Findings:
    if topk is not TopK.NATIVE:
        return []
    found: list[Site | Miss] = []
    for node in calls(graph_module, aten.topk.default):
        x, k = node.args[0], int(node.args[1])  # type: ignore[arg-type]
        assert isinstance(x, fx.Node)
        *rows, count = sizes(value_of(x).shape)
        last = normalise_dim(argument(node, 2, "dim", -1), len(rows) + 1) == len(rows)
        if any(reader.args[1] != 0 for reader in node.users) or not last or not argument(node, 3, "largest", True):
            found.append(missed(node, "its indices are read, or it finds the smallest or runs along another dimension"))
            continue
        emit = Emitter(graph_module, node)
        values = emit(TOP_VALUES, emit(aten.reshape.default, x, [prod(rows), count]), k)
        result = emit(aten.reshape.default, values, [*rows, k])
        found.append(fired(node, f"{k} of {count} values"))
        for reader in list(node.users):
            replace(reader, result)
    return found
