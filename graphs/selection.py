"""Finds the query selection: the top-k whose indices select tokens.

Two-stage detectors score every token of the encoder's memory, keep the k best, and gather those. A detector is cut at that
top-k: on a CPU it costs a fraction of a millisecond, and on the GPU more than two hundred dispatches. Its indices need a
gather, which the delegate accepts for whole rows at a vector of indices alone.
"""

from __future__ import annotations

import operator
from dataclasses import dataclass

from torch import fx

from detr2litert.graphs.op_traits import INDEX_VIEWS
from detr2litert.graphs.toolbox import RewriteRefusedError, argument, aten, calls, is_call, sizes, value_of


class NoSelectionError(Exception):
    """The graph has no top-k whose indices select tokens: it is not a two-stage detector that this compiler can cut."""


@dataclass(frozen=True)
class Selection:
    """The query selection of one graph.

    Attributes:
        topk: the ``aten.topk`` call.
        scores: its input, ``[1, N]``.
        indices: the node of its indices, ``[1, k]``.
        gathers: the ``aten.gather`` calls that select the tokens at ``indices``, in graph order.
        k, axis: of the top-k.
    """

    topk: fx.Node
    scores: fx.Node
    indices: fx.Node
    gathers: tuple[fx.Node, ...]
    k: int
    axis: int


def find_selection(graph_module: fx.GraphModule) -> Selection:
    """Finds the one top-k whose indices are used to gather.

    Raises:
        NoSelectionError: there is none.
        RewriteRefusedError: there are several, or the indices are used in a way that a host step cannot express.
    """
    found = []
    for topk in calls(graph_module, aten.topk.default):
        indices = [user for user in topk.users if user.target is operator.getitem and user.args[1] == 1]
        reached = {gather for index in indices for gather in _gathers(index)}
        if reached:
            found.append((topk, indices[0], tuple(node for node in graph_module.graph.nodes if node in reached)))
    if not found:
        raise NoSelectionError(
            "no top-k whose indices select tokens (the query selection of a two-stage DETR): there are "
            f"{len(calls(graph_module, aten.topk.default))} top-k ops, none of which feeds a gather"
        )
    topk, index, gathers = found[0]
    if len(found) > 1:
        raise RewriteRefusedError(found[1][0], "a second query selection", "only a detector with one can be cut in two")
    if not argument(topk, 3, "largest", True):
        raise RewriteRefusedError(topk, "a selection of the lowest scores", "select by the largest of the negated scores")
    scores = topk.all_input_nodes[0]
    if value_of(scores).dim() != 2 or value_of(scores).shape[0] != 1:
        raise RewriteRefusedError(topk, "a selection over scores that are not [1, tokens]", "export with batch size one")
    for user in topk.users:
        if user.args[1] != 1:
            raise RewriteRefusedError(user, "it reads the selected scores", "gather them from the scores of all tokens")
    k = int(topk.args[1])  # type: ignore[arg-type]
    for gather in gathers:
        source, selected = (sizes(value_of(n).shape) for n in (gather.all_input_nodes[0], gather))
        whole = len(source) == 3 and source[:2] == sizes(value_of(scores).shape) and selected == [1, k, source[2]]
        if not whole or gather.args[1] not in (1, -2):
            raise RewriteRefusedError(
                gather, "a gather that does not select whole tokens", "gather [1, tokens, channels] along axis 1"
            )
    return Selection(topk, scores, index, gathers, k, 1)


def _gathers(index: fx.Node) -> set[fx.Node]:
    """Returns the gathers that read an index, directly or through views and copies."""
    found: set[fx.Node] = set()
    pending = [index]
    while pending:
        node = pending.pop()
        for user in node.users:
            if user.target is aten.gather.default and user.args[2] is node:
                found.add(user)
            elif is_call(user, *INDEX_VIEWS):
                pending.append(user)
            else:
                raise RewriteRefusedError(user, "it reads the selection's indices", "only gathers of whole tokens can use them")
    return found
