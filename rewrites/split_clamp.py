"""Keep a clamp to [0, 1] from becoming an op that the delegate refuses.

Hazard: ``clamp(x, 0, 1)`` is converted to RELU_0_TO_1, which the delegate has refused since LiteRT 2.1.5 (issue 8598).

Identity: ``clamp(sigmoid(x), 0, 1) = sigmoid(x)``; otherwise ``clamp(x, 0, 1) = 1 - relu(1 - relu(x))``.

Given::

    %y = aten.clamp(%x, 0, 1)

Result::

    %p = aten.relu(%x)
    %q = aten.relu(aten.rsub(%p, 1))
    %y = aten.rsub(%q, 1)

Does not fire on other bounds: MAXIMUM and MINIMUM are accepted. Exact for x at or outside the bounds, and to float32's
rounding of ``1 - x`` between them (6e-8).
"""

from __future__ import annotations

from torch import fx

from rewrites.base import Emitter, Site, argument, aten, calls, is_call, module_of, replace
from rewrites.profile import Profile

_WITHIN = (aten.sigmoid.default, aten.softmax.int, aten.hardsigmoid.default)


def split_clamp(graph_module: fx.GraphModule, profile: Profile) -> list[Site]:
    fired = []
    for node in calls(graph_module, aten.clamp.default, aten.hardtanh.default):
        if argument(node, 1, "min", None) != 0 or argument(node, 2, "max", None) != 1:
            continue
        x = node.args[0]
        assert isinstance(x, fx.Node)
        if is_call(x, *_WITHIN):
            fired.append(Site(node.name, module_of(node), "already inside [0, 1]"))
            replace(node, x)
            continue
        emit = Emitter(graph_module, node, "split_clamp")
        above = emit(aten.relu.default, x)
        below = emit(aten.relu.default, emit(aten.rsub.Scalar, above, 1.0))
        fired.append(Site(node.name, module_of(node), "two rectifiers"))
        replace(node, emit(aten.rsub.Scalar, below, 1.0))
    return fired
