"""Splits a linear layer whose result is only read in parts.

Hazard: each part is a copy, a dispatch, where a layer of its own would write it where it is read.

Identity: the channels of a linear layer are independent of each other.

Given::

    %y = aten.sigmoid(aten.linear(%x, %W, %b))      # [B, N, 512]
    %u = aten.slice(%y, -1, 0, 256)
    %v = aten.slice(%y, -1, 256, 512)

Result::

    %u = aten.sigmoid(aten.linear(%x, %W[:256], %b[:256]))
    %v = aten.sigmoid(aten.linear(%x, %W[256:], %b[256:]))

Elementwise operators between the layer and the parts are repeated for each. Does not fire if the whole result is read as well,
if parts overlap, or if the weights are computed at run time. Exact up to the order of summation, which a backend may change
with the number of channels.
"""

from __future__ import annotations

import operator
from dataclasses import dataclass
from itertools import pairwise

from torch import fx

from detr2litert.graphs.op_traits import UNARY
from detr2litert.graphs.toolbox import (
    Emitter,
    argument,
    aten,
    calls,
    constant_of,
    has_constant_parameters,
    is_call,
    normalise_dim,
    only_user,
    replace,
    value_of,
)
from detr2litert.rewrites.contract import Findings, Miss, Site, fired, missed, rewrite

_SPLITS = (aten.split.Tensor, aten.split_with_sizes.default, aten.chunk.default)


@dataclass(frozen=True)
class _Part:
    """A node that is the channels ``start`` to ``stop`` of a layer's result."""

    node: fx.Node
    start: int
    stop: int


@rewrite(after=("vectorise_channels",))
def split_linears(graph_module: fx.GraphModule) -> Findings:
    found: list[Site | Miss] = []
    for layer in calls(graph_module, aten.linear.default):
        if not has_constant_parameters(graph_module, layer) or value_of(layer).dim() < 2:
            continue
        between: list[fx.Node] = []
        result = layer
        while (user := only_user(result)) is not None and is_call(user, *UNARY):
            between.append(user)
            result = user
        parts = _parts(result)
        if len(parts) < 2:
            continue
        if any(left.stop > right.start for left, right in pairwise(parts)):
            found.append(missed(layer, "its parts overlap"))
            continue
        found.append(fired(layer, f"{len(parts)} parts of {value_of(layer).shape[-1]} channels"))
        for part in parts:
            replace(part.node, _emit(graph_module, layer, between, part))
    return found


def _parts(result: fx.Node) -> list[_Part]:
    """Returns the parts that read a node, in order; none if anything else reads it."""
    parts: list[_Part] = []
    last = value_of(result).dim() - 1
    for user in result.users:
        if is_call(user, aten.slice.Tensor) and normalise_dim(argument(user, 1, "dim", 0), last + 1) == last:
            bounds = slice(*(argument(user, place, name, None) for place, name in ((2, "start"), (3, "end"), (4, "step"))))
            start, stop, step = bounds.indices(int(value_of(result).shape[-1]))
            if step != 1:
                return []
            parts.append(_Part(user, start, stop))
        elif is_call(user, *_SPLITS) and normalise_dim(argument(user, 2, "dim", 0), last + 1) == last:
            sizes = [int(part.shape[-1]) for part in user.meta["val"]]
            items = [item for item in user.users if item.target is operator.getitem]
            parts += [_Part(item, sum(sizes[: int(item.args[1])]), sum(sizes[: int(item.args[1]) + 1])) for item in items]  # type: ignore[arg-type]  # fmt: skip
        else:
            return []
    return sorted(parts, key=lambda part: part.start)


def _emit(graph_module: fx.GraphModule, layer: fx.Node, between: list[fx.Node], part: _Part) -> fx.Node:
    emit = Emitter(graph_module, part.node, provenance=layer)
    parameters = [constant_of(graph_module, argument(layer, i, "", None)) for i in (1, 2)]
    own = [emit.constant(p[part.start : part.stop], "part") for p in parameters if p is not None]
    node = emit(aten.linear.default, layer.args[0], *own)
    for step in between:
        node = emit(step.target, node, *step.args[1:], **step.kwargs)
    return node
