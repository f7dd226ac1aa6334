"""Computes the softmax of one tensor once, in whatever shape it is read.

Hazard: the last layer's distribution over distances goes through a softmax for the box, as rows, and through another for the
quality of the box, as four rows a query: two reshapes and two dispatches for the same numbers.

Identity: a softmax along the last dimension is of rows; rows are the same in each shape with the same last dimension.

Given::

    %a = aten.softmax(aten.reshape(%x, [1200, 33]), -1)             # %x: [1, 300, 132]
    %b = aten.softmax(aten.reshape(%x, [1, 300, 4, 33]), -1)

Result::

    %a = aten.softmax(aten.reshape(%x, [1200, 33]), -1)
    %b = aten.reshape(%a, [1, 300, 4, 33])

Does not fire along another dimension, nor on rows of another length. Bit-exact. Evidence: measured on SwiftShader, a
distribution read by a linear layer and by a top-k takes 14 dispatches instead of 17.
"""

from __future__ import annotations

from torch import fx

from detr2litert.graphs.op_traits import RESHAPES
from detr2litert.graphs.toolbox import Emitter, aten, calls, is_call, normalise_dim, replace, sizes, value_of
from detr2litert.rewrites.contract import Findings, Miss, Site, fired, missed, rewrite


@rewrite(before=("reduce_rank",))
def share_softmax(graph_module: fx.GraphModule) -> Findings:
    found: list[Site | Miss] = []
    first: dict[fx.Node, fx.Node] = {}
    for node in calls(graph_module, aten.softmax.int):
        source = node.all_input_nodes[0]
        while is_call(source, *RESHAPES):
            source = source.all_input_nodes[0]
        shape = sizes(value_of(node).shape)
        if normalise_dim(int(node.args[1]), len(shape)) != len(shape) - 1:  # type: ignore[arg-type]
            continue
        other = first.setdefault(source, node)
        if other is node:
            continue
        if value_of(other).shape[-1] != shape[-1] or other.args[2:] != node.args[2:] or other.kwargs != node.kwargs:
            found.append(missed(node, f"its rows are not those of {other.name}"))
            continue
        found.append(fired(node, f"that of {other.name}"))
        replace(node, Emitter(graph_module, node)(aten.reshape.default, other, shape))
    return found
