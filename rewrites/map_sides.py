"""Chooses the sides of the maps that token tensors are carried as.

Tokens that are computed from each other elementwise, or each by itself, have the same sides, or else a reshape stands between
them. Which sides is free, unless they are viewed as something else: a backbone with windowed attention views all its tokens
``[1, B N, C]`` as windows ``[B, N, C]`` from block to block, and no reshape is left if both are the map ``[1, B, N, C]``.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping
from typing import Any

from torch import Tensor, fx

from detr2litert.graphs.native_ops import LAYER_NORM
from detr2litert.graphs.op_traits import BINARY, REDUCTIONS, UNARY
from detr2litert.graphs.token_map import map_shape
from detr2litert.graphs.toolbox import argument, aten, is_call, normalise_dim, sizes, value_of

_TOKENS, _MAP = 3, 4
_EACH = (*UNARY, *BINARY, aten.linear.default, aten.layer_norm.default, LAYER_NORM)
_ALONG = (aten.cat.default, aten.slice.Tensor, aten.softmax.int, *REDUCTIONS)


def map_sides(graph: fx.Graph) -> Mapping[fx.Node, tuple[int, int]]:
    """Returns height and width of the map for each token tensor ``[1, N, C]``, N above 1: of most views, else most equal."""
    groups = _groups(graph)
    votes: dict[fx.Node, Counter[tuple[int, int]]] = defaultdict(Counter)
    for node in graph.nodes:
        if is_call(node, aten.reshape.default):
            source = _unshaped(node)
            for tokens, other in ((node, source), (source, node)):
                sides = _sides_as(tokens, other)
                if sides is not None:
                    votes[groups[tokens]][sides] += 1
    chosen = {}
    for node, group in groups.items():
        common = votes[group].most_common(1)
        _, height, width, _ = map_shape(sizes(value_of(node).shape))
        chosen[node] = common[0][0] if common else (height, width)
    return chosen


def _is_tokens(node: fx.Node) -> bool:
    value = node.meta.get("val")
    return isinstance(value, Tensor) and value.dim() == _TOKENS and value.shape[0] == 1 and value.shape[1] > 1


def _groups(graph: fx.Graph) -> dict[fx.Node, fx.Node]:
    """Returns for each token tensor one that stands for all that need the same sides."""
    above: dict[fx.Node, fx.Node] = {node: node for node in graph.nodes if node.op != "get_attr" and _is_tokens(node)}

    def top(node: fx.Node) -> fx.Node:
        while above[node] is not node:
            node = above[node]
        return node

    for node in above:
        if is_call(node, *_EACH) or (is_call(node, *_ALONG) and _is_last(argument(node, 1, "dim", 0))):
            for operand in node.all_input_nodes:
                if operand in above and value_of(operand).shape[1] == value_of(node).shape[1]:
                    above[top(node)] = top(operand)
        elif is_call(node, aten.reshape.default) and _unshaped(node) in above:
            source = _unshaped(node)
            if value_of(source).shape == value_of(node).shape:
                above[top(node)] = top(source)
    return {node: top(node) for node in above}


def _is_last(dims: Any) -> bool:
    if dims is None:
        return False
    return {normalise_dim(int(d), _TOKENS) for d in (dims if isinstance(dims, list | tuple) else [dims])} == {_TOKENS - 1}


def _unshaped(node: fx.Node) -> fx.Node:
    """Returns the tensor that a reshape, or several in a row, views."""
    while is_call(node, aten.reshape.default):
        node = node.all_input_nodes[0]
    return node


def _sides_as(tokens: fx.Node, other: fx.Node) -> tuple[int, int] | None:
    """Returns the sides with which tokens have the shape of another view of them as it is carried, if that is a map of them."""
    if tokens.op == "get_attr" or not _is_tokens(tokens):
        return None
    shape = sizes(value_of(other).shape)
    carried = [1, *shape] if len(shape) == _TOKENS and shape[0] > 1 else shape
    if len(carried) != _MAP or carried[0] != 1 or min(carried[1:3]) == 1:
        return None
    _, count, channels = sizes(value_of(tokens).shape)
    return (carried[1], carried[2]) if (carried[1] * carried[2], carried[3]) == (count, channels) else None
