"""Find the query selection: the top-k whose indices pick tokens.

Two-stage detectors score every token of the encoder's memory, keep the k best, and gather those. That top-k is where a
detector is cut: its indices need a gather, which no phone GPU takes, and its cost on a CPU is a fraction of a millisecond.
"""

from __future__ import annotations

import operator
from dataclasses import dataclass

import torch
from torch import fx

from rewrites.base import RewriteRefusedError, aten, calls, value_of


class NoSelectionError(Exception):
    """The graph has no top-k whose indices select tokens: not a two-stage detector of the kind this compiler cuts."""


@dataclass(frozen=True)
class Selection:
    """The query selection of one graph.

    Attributes:
        topk: the ``aten.topk`` call.
        scores: its input, ``[1, N]``.
        indices: the node of its indices, ``[1, k]``.
        gathers: the ``aten.gather`` calls whose index descends from ``indices``, all along the token axis.
        k, axis: of the top-k.
    """

    topk: fx.Node
    scores: fx.Node
    indices: fx.Node
    gathers: tuple[fx.Node, ...]
    k: int
    axis: int


def find_selection(graph_module: fx.GraphModule) -> Selection:
    """Find the one top-k whose indices are used to gather.

    Raises:
        NoSelectionError: there is none.
        RewriteRefusedError: there are several, or the indices are used in a way that a host step cannot express.
    """
    found = []
    for topk in calls(graph_module, aten.topk.default):
        indices = [user for user in topk.users if user.target is operator.getitem and user.args[1] == 1]
        gathers = [gather for index in indices for gather in _gathers(index)]
        if gathers:
            found.append((topk, indices[0], tuple(dict.fromkeys(gathers))))
    if not found:
        raise NoSelectionError(
            "looked for a top-k whose indices select tokens (the query selection of a two-stage DETR) and found "
            f"{len(calls(graph_module, aten.topk.default))} top-k ops, none of which feeds a gather"
        )
    topk, index, gathers = found[0]
    if len(found) > 1:
        raise RewriteRefusedError(found[1][0], "a second query selection", "only detectors with one query selection can be cut in two")
    scores = topk.all_input_nodes[0]
    if value_of(scores).dim() != 2 or value_of(scores).shape[0] != 1:
        raise RewriteRefusedError(topk, "a selection over scores that are not [1, tokens]", "export the detector with batch size one")
    for gather in gathers:
        if value_of(gather).dim() != 3 or gather.args[1] not in (1, -2):
            raise RewriteRefusedError(gather, "a selection that is not along the token axis of [1, tokens, channels]", "gather tokens along axis 1")
    return Selection(topk, scores, index, gathers, int(topk.args[1]), 1)  # type: ignore[arg-type]


def _gathers(index: fx.Node) -> list[fx.Node]:
    """Gathers reached from an index through integer ops."""
    found: list[fx.Node] = []
    pending = [index]
    while pending:
        node = pending.pop()
        for user in node.users:
            if user.target is aten.gather.default and user.args[2] is node:
                found.append(user)
            elif user.op == "call_function" and _is_integer(user):
                pending.append(user)
            elif user.op == "call_function":
                raise RewriteRefusedError(user, "it reads the selection's indices", "only gathers along the token axis can use them")
    return found


def _is_integer(node: fx.Node) -> bool:
    value = node.meta.get("val")
    return isinstance(value, torch.Tensor) and not value.is_floating_point()
