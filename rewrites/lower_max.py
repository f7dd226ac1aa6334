"""Write a maximum over one dimension whose indices nobody reads as a plain reduction.

Hazard: ``aten.max.dim`` returns values and indices; the converter keeps an ARG_MAX for the indices.

Identity: ``max(x, d).values = amax(x, d)``; min likewise.

Given::

    %m = aten.max.dim(%x, -1)
    %y = getitem(%m, 0)

Result::

    %y = aten.amax(%x, [-1])

Does not fire when the indices are read. Exact.
"""

from __future__ import annotations

from torch import fx

from detr2litert.rewrites.base import Emitter, Site, argument, aten, calls, module_of, remove_dead_code, replace
from detr2litert.rewrites.profile import Profile

_REDUCTION = {aten.max.dim: aten.amax.default, aten.min.dim: aten.amin.default}


def lower_max(graph_module: fx.GraphModule, profile: Profile) -> list[Site]:
    fired = []
    for node in calls(graph_module, *_REDUCTION):
        readers = list(node.users)
        if any(reader.args[1] != 0 for reader in readers):
            continue
        emit = Emitter(graph_module, node, "lower_max")
        values = emit(_REDUCTION[node.target], node.args[0], [node.args[1]], argument(node, 2, "keepdim", False))  # type: ignore[index]
        fired.append(Site(node.name, module_of(node), f"{node.target} read for its values only"))
        for reader in readers:
            replace(reader, values)
    remove_dead_code(graph_module)
    return fired
