"""Merges chains of scalar arithmetic into one multiplication and one addition.

Hazard: sampling coordinates pass through ``2 * loc - 1`` and on to pixels, ``g * W / 2``. Each step is an op, and each rounds
in fp16.

Identity: ``((x * a + b) * c) + d = x * (a c) + (b c + d)``; a scalar commutes with views. A shift that reduces the magnitude of
a scaled-up value is applied first, as ``(x + b / a) * a``: its result is small, and so is its rounding error.

Given::

    %a = aten.mul(%loc, 2)
    %b = aten.sub(%a, 1)
    %c = aten.select(%b, -1, 0)
    %d = aten.mul(%c, 12)

Result::

    %c = aten.select(%loc, -1, 0)
    %e = aten.add(%c, -0.5)
    %f = aten.mul(%e, 24)

Does not fire on a single multiplication or addition, nor on integers. Exact in real arithmetic; float32 results differ by
rounding (1e-6 of the largest intermediate).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from torch import fx

from detr2litert.graphs.op_traits import SCALAR_ARITHMETIC, VIEWS
from detr2litert.graphs.toolbox import Emitter, aten, calls, is_call, remove_dead_code, replace, value_of
from detr2litert.rewrites.contract import Findings, Miss, Site, fired, missed, rewrite

_ROUNDING = 1e-14


@dataclass(frozen=True)
class Chain:
    """``scale * views(base) + shift``, found by walking ``ops`` arithmetic steps back."""

    base: fx.Node
    views: tuple[fx.Node, ...]
    scale: float
    shift: float
    ops: int

    def arithmetic(self) -> list[tuple[Any, float]]:
        """Returns the remaining ops, in the order that rounds least."""
        scaled = [] if self.scale == 1.0 else [(aten.mul.Tensor, self.scale)]
        if self.shift == 0.0:
            return scaled
        if abs(self.scale) >= 1 and self.scale * self.shift < 0:
            return [(aten.add.Tensor, self.shift / self.scale), *scaled]
        return [*scaled, (aten.add.Tensor, self.shift)]


@rewrite(after=("fold_sampling", "lower_sampling"))
def merge_scalars(graph_module: fx.GraphModule) -> Findings:
    found: list[Site | Miss] = []
    for node in reversed(calls(graph_module, *SCALAR_ARITHMETIC)):
        if not node.users or not value_of(node).is_floating_point():
            continue
        chain = chain_of(node)
        needed = (chain.scale != 1.0) + (chain.shift != 0.0)
        if chain.ops <= max(needed, 1):
            if chain.ops > 1:
                found.append(missed(node, f"its {chain.ops} steps cannot be merged further"))
            continue
        emit = Emitter(graph_module, node)
        x = viewed(emit, chain.base, chain.views)
        for target, number in chain.arithmetic():
            x = emit(target, x, number)
        found.append(fired(node, f"{chain.ops} steps into {needed}"))
        replace(node, x)
        remove_dead_code(graph_module)
    return found


def viewed(emit: Emitter, x: fx.Node, views: Sequence[fx.Node]) -> fx.Node:
    """Emits copies of views on ``x``; ``views`` are in reverse order, the last one first."""
    for view in reversed(views):
        x = emit(view.target, x, *view.args[1:], **view.kwargs)
    return x


def chain_of(node: fx.Node) -> Chain:
    """Returns the longest chain that ends in a node; it has no steps if the node is not scalar arithmetic."""
    scale, shift, ops = 1.0, 0.0, 0
    views: list[fx.Node] = []
    pending: list[fx.Node] = []
    while True:
        step = _step(node)
        if step is not None:
            views.extend(pending)
            pending.clear()
            node, a, b = step
            scale, shift, ops = scale * a, scale * b + shift, ops + 1
        elif is_call(node, *VIEWS):
            pending.append(node)
            node = node.all_input_nodes[0]
        else:
            break
    # A factor and its reciprocal, as coordinates of cells have, may miss one by a bit.
    scale = 1.0 if math.isclose(scale, 1.0, rel_tol=_ROUNDING) else scale
    return Chain(pending[0] if pending else node, tuple(views), scale, shift, ops)


def _step(node: fx.Node) -> tuple[fx.Node, float, float] | None:
    """Returns ``(x, a, b)`` if the node computes ``a x + b`` with plain numbers."""
    if not is_call(node, *SCALAR_ARITHMETIC) or node.kwargs or len(node.args) > 2:
        return None
    if not all(value_of(operand).is_floating_point() for operand in node.all_input_nodes):
        return None
    left, right = node.args
    if isinstance(left, fx.Node) and isinstance(right, int | float):
        number = float(right)
        steps = {
            aten.add.Tensor: (1.0, number),
            aten.sub.Tensor: (1.0, -number),
            aten.mul.Tensor: (number, 0.0),
            aten.div.Tensor: (1.0 / number if number else 0.0, 0.0),
            aten.rsub.Scalar: (-1.0, number),
        }
        return (left, *steps[node.target]) if number or node.target is not aten.div.Tensor else None  # type: ignore[index]
    if isinstance(right, fx.Node) and isinstance(left, int | float) and node.target in (aten.add.Tensor, aten.mul.Tensor):
        return (right, 1.0, float(left)) if node.target is aten.add.Tensor else (right, float(left), 0.0)
    return None
