"""Lowers a maximum over one dimension with unused indices to a plain reduction.

Hazard: ``aten.max.dim`` returns values and indices; the converter emits an ARG_MAX for the indices.

Identity: ``max(x, d).values = amax(x, d)``; min likewise.

Given::

    %m = aten.max.dim(%x, -1)
    %y = getitem(%m, 0)

Result::

    %y = aten.amax(%x, [-1])

Does not fire if the indices are read. Exact.
"""

from __future__ import annotations

from torch import fx

from detr2litert.graphs.toolbox import Emitter, argument, aten, calls, replace
from detr2litert.rewrites.contract import Findings, Miss, Site, fired, missed, rewrite

_REDUCTION = {aten.max.dim: aten.amax.default, aten.min.dim: aten.amin.default}


@rewrite()
def lower_max(graph_module: fx.GraphModule) -> Findings:
    found: list[Site | Miss] = []
    for node in calls(graph_module, *_REDUCTION):
        readers = list(node.users)
        if any(reader.args[1] != 0 for reader in readers):
            found.append(missed(node, "its indices are read as well"))
            continue
        emit = Emitter(graph_module, node)
        values = emit(_REDUCTION[node.target], node.args[0], [node.args[1]], argument(node, 2, "keepdim", False))  # type: ignore[index]
        found.append(fired(node, f"{node.target} read for its values only"))
        for reader in readers:
            replace(reader, values)
    return found
