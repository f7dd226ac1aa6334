"""Lowers an adaptive average pool to the mean or average pool that it is for a fixed input size.

Hazard: the windows of an adaptive pool depend on its input's size; the converter has no op for it and unrolls the general form
into slices.

Identity: for an output size of one it is the mean over height and width; for one that divides the input's size, an average pool
whose window and stride are the quotient.

Given::

    %y = aten.adaptive_avg_pool2d(%x, [5, 5])       # [1, 64, 20, 20]

Result::

    %y = aten.avg_pool2d(%x, [4, 4], [4, 4])

Refuses an output size that does not divide the input's: some of its windows overlap. Exact up to the order of summation.
"""

from __future__ import annotations

from torch import fx

from detr2litert.graphs.toolbox import Emitter, RewriteRefusedError, aten, calls, replace, sizes, value_of
from detr2litert.rewrites.contract import Findings, Miss, Site, fired, rewrite


@rewrite()
def lower_adaptive_pool(graph_module: fx.GraphModule) -> Findings:
    found: list[Site | Miss] = []
    for node in calls(graph_module, aten.adaptive_avg_pool2d.default):
        (x,) = node.all_input_nodes
        extents, results = sizes(value_of(x).shape)[-2:], sizes(value_of(node).shape)[-2:]
        emit = Emitter(graph_module, node)
        if results == [1, 1]:
            pooled = emit(aten.mean.dim, x, [-2, -1], True)
        else:
            if any(extent % result for extent, result in zip(extents, results, strict=True)):
                raise RewriteRefusedError(node, f"windows of unequal size over {extents}", "choose a resolution it divides")
            window = [extent // result for extent, result in zip(extents, results, strict=True)]
            pooled = emit(aten.avg_pool2d.default, x, window, window)
        found.append(fired(node, f"{extents} to {results}"))
        replace(node, pooled)
    return found
