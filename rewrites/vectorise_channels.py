"""Computes all channels of a box at once instead of one channel at a time.

Hazard: decoding of boxes is written with scalars per query: select a coordinate, shift it, multiply it by a width, stack the
results. Each selection and each stack is a pass over memory, a dispatch, for a tensor of a few hundred numbers.

Identity: selections, sums and multiples of channels are one linear layer over all channels; products, exponentials and the like
are taken of a vector of channels.

Given::

    %x  = aten.select(%b, -1, 0)                    # four coordinates of %b, three more selections
    %dx = aten.select(%d, -1, 0)
    %l  = aten.sub(%x, aten.mul(aten.add(%dx, 2), %w))
    %y  = aten.stack([%l, %t, %r, %b], -1)          # [B, N, 4]

Result::

    %m = aten.mul(aten.add(%d, 2), aten.linear(%b, %W))
    %y = aten.add(aten.linear(%b, %P), aten.linear(%m, %Q))

Fires on a stack or concatenation along the last dimension whose channels are computed from at least as many selections as the
result needs linear layers. Does not fire where a channel depends on something that is not arithmetic of channels. Exact up to
the order of summation (1e-6). Evidence: the boxes of one decoder layer, 40 operators and 26 dispatches, become nine and five.
"""

from __future__ import annotations

import operator
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, fx

from detr2litert.graphs.toolbox import (
    Emitter,
    argument,
    aten,
    calls,
    constant_of,
    list_of,
    normalise_dim,
    replace,
    value_of,
)
from detr2litert.rewrites.contract import Findings, Miss, Site, fired, missed, rewrite

_MOST_CHANNELS = 8
_UNARY = (aten.exp.default, aten.sigmoid.default, aten.relu.default, aten.abs.default, aten.sign.default, aten.log.default)
_CLAMPS = (aten.clamp.default, aten.clamp_min.default, aten.clamp_max.default)


@dataclass(frozen=True)
class _Source:
    """One channel of a tensor that is not taken apart."""

    node: fx.Node
    channel: int


@dataclass(frozen=True)
class _Applied:
    """An operator applied to channels; ``options`` are its further arguments."""

    target: Any
    operands: tuple[_Channel, ...]
    options: tuple[Any, ...] = ()


@dataclass(frozen=True)
class _Channel:
    """``shift`` plus a sum of multiples of sources and applied operators, as pairs."""

    terms: tuple[tuple[_Source | _Applied, float], ...] = ()
    shift: float = 0.0

    def plus(self, other: _Channel, factor: float = 1.0) -> _Channel:
        terms = dict(self.terms)
        for term, weight in other.terms:
            terms[term] = terms.get(term, 0.0) + factor * weight
        kept = tuple((term, weight) for term, weight in terms.items() if weight != 0.0)
        return _Channel(kept, self.shift + factor * other.shift)

    def times(self, factor: float) -> _Channel:
        return _Channel().plus(self, factor)


@rewrite(after=("cancel_logit",), before=("fold_scales",))
def vectorise_channels(graph_module: fx.GraphModule) -> Findings:
    found: list[Site | Miss] = []
    known = _Channels(graph_module)
    for node in calls(graph_module, aten.stack.default, aten.cat.default):
        channels = known.of(node)
        if channels is None or not node.users or known.is_inside(node):
            continue
        plan = _Plan(channels)
        selections = known.selections(node)
        if plan.layers > selections:
            found.append(missed(node, f"{selections} selections, and {plan.layers} linear layers would replace them"))
            continue
        found.append(fired(node, f"{len(channels)} channels from {selections} selections"))
        replace(node, plan.emit(Emitter(graph_module, node)))
    return found


class _Channels:
    """The channels of a graph's narrow tensors, as far as they are arithmetic of channels."""

    def __init__(self, graph_module: fx.GraphModule) -> None:
        self._graph_module = graph_module
        self._known: dict[fx.Node, list[_Channel] | None] = {}
        for node in graph_module.graph.nodes:
            if node.op == "call_function":
                self._known[node] = self._compute(node)

    def of(self, node: fx.Node) -> list[_Channel] | None:
        """Returns the channels of a node that is computed from single channels of others."""
        return self._known.get(node)

    def is_inside(self, node: fx.Node) -> bool:
        """True if all readers are arithmetic of channels themselves."""
        return all(self.of(user) is not None for user in node.users)

    def selections(self, node: fx.Node) -> int:
        """Counts the selections and joins that a node's channels come from."""
        seen, pending, count = set(), [node], 0
        while pending:
            current = pending.pop()
            if current in seen or self.of(current) is None:
                continue
            seen.add(current)
            read = [n for n in current.all_input_nodes if constant_of(self._graph_module, n) is None]
            joins = current.target in (aten.stack.default, aten.cat.default)
            count += joins or (current.target in _SELECTING and self.of(read[0]) is None)
            pending += read
        return count

    def _compute(self, node: fx.Node) -> list[_Channel] | None:
        handler = _HANDLERS.get(node.target)
        value = node.meta.get("val")
        if handler is None or (isinstance(value, Tensor) and not self._narrow(value)):
            return None
        channels: list[_Channel] | None = handler(self, node)
        return channels

    @staticmethod
    def _narrow(value: Tensor) -> bool:
        return value.is_floating_point() and value.dim() >= 2

    def operand(self, node: Any, like: fx.Node) -> list[_Channel] | None:
        """Returns the channels of an operand of an elementwise operator: a number, a constant, or of a result's shape."""
        if isinstance(node, int | float):
            return [_Channel(shift=float(node))]
        constant = constant_of(self._graph_module, node)
        if constant is not None:
            return self._constant(constant, self.squeezed(like))
        channels = self.of(node)
        same = channels is not None and value_of(node).dim() == value_of(like).dim()
        return channels if same and self.squeezed(node) == self.squeezed(like) else None

    @staticmethod
    def _constant(value: Tensor, squeezed: bool) -> list[_Channel] | None:
        if value.numel() == 1:
            return [_Channel(shift=float(value))]
        row = value.reshape(-1, value.shape[-1])
        uniform = not squeezed and value.shape[-1] <= _MOST_CHANNELS and bool((row == row[:1]).all())
        return [_Channel(shift=float(number)) for number in row[0]] if uniform else None

    def squeezed(self, node: fx.Node) -> bool:
        """True if a node has one channel and no dimension for it."""
        while node.target not in (aten.select.int, operator.getitem):
            inputs = [n for n in node.all_input_nodes if self.of(n) is not None]
            if node.target in (*_JOINING, aten.unsqueeze.default, aten.slice.Tensor) or not inputs:
                return False
            node = inputs[0]
        return True

    def source(self, node: fx.Node) -> list[_Channel] | None:
        """Returns the channels of a tensor that is read by channel: its own, or those it is computed from."""
        channels = self.of(node)
        if channels is not None:
            return None if self.squeezed(node) else channels
        shape = value_of(node).shape
        if len(shape) < 3 or shape[-1] > _MOST_CHANNELS or not value_of(node).is_floating_point():
            return None
        return [_Channel(((_Source(node, channel), 1.0),)) for channel in range(int(shape[-1]))]


def _on_last(node: fx.Node, dim: Any) -> bool:
    rank = value_of(node).dim()
    return normalise_dim(int(dim), rank) == rank - 1


def _select(known: _Channels, node: fx.Node) -> list[_Channel] | None:
    source, dim, index = node.args[:3]
    assert isinstance(source, fx.Node)
    channels = known.source(source) if _on_last(source, dim) else None
    return None if channels is None else [channels[int(index)]]  # type: ignore[arg-type]


def _getitem(known: _Channels, node: fx.Node) -> list[_Channel] | None:
    unbind, index = node.args
    if not isinstance(unbind, fx.Node) or unbind.target is not aten.unbind.int:
        return None
    source = unbind.all_input_nodes[0]
    channels = known.source(source) if _on_last(source, argument(unbind, 1, "dim", 0)) else None
    return None if channels is None else [channels[int(index)]]  # type: ignore[arg-type]


def _slice(known: _Channels, node: fx.Node) -> list[_Channel] | None:
    source = node.all_input_nodes[0]
    if not _on_last(source, argument(node, 1, "dim", 0)):
        return None
    channels = known.source(source)
    bounds = slice(argument(node, 2, "start", None), argument(node, 3, "end", None), argument(node, 4, "step", 1))
    return None if channels is None else channels[bounds]


def _unsqueeze(known: _Channels, node: fx.Node) -> list[_Channel] | None:
    source = node.all_input_nodes[0]
    return known.of(source) if _on_last(node, node.args[1]) and known.squeezed(source) else None


def _join(known: _Channels, node: fx.Node) -> list[_Channel] | None:
    joined: list[_Channel] = []
    if not _on_last(node, argument(node, 1, "dim", 0)):
        return None
    for part in list_of(node.args[0]):
        channels = known.of(part)
        if channels is None or known.squeezed(part) != (node.target is aten.stack.default):
            return None
        joined += channels
    return joined if len(joined) <= _MOST_CHANNELS else None


def _pairs(known: _Channels, node: fx.Node) -> list[tuple[_Channel, _Channel]] | None:
    if node.kwargs or len(node.args) > 2:
        return None
    left, right = (known.operand(argument, node) for argument in node.args)
    if left is None or right is None or all(not isinstance(n, fx.Node) or known.of(n) is None for n in node.args):
        return None
    count = max(len(left), len(right))
    if {len(left), len(right)} - {1, count}:
        return None
    return list(zip(left * (count // len(left)), right * (count // len(right)), strict=True))


def _sum(sign: float) -> Any:
    def handler(known: _Channels, node: fx.Node) -> list[_Channel] | None:
        pairs = _pairs(known, node)
        return None if pairs is None else [left.plus(right, sign) for left, right in pairs]

    return handler


def _product(known: _Channels, node: fx.Node) -> list[_Channel] | None:
    pairs = _pairs(known, node)
    if pairs is None:
        return None
    products = []
    for left, right in pairs:
        if not left.terms or not right.terms:
            products.append(left.times(right.shift) if left.terms else right.times(left.shift))
        else:
            products.append(_Channel(((_Applied(aten.mul.Tensor, (left, right)), 1.0),)))
    return products


def _quotient(known: _Channels, node: fx.Node) -> list[_Channel] | None:
    pairs = _pairs(known, node)
    if pairs is None or any(right.terms or right.shift == 0.0 for _, right in pairs):
        return None
    return [left.times(1.0 / right.shift) for left, right in pairs]


def _unary(known: _Channels, node: fx.Node) -> list[_Channel] | None:
    channels = known.of(node.all_input_nodes[0])
    if channels is None or node.kwargs:
        return None
    return [_Channel(((_Applied(node.target, (channel,), tuple(node.args[1:])), 1.0),)) for channel in channels]


_SELECTING = (aten.select.int, operator.getitem, aten.slice.Tensor)
_JOINING = (aten.stack.default, aten.cat.default)
_HANDLERS: dict[Any, Any] = {
    aten.select.int: _select,
    operator.getitem: _getitem,
    aten.slice.Tensor: _slice,
    aten.unsqueeze.default: _unsqueeze,
    aten.add.Tensor: _sum(1.0),
    aten.sub.Tensor: _sum(-1.0),
    aten.mul.Tensor: _product,
    aten.div.Tensor: _quotient,
    **dict.fromkeys(_JOINING, _join),
    **dict.fromkeys((*_UNARY, *_CLAMPS), _unary),
}


@dataclass
class _Plan:
    """How a list of channels is computed: a linear layer per source, and per group of equal operators."""

    channels: Sequence[_Channel]
    layers: int = 0
    parts: list[tuple[fx.Node | _Group, Tensor]] = field(default_factory=list)

    def __post_init__(self) -> None:
        terms = dict.fromkeys(term for channel in self.channels for term, _ in channel.terms)
        sources = dict.fromkeys(term.node for term in terms if isinstance(term, _Source))
        for node in sources:
            self._add(node, [_Source(node, i) for i in range(int(value_of(node).shape[-1]))])
        kinds = dict.fromkeys((term.target, term.options) for term in terms if isinstance(term, _Applied))
        for kind in kinds:
            members = [term for term in terms if isinstance(term, _Applied) and (term.target, term.options) == kind]
            group = _Group(kind[0], kind[1], [_Plan(operands) for operands in zip(*(m.operands for m in members), strict=True)])
            self._add(group, members)
            self.layers += sum(plan.layers for plan in group.operands)

    def _add(self, part: fx.Node | _Group, terms: Sequence[_Source | _Applied]) -> None:
        weights = torch.tensor([[dict(channel.terms).get(term, 0.0) for term in terms] for channel in self.channels])
        self.parts.append((part, weights))
        self.layers += _diagonal(weights) is None

    def emit(self, emit: Emitter) -> fx.Node:
        """Emits the channels as one tensor, along its last dimension."""
        shift = torch.tensor([channel.shift for channel in self.channels])
        total: fx.Node | None = None
        for part, weights in self.parts:
            x = part if isinstance(part, fx.Node) else part.emit(emit)
            diagonal = _diagonal(weights)
            bias = emit.constant(shift, "shift") if total is None and bool(shift.any()) else None
            if diagonal is None:
                x = emit(aten.linear.default, x, emit.constant(weights, "channels"), bias)
            else:
                x = x if bool((diagonal == 1).all()) else emit(aten.mul.Tensor, x, _factor(emit, diagonal))
                x = x if bias is None else emit(aten.add.Tensor, x, _factor(emit, shift))
            total = x if total is None else emit(aten.add.Tensor, total, x)
        assert total is not None
        return total


@dataclass(frozen=True)
class _Group:
    """The same operator on several channels."""

    target: Any
    options: tuple[Any, ...]
    operands: list[_Plan]

    def emit(self, emit: Emitter) -> fx.Node:
        return emit(self.target, *(operand.emit(emit) for operand in self.operands), *self.options)


def _diagonal(weights: Tensor) -> Tensor | None:
    """Returns the diagonal of a matrix that has no other entries."""
    square = weights.shape[0] == weights.shape[1]
    return weights.diagonal() if square and torch.equal(weights, torch.diag(weights.diagonal())) else None


def _factor(emit: Emitter, values: Tensor) -> fx.Node | float:
    """Returns the operand of an elementwise operator: a number where all channels have the same."""
    return emit.constant(values, "channels") if bool((values != values[0]).any()) else float(values[0])
