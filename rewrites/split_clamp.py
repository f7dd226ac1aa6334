"""Keeps a clamp to [0, 1] from becoming an op that the delegate refuses.

Hazard: ``clamp(x, 0, 1)`` is converted to RELU_0_TO_1, which the delegate has refused since LiteRT 2.1.5 (issue 8598). The
converter also merges a separate lower bound of 0 and upper bound of 1 into one, in either order.

Identity: ``clamp(sigmoid(x), 0, 1) = sigmoid(x)``; otherwise ``clamp(x, 0, 1) = clamp(2 x, 0, 2) / 2``.

Given::

    %y = aten.clamp(%x, 0, 1)

Result::

    %p = aten.mul(%x, 2)
    %q = aten.clamp(%p, 0, 2)
    %y = aten.mul(%q, 0.5)

Does not fire on other bounds, nor on an upper bound of 1 without a lower bound of 0: MAXIMUM and MINIMUM are accepted. Exact,
in fp16 too: only exponents change. (``1 - relu(1 - relu(x))`` would round a small x to a multiple of 5e-4 in fp16.)
"""

from __future__ import annotations

from torch import fx

from detr2litert.graphs.toolbox import Emitter, argument, aten, calls, is_call, replace
from detr2litert.rewrites.contract import Findings, Miss, Site, fired, missed, rewrite

_WITHIN = (aten.sigmoid.default, aten.softmax.int, aten.hardsigmoid.default)


@rewrite(after=("cancel_logit",))
def split_clamp(graph_module: fx.GraphModule) -> Findings:
    found: list[Site | Miss] = []
    for node in calls(graph_module, aten.clamp.default, aten.clamp_max.default, aten.hardtanh.default):
        low, high = _bounds(node)
        x = node.all_input_nodes[0]
        separate = low is None and any(_bounds(neighbour)[0] == 0 for neighbour in (x, *node.users))
        if high != 1 or (low != 0 and not separate):
            found.append(missed(node, f"its bounds are {low} and {high}, not 0 and 1"))
            continue
        if is_call(x, *_WITHIN):
            found.append(fired(node, "already inside [0, 1]"))
            replace(node, x)
            continue
        emit = Emitter(graph_module, node)
        bounded = emit(aten.clamp.default, emit(aten.mul.Tensor, x, 2.0), low, 2.0)
        found.append(fired(node, "clamped at twice the scale"))
        replace(node, emit(aten.mul.Tensor, bounded, 0.5))
    return found


def _bounds(node: fx.Node) -> tuple[object, object]:
    """Returns the lower and upper bound that an op applies to its input, None for an absent one."""
    if is_call(node, aten.relu.default):
        return 0, None
    if is_call(node, aten.clamp_min.default):
        return node.args[1], None
    if is_call(node, aten.clamp_max.default):
        return None, node.args[1]
    if is_call(node, aten.clamp.default, aten.hardtanh.default):
        return argument(node, 1, "min", None), argument(node, 2, "max", None)
    return None, None
