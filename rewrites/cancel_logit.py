"""Replaces the logit of a sigmoid with the sigmoid's input.

Hazard: decoders refine boxes in logits and pass them on as coordinates: ``logit(sigmoid(x))``. In fp16 a coordinate near one
has lost the digits that ``1 - p`` needs: at 0.97 the logit has an error of 0.4 %. It changed a score of a demo detector by
0.008.

Identity, for the guarded logit that such decoders use, ``log(max(p, e) / max(1 - p, e))`` with ``p = sigmoid(x)``::

    logit(sigmoid(x)) = min(max(x, log e), -log e)

Given::

    %p = aten.sigmoid(%x)
    %q = aten.clamp(%p, 0, 1)                # optional
    %n = aten.clamp(%q, 1e-5)
    %m = aten.clamp(aten.rsub(%q, 1), 1e-5)
    %y = aten.log(aten.div(%n, %m))

Result::

    %y = aten.clamp(%x, -11.5129, 11.5129)

Does not fire if the inverted value is not a sigmoid, or the two guards differ. Exact except near the guard, where the error is
at most the guard (1e-5), and for the rounding that it avoids (1e-4 of the logit in float32 at p = 0.999).
"""

from __future__ import annotations

import math

from torch import fx

from detr2litert.graphs.toolbox import Emitter, argument, aten, calls, is_call, replace
from detr2litert.rewrites.contract import Findings, Miss, Site, fired, missed, rewrite


@rewrite()
def cancel_logit(graph_module: fx.GraphModule) -> Findings:
    found: list[Site | Miss] = []
    for node in calls(graph_module, aten.log.default):
        inverted = _inverted(node.args[0])
        if inverted is None:
            found.append(missed(node, "its input is not a guarded p / (1 - p) of one sigmoid"))
            continue
        x, guard = inverted
        emit = Emitter(graph_module, node)
        most = -math.log(guard)
        found.append(fired(node, f"the logit of {x.name}'s sigmoid, guarded at {guard:g}"))
        replace(node, emit(aten.clamp.default, x, -most, most))
    return found


def _inverted(ratio: object) -> tuple[fx.Node, float] | None:
    """Returns the sigmoid's input and the guard of a guarded ratio ``p / (1 - p)``."""
    if not isinstance(ratio, fx.Node) or not is_call(ratio, aten.div.Tensor):
        return None
    above, below = _guarded(ratio.args[0]), _guarded(ratio.args[1])
    if above is None or below is None or above[1] != below[1]:
        return None
    p, rest = above[0], below[0]
    if not is_call(rest, aten.rsub.Scalar) or rest.args[0] is not p or rest.args[1] != 1 or len(rest.args) > 2:
        return None
    if is_call(p, aten.clamp.default) and list(p.args[1:]) == [0, 1]:
        p = p.all_input_nodes[0]
    return (p.all_input_nodes[0], above[1]) if is_call(p, aten.sigmoid.default) else None


def _guarded(node: object) -> tuple[fx.Node, float] | None:
    """Returns a value that is clamped from below by a small number, and the number."""
    if not isinstance(node, fx.Node) or not is_call(node, aten.clamp.default, aten.clamp_min.default):
        return None
    guard = argument(node, 1, "min", None)
    if not isinstance(guard, float) or not 0 < guard < 0.1 or argument(node, 2, "max", None) is not None:
        return None
    return node.all_input_nodes[0], guard
