"""Chooses where graph A ends: the cut that the fewest bytes cross.

What the selection reads is in graph A, and what depends on the selection is in graph B. The rest, which depends on the image
alone, may be in either. A second projector of the backbone's maps, which a decoder's keypoints sample, belongs in A: one map
crosses instead of four. The value projections of the decoder's layers belong in B: one map crosses instead of one a layer.

This is a minimum cut (Ford and Fulkerson, 1956): each value is an edge with its size as capacity, and an edge without bound
leads from it to each of its readers, which keeps graph A free of what graph B computes.
"""

from __future__ import annotations

import networkx
from torch import Tensor, fx

from detr2litert.graphs.op_traits import REARRANGEMENTS
from detr2litert.graphs.toolbox import ancestors

_FIRST, _SECOND = "graph A", "graph B"


def with_minimum_cut(in_a: set[fx.Node], on_host: set[fx.Node]) -> set[fx.Node]:
    """Returns graph A with those of the other nodes that are cheaper to cross after than before; of equal cuts the earliest.

    Args:
        in_a: what graph A must compute, with everything that it depends on.
        on_host: what the host computes; everything that depends on it is graph B's.
    """
    graph = next(iter(on_host)).graph
    flow = networkx.DiGraph()
    later = set(on_host)
    for node in graph.nodes:
        if node.op not in ("call_function", "output") or node in on_host:
            continue
        inputs = [n for n in node.all_input_nodes if n.op == "call_function"]
        if node.op == "output" or any(n in later for n in inputs):
            later.add(node)
        # Reversed, from graph B to graph A: of equal cuts the library returns the one that is nearest to the target.
        for read in inputs:
            if read not in on_host:
                value = _value(read)
                flow.add_edge(node, (value, "crossing"))
                flow.add_edge((value, "crossing"), value, **_capacity(value))
                flow.add_edge(read, node)
        # Only graph A has the image.
        if node in in_a or (node not in later and any(n.op == "placeholder" for n in node.all_input_nodes)):
            flow.add_edge(node, _FIRST)
        elif node in later:
            flow.add_edge(_SECOND, node)
    _, (_, first) = networkx.minimum_cut(flow, _SECOND, _FIRST)
    result = in_a | ancestors(node for node in first if isinstance(node, fx.Node))
    # What is only rearranged after the cut is rearranged before it: tokens of a map cross as they are read.
    for node in graph.nodes:
        if node.target in REARRANGEMENTS and node not in later:
            (read,) = node.all_input_nodes
            if read in result and read not in in_a and list(read.users) == [node]:
                result.add(node)
    return result


def _value(node: fx.Node) -> fx.Node:
    """Returns what a node is an arrangement of: one value crosses once (``graphs.one_crossing``)."""
    while node.target in REARRANGEMENTS:
        (node,) = node.all_input_nodes
    return node


def _capacity(node: fx.Node) -> dict[str, int]:
    """Returns the size of a value in bytes; without bound for a list of values, which cannot cross."""
    value = node.meta.get("val")
    return {"capacity": value.numel() * value.element_size()} if isinstance(value, Tensor) else {}
