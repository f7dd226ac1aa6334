"""Subtracts the centre from a coordinate before an offset is added to it, and from a sigmoid before it is rounded.

Hazard: a sampling point is a reference point in [0, 1] plus an offset, minus one half, times the size of the map. Near one,
fp16 has steps of 1/2048: on a map of 80 columns that is 0.04 pixels, for the reference point and again for the sum.

Identities::

    (a + b) - 1/2     = (a - 1/2) + b
    sigmoid(x) - 1/2  = tanh(x / 2) / 2

Around zero the steps are finer, and a difference of nearby numbers is exact. The operand with the larger measured range is
shifted.

Given::

    %a = views of aten.sigmoid(%x)
    %s = aten.add(%a, %b)
    %y = aten.mul(aten.add(views of %s, -0.5), 24)

Result::

    %t = aten.mul(aten.tanh(aten.mul(%x, 0.5)), 0.5)
    %y = aten.mul(views of aten.add(views of %t, %b), 24)

A shift near one half, as discrete sampling has, is subtracted in two parts. The shifted sum is computed once for all its
readers. Does not fire if the profile protects nothing, if an operand was not
measured, or if the larger one exceeds four times the shift (no coordinate in [0, 1] does). Exact in real arithmetic, in float32
to 1e-6 of the operands.
Evidence: points around 0.9 on a map of 64 columns, in fp16 on the delegate, have an error of 0.04 columns without this rewrite
and 0.01 with it.
"""

from __future__ import annotations

from torch import fx

from detr2litert.graphs.op_traits import SCALAR_ARITHMETIC, VIEWS
from detr2litert.graphs.toolbox import Emitter, aten, calls, is_call, remove_dead_code, replace
from detr2litert.rewrites.contract import Findings, Miss, Site, fired, missed, rewrite
from detr2litert.rewrites.merge_scalars import chain_of, viewed
from detr2litert.rewrites.profile import Protection
from detr2litert.rewrites.ranges import range_of

_COORDINATE = 4.0
_NEAR_HALF = 0.25
"""Discrete sampling rounds to the nearest cell: half a cell remains after the centre, a quarter of a map of two cells."""


@rewrite(options=("protection",))
def centre_coordinates(graph_module: fx.GraphModule, protection: Protection) -> Findings:
    if protection is Protection.NONE:
        return []
    found: list[Site | Miss] = []
    shifted: dict[tuple[fx.Node, float], fx.Node] = {}
    for node in reversed(calls(graph_module, *SCALAR_ARITHMETIC)):
        chain = chain_of(node)
        if not node.users or chain.scale * chain.shift >= 0:
            continue
        (total, views), shift = _behind_views(chain.base), chain.shift / chain.scale
        larger = _coordinate(total, -shift)
        if larger is None:
            found.append(missed(node, f"{total.name} is not a sum of two measured values of the size of {-shift:g}"))
            continue
        if (total, shift) not in shifted:
            shifted[total, shift] = _shifted(graph_module, total, larger, shift)
        emit = Emitter(graph_module, node)
        result = viewed(emit, shifted[total, shift], (*chain.views, *views))
        result = result if chain.scale == 1.0 else emit(aten.mul.Tensor, result, chain.scale)
        found.append(fired(node, f"{-shift:g} subtracted from {larger.name}"))
        replace(node, result)
        remove_dead_code(graph_module)
    return found


def _behind_views(node: fx.Node) -> tuple[fx.Node, list[fx.Node]]:
    """Returns the viewed node, and the views between, the last one first."""
    views = []
    while is_call(node, *VIEWS):
        views.append(node)
        node = node.all_input_nodes[0]
    return node, views


def _coordinate(total: fx.Node, shift: float) -> fx.Node | None:
    """Returns the larger operand of a sum of two measured values, if it is of the shift's size."""
    if not is_call(total, aten.add.Tensor) or len(total.all_input_nodes) != 2 or total.kwargs:
        return None
    larger = max(total.all_input_nodes, key=_largest)
    return larger if 0 < _largest(larger) <= _COORDINATE * shift else None


def _largest(node: fx.Node) -> float:
    values = range_of(node)
    return values.largest if values is not None else float("inf")


def _shifted(graph_module: fx.GraphModule, total: fx.Node, larger: fx.Node, shift: float) -> fx.Node:
    """Emits ``total + shift``, with the shift added to ``larger`` first."""
    emit = Emitter(graph_module, total)
    base, views = _behind_views(larger)
    if is_call(base, aten.sigmoid.default) and abs(shift + 0.5) <= _NEAR_HALF:
        half = emit(aten.mul.Tensor, emit(aten.tanh.default, emit(aten.mul.Tensor, base.args[0], 0.5)), 0.5)
        centred = viewed(emit, half, views)
        centred = centred if shift == -0.5 else emit(aten.add.Tensor, centred, shift + 0.5)
    else:
        centred = emit(aten.add.Tensor, larger, shift)
    other = next(node for node in total.all_input_nodes if node is not larger)
    return emit(aten.add.Tensor, centred, other)
