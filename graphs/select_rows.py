"""Brings a selection to the operators that the delegate has: rows of a table, at a vector of indices.

Given::

    %t = aten.topk(%scores, 5, 1)                           # scores [1, 24]
    %i = getitem(%t, 1)                                     # [1, 5]
    %y = aten.gather(%x, 1, expand(unsqueeze(%i, -1)))      # x [1, 24, 8]

Result of ``gather_by_index``, for a graph that is given the indices ``%r``::

    %r = aten.reshape(%i, [5])
    %y = aten.reshape(gather_rows(aten.reshape(%x, [24, 8]), %r), [1, 5, 8])

and of ``select_inside``, for a graph that selects by itself::

    %r = top_rows(aten.reshape(%scores, [24]), 5)
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import fx

from detr2litert.graphs.native_ops import GATHER_ROWS, TOP_ROWS
from detr2litert.graphs.selection import Selection
from detr2litert.graphs.toolbox import Emitter, aten, constant_of, list_of, remove_dead_code, replace, sizes, value_of


def gather_by_index(graph_module: fx.GraphModule, selection: Selection, gathers: Sequence[fx.Node]) -> fx.Node:
    """Replaces the selection's gathers by gathers of rows at a vector of indices; returns that vector's node."""
    rows = Emitter(graph_module, gathers[0], provenance=selection.indices)(
        aten.reshape.default, selection.indices, [selection.k]
    )
    for gather in gathers:
        emit = Emitter(graph_module, gather)
        source = gather.all_input_nodes[0]
        shape = sizes(value_of(source).shape)
        constant = constant_of(graph_module, source)
        table = emit(aten.reshape.default, source, shape[1:]) if constant is None else emit.constant(constant[0], "table")
        replace(gather, emit(aten.reshape.default, emit(GATHER_ROWS, table, rows), [1, selection.k, shape[2]]))
    remove_dead_code(graph_module)
    return rows


def select_inside(graph_module: fx.GraphModule, selection: Selection, gathers: Sequence[fx.Node]) -> None:
    """Replaces the top-k and the gathers by operators of the delegate, and makes the indices the last output.

    They are an output, of four bytes a query, because two runtimes may rank nearly equal scores differently: only who knows
    both selections can compare their queries. Exact; equal scores are selected by the lower index.
    """
    rows = gather_by_index(graph_module, selection, gathers)
    emit = Emitter(graph_module, rows, provenance=selection.topk)
    scores = emit(aten.reshape.default, selection.scores, [value_of(selection.scores).numel()])
    chosen = emit(TOP_ROWS, scores, selection.k)
    replace(rows, chosen)
    output = next(node for node in graph_module.graph.nodes if node.op == "output")
    output.args = ((*list_of(output.args[0]), chosen),)
    remove_dead_code(graph_module)
    graph_module.recompile()
