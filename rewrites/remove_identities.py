"""Removes operations that return their input.

Hazard: exported programs contain many identities (assertions, detach, alias, copies into new memory, dropout in eval mode,
one-part concatenations). Each is an op that the converter may emit, and each hides a pattern from the rewrites that follow.

Identity: all of these are the identity on values.

Given::

    %c = aten.clone(%x)
    %y = aten.slice(%c, 1, 0, 9223372036854775807)

Result: uses of ``%y`` read ``%x``.

Does not fire on a copy that changes the dtype, on a slice that drops elements, or on a view that changes the shape.
Exact.
"""

from __future__ import annotations

from typing import Any

from torch import fx

from detr2litert.graphs.toolbox import (
    argument,
    aten,
    calls,
    is_call,
    list_of,
    replace,
    value_of,
)
from detr2litert.rewrites.contract import Findings, Miss, Site, fired, rewrite

_ALWAYS = (
    aten.alias.default,
    aten.detach.default,
    aten.clone.default,
    aten.contiguous.default,
    aten.lift_fresh_copy.default,
)
_SAME_SHAPE_AND_TYPE = (
    aten.reshape.default,
    aten.expand.default,
    aten.slice.Tensor,
    aten._to_copy.default,
    aten.repeat.default,
)
_NEUTRAL: dict[Any, int] = {
    aten.add.Tensor: 0,
    aten.sub.Tensor: 0,
    aten.mul.Tensor: 1,
    aten.div.Tensor: 1,
}
_CHECKS = (aten._assert_tensor_metadata.default, aten._assert_async.msg)


@rewrite()
def remove_identities(graph_module: fx.GraphModule) -> Findings:
    found: list[Site | Miss] = []
    for check in calls(graph_module, *_CHECKS):
        graph_module.graph.erase_node(check)
    for node in list(graph_module.graph.nodes):
        replacement = _identity_of(node)
        if replacement is not None:
            found.append(fired(node, f"{node.target} is the identity"))
            replace(node, replacement)
    return found


def _identity_of(node: fx.Node) -> fx.Node | None:
    """Returns the node of the same value, if a node is an identity."""
    if is_call(node, *_ALWAYS):
        return node.all_input_nodes[0]
    if is_call(node, aten.dropout.default) and not node.args[2]:
        return node.all_input_nodes[0]
    if is_call(node, *_SAME_SHAPE_AND_TYPE):
        return _if_same(node, node.all_input_nodes[0])
    if is_call(node, aten.copy.default, aten.slice_scatter.default):
        return _if_same(node, node.args[1])
    if is_call(node, *_NEUTRAL):
        return _neutral_operand(node)
    if is_call(node, aten.cat.default):
        return _only_part(node)
    if is_call(node, aten.select.int):
        return _selected_part(node)
    return None


def _if_same(node: fx.Node, other: Any) -> fx.Node | None:
    """Returns ``other``, if it is a node of the same shape and dtype."""
    if not isinstance(other, fx.Node):
        return None
    mine, theirs = value_of(node), value_of(other)
    return other if mine.shape == theirs.shape and mine.dtype == theirs.dtype else None


def _neutral_operand(node: fx.Node) -> fx.Node | None:
    """Returns the other operand of x + 0, x - 0, x * 1 and x / 1 with a plain number."""
    x, number = node.args[0], node.args[1]
    return _if_same(node, x) if isinstance(number, int | float) and number == _NEUTRAL[node.target] else None


def _only_part(node: fx.Node) -> fx.Node | None:
    """Returns the part of a concatenation of one non-empty part."""
    parts = [part for part in list_of(node.args[0]) if value_of(part).numel()]
    return _if_same(node, parts[0]) if len(parts) == 1 else None


def _selected_part(node: fx.Node) -> fx.Node | None:
    """Returns the part that is selected from a stack along the stacked dimension."""
    stack = node.args[0]
    if not is_call(stack, aten.stack.default):
        return None
    assert isinstance(stack, fx.Node)
    rank = value_of(stack).dim()
    if argument(node, 1, "dim", 0) % rank != argument(stack, 1, "dim", 0) % rank:
        return None
    part: fx.Node = list_of(stack.args[0])[argument(node, 2, "index", 0)]
    return part
