"""Lets each value cross from graph A to graph B once, in whatever arrangements graph B reads it.

Given, in graph A::

    %x = aten.conv2d(...)                                          # [1, 64, 26, 26], which a mask head resizes
    %y = aten.permute(aten.reshape(%x, [1, 64, 676]), [0, 2, 1])   # the tokens of the decoder

Both were outputs of A and inputs of B, of the same figures. Result: ``%y`` crosses alone, and graph B begins with::

    %x = aten.reshape(aten.permute(%y, [0, 2, 1]), [1, 64, 26, 26])

Tokens are preferred: their channels are last, as in the delegate's own layout and TFLite's, so that graph A need not transpose
what it writes, and the transposition in graph B vanishes in front of a convolution or a resize. For a picture of
768 x 768 pixels in patches of 12 that is one tensor of 4 MB less, and two transpositions.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

import torch
from torch import fx

from detr2litert.graphs.op_traits import REARRANGEMENTS, Trait, ops_with
from detr2litert.graphs.toolbox import aten, sizes, value_of

_PERMUTES = ops_with(Trait.PERMUTES)
_TOKENS = 3


def crossing_once(buffers: Sequence[fx.Node], read_by_host: Collection[fx.Node]) -> tuple[list[fx.Node], list[fx.Node]]:
    """Returns the buffers that cross, and those among them that stand for another arrangement of the same value.

    Args:
        buffers: what graph B and the host step read of graph A, in graph order.
        read_by_host: those of them that the host step reads, which cross as they are.
    """
    groups: dict[fx.Node, list[fx.Node]] = {}
    for buffer in buffers:
        groups.setdefault(_chain(buffer)[-1], []).append(buffer)
    crossing, shared = set[fx.Node](), list[fx.Node]()
    for group in groups.values():
        needed = [buffer for buffer in group if buffer in read_by_host]
        tokens = [buffer for buffer in group if value_of(buffer).dim() == _TOKENS]
        chosen = next(iter(needed + tokens), group[-1])
        crossing.update([chosen, *needed])
        if len(group) > 1:
            shared.append(chosen)
    return [buffer for buffer in buffers if buffer in crossing], shared


def undo_rearrangements(graph: fx.Graph, node: fx.Node, copies: dict[fx.Node, fx.Node]) -> None:
    """Emits, from the copy of ``node``, the values that ``node`` is a rearrangement of, and enters them into ``copies``."""
    for made, source in zip(_chain(node), _chain(node)[1:], strict=False):
        if source in copies:
            continue
        if made.target in _PERMUTES:
            copy = graph.call_function(aten.permute.default, (copies[made], _inverse_order(made)))
        else:
            copy = graph.call_function(aten.reshape.default, (copies[made], sizes(value_of(source).shape)))
        copy.meta = dict(source.meta)
        copies[source] = copy


def _chain(node: fx.Node) -> list[fx.Node]:
    """Returns a node, what it is a rearrangement of, and so on up to the value that an operator computes."""
    chain = [node]
    while chain[-1].target in REARRANGEMENTS:
        chain.append(chain[-1].all_input_nodes[0])
    return chain


def _inverse_order(node: fx.Node) -> list[int]:
    """Returns the permutation that undoes that of a node; the strides of a meta tensor tell which dimension went where."""
    rank = value_of(node).dim()
    numbered = torch.empty_strided([2] * rank, [*range(rank)], device="meta")
    order: list[int] = list(node.target(numbered, *node.args[1:], **node.kwargs).stride())  # type: ignore[operator]
    return [order.index(dimension) for dimension in range(rank)]
