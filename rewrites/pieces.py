"""Recognises a slice of a tensor, and one result of a split, as the same thing: a piece along one dimension."""

from __future__ import annotations

import operator
from dataclasses import dataclass
from typing import Any

from torch import fx

from detr2litert.graphs.toolbox import argument, aten, is_call, normalise_dim, value_of

_SPLITS = (aten.split.Tensor, aten.split_with_sizes.default)


@dataclass(frozen=True)
class Piece:
    """What a slice, or one result of a split, is: ``source[..., start:stop, ...]`` along ``dim``."""

    source: fx.Node
    dim: int
    start: int
    stop: int


def piece_of(node: fx.Node) -> Piece | None:
    """Returns what a node cuts from which tensor; None if it is no slice of step one, nor a result of a split."""
    if is_call(node, aten.slice.Tensor) and argument(node, 4, "step", 1) == 1:
        source = node.all_input_nodes[0]
        shape = value_of(source).shape
        dim = normalise_dim(argument(node, 1, "dim", 0), len(shape))
        start, stop, _ = slice(argument(node, 2, "start", None), argument(node, 3, "end", None)).indices(shape[dim])
        return Piece(source, dim, start, stop)
    if is_call(node, operator.getitem) and is_call(node.args[0], *_SPLITS):
        split: Any = node.args[0]
        number: Any = node.args[1]
        source = split.args[0]
        dim = normalise_dim(argument(split, 2, "dim", 0), value_of(source).dim())
        lengths = [int(part.shape[dim]) for part in split.meta["val"]]
        return Piece(source, dim, sum(lengths[:number]), sum(lengths[: number + 1]))
    return None
