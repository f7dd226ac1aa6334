"""Hoists the selection's gathers towards the tensors that both halves need anyway.

A per-token function commutes with selecting tokens::

    gather(f(x), i) = f(gather(x, i))

so a box head that a detector runs over thousands of tokens, a few hundred of which are selected, can run over the few hundred.
The outputs of the first graph are then the scores and the memory only, each a leaf.

The nodes emitted after the new gathers are the selection's *tail*: per-token ops over k tokens, which may run on the host or in
the second graph.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor, fx

from detr2litert.graphs.op_traits import BINARY, PER_TOKEN
from detr2litert.graphs.provenance import stamp
from detr2litert.graphs.selection import Selection
from detr2litert.graphs.toolbox import (
    Emitter,
    ancestors,
    argument,
    aten,
    constant_of,
    normalise_dim,
    remove_dead_code,
    replace,
    value_of,
)


@dataclass
class HoistedSelection:
    """The result of hoisting.

    Attributes:
        gathers: the remaining gathers, ``[1, k, C]`` each, of leaves or of constants.
        tail: the per-token nodes after them, in graph order.
    """

    gathers: list[fx.Node] = field(default_factory=list)
    tail: list[fx.Node] = field(default_factory=list)


def hoist_gather(graph_module: fx.GraphModule, selection: Selection) -> HoistedSelection:
    """Hoists every gather of the selection, in place. Exact."""
    known = set(graph_module.graph.nodes)
    hoister = _Hoister(graph_module, selection)
    for gather in selection.gathers:
        source = gather.args[0]
        assert isinstance(source, fx.Node)
        replace(gather, hoister.selected(source, gather))
    remove_dead_code(graph_module)
    live = set(graph_module.graph.nodes)
    stamp(live - known, hoist_gather.__name__)
    order = {node: i for i, node in enumerate(graph_module.graph.nodes)}
    hoisted = hoister.result
    return HoistedSelection(
        sorted((n for n in hoisted.gathers if n in live), key=order.__getitem__),
        sorted((n for n in hoisted.tail if n in live), key=order.__getitem__),
    )


class _Hoister:
    def __init__(self, graph_module: fx.GraphModule, selection: Selection) -> None:
        self._graph_module = graph_module
        self._selection = selection
        self._tokens = int(value_of(selection.scores).shape[1])
        self._before = ancestors([selection.scores, *(g.args[0] for g in selection.gathers)])  # type: ignore[list-item]
        self._done: dict[fx.Node, fx.Node] = {}
        self._constants: list[tuple[Tensor, fx.Node]] = []
        self.result = HoistedSelection()

    def selected(self, x: fx.Node, at: fx.Node) -> fx.Node:
        """Returns the node of ``gather(x, indices)``, emitted before ``at``."""
        if x not in self._done:
            self._done[x] = self._select(x, at)
        return self._done[x]

    def _select(self, x: fx.Node, at: fx.Node) -> fx.Node:
        constant = constant_of(self._graph_module, x)
        if constant is not None:
            return self._select_constant(x, constant, at)
        operands = None if self._is_read_whole(x) else self._token_operands(x)
        if operands is None:
            return self._gather(x, at)
        chosen = {operand: self.selected(operand, at) for operand in operands}
        emit = Emitter(self._graph_module, at, provenance=x)
        args = fx.node.map_arg(x.args, lambda n: chosen.get(n, n))
        node = emit(x.target, *args, **x.kwargs)
        self.result.tail.append(node)
        return node

    def _is_read_whole(self, x: fx.Node) -> bool:
        """Returns True if the second graph reads all of ``x``, which then crosses the cut in any case."""
        return any(user not in self._before and user not in self._selection.gathers for user in x.users)

    def _token_operands(self, x: fx.Node) -> list[fx.Node] | None:
        """Returns the operands of ``x`` that have one row per token, or None if ``x`` mixes tokens."""
        shape = value_of(x).shape if isinstance(x.meta.get("val"), Tensor) else ()
        if x.op != "call_function" or len(shape) != 3 or shape[1] != self._tokens:
            return None
        if x.target is aten.layer_norm.default and x.args[1] != [shape[2]]:
            return None
        if x.target in PER_TOKEN:
            return [x.all_input_nodes[0]]
        if x.target in (aten.cat.default, aten.slice.Tensor):
            return list(x.all_input_nodes) if normalise_dim(argument(x, 1, "dim", 0), 3) == 2 else None
        if x.target in BINARY:
            rows = [n for n in x.all_input_nodes if value_of(n).dim() == 3 and value_of(n).shape[1] == self._tokens]
            return rows if all(value_of(n).dim() == 3 for n in rows) else None
        return None

    def _select_constant(self, x: fx.Node, constant: Tensor, at: fx.Node) -> fx.Node:
        if bool((constant == constant[:, :1]).all()):
            row = constant[:, :1].expand(-1, self._selection.k, -1)
            return Emitter(self._graph_module, at).constant(row, f"{x.target}_row")
        for known, gather in self._constants:
            if known.shape == constant.shape and torch.equal(known, constant):
                return gather
        gather = self._gather(x, at)
        self._constants.append((constant, gather))
        return gather

    def _gather(self, x: fx.Node, at: fx.Node) -> fx.Node:
        emit = Emitter(self._graph_module, at)
        channels = int(value_of(x).shape[2])
        index = emit(aten.expand.default, emit(aten.unsqueeze.default, self._selection.indices, -1), [-1, -1, channels])
        gather = emit(aten.gather.default, x, 1, index)
        self.result.gathers.append(gather)
        return gather
