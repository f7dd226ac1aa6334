"""Traces an ATen graph again in simpler operators: applies decompositions in one run over tensors without data.

``ExportedProgram.run_decompositions`` does the same for any program: it traces several times to find which tensors alias, are
written to or need a gradient, and took two thirds of a conversion. A rewritten part has static shapes, no gradient and no
operator that writes into its operands, so that one run on meta tensors is sufficient: each operator is either in the table, and
then its decomposition runs, or it is recorded unchanged.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

import torch
from torch import Tensor, fx
from torch._export.utils import _is_preservable_cia_op
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode, _disable_current_modes
from torch.utils._pytree import tree_map

from detr2litert.graphs.toolbox import graph_module_of

aten = torch.ops.aten

Table = Mapping[Any, Callable[..., Any]]
"""Operator overload to a function that computes the same with simpler operators, or returns NotImplemented."""

_ORIGIN = "nn_module_stack"
_FUNCTIONAL: Mapping[Any, Any] = {aten.add_.Tensor: aten.add.Tensor}
"""In-place operators and their out-of-place forms. litert-torch's layout pass adds a bias in place."""


@torch.no_grad()
def retrace(graph_module: fx.GraphModule, table: Table, *, shapes_hold: bool = True) -> fx.GraphModule:
    """Returns the graph with every operator of ``table`` decomposed, and every Python function traced.

    Args:
        graph_module: placeholders, ``get_attr`` constants, calls of ATen overloads or of Python functions on tensors, and an
            output that is a tuple. Each placeholder has ``meta["val"]``.
        table: decompositions.
        shapes_hold: every other node has a valid ``meta["val"]`` too; False if a pass has changed layouts since.

    Returns:
        A graph of overloads only, whose constants are those of ``graph_module`` and come first, in the order of their
        registration there. Nodes have ``meta["val"]``, a meta tensor, and the module stack of their original node.

    Raises:
        TypeError: an operator writes into an operand.
    """
    recorder = _Recorder(table, shapes_hold)
    values: dict[fx.Node, Any] = {}
    for node in _constants_first(graph_module):
        if node.op == "placeholder":
            values[node] = recorder.placeholder(node)
        elif node.op == "get_attr":
            values[node] = recorder.constant(str(node.target), getattr(graph_module, str(node.target)))
        elif node.op == "output":
            recorder.output(fx.node.map_arg(node.args[0], values.__getitem__))
        else:
            values[node] = recorder.run(node, *fx.node.map_arg((node.args, node.kwargs), values.__getitem__))
    return graph_module_of(graph_module, recorder.graph)


def _constants_first(graph_module: fx.GraphModule) -> list[fx.Node]:
    """Returns the nodes in execution order, constants first; the converter writes constants in order of appearance."""
    place = {name: number for number, (name, _) in enumerate(graph_module.named_buffers(remove_duplicate=False))}
    return sorted(graph_module.graph.nodes, key=lambda n: place[str(n.target)] if n.op == "get_attr" else len(place))


class _Recorder(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Records every operator that reaches the dispatcher; operators that PyTorch composes in C++ arrive in parts."""

    def __init__(self, table: Table, shapes_hold: bool) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.graph = fx.Graph()
        self._table = table
        self._shapes_hold = shapes_hold
        self._origin: dict[str, Any] = {}
        self._nodes: dict[int, fx.Node] = {}
        self.decomposing = 0  # depth of nested decompositions: within one, PyTorch decomposes its composite operators
        self._alive: list[Tensor] = []  # an id is unique only while its tensor is alive

    def placeholder(self, node: fx.Node) -> Tensor:
        """Adds an input of the graph."""
        copy = self.graph.placeholder(str(node.target))
        return self._stands_for(copy, torch.empty_like(node.meta["val"], device="meta"))

    def constant(self, name: str, value: Tensor) -> Tensor:
        """Adds a constant that the root module has under ``name``."""
        return self._stands_for(self.graph.get_attr(name), torch.empty_like(value, device="meta"))

    def output(self, values: Any) -> None:
        """Adds the graph's output."""
        self.graph.output(tree_map(self._operand, values))

    def run(self, node: fx.Node, args: Any, kwargs: Any) -> Any:
        """Computes and records the node's value."""
        target: Any = node.target
        self._origin = {_ORIGIN: node.meta[_ORIGIN]} if _ORIGIN in node.meta else {}
        if self._shapes_hold and self._stays(target) and isinstance(node.meta.get("val"), Tensor):
            value = node.meta["val"]
            # Its shape is known: computing it again would take most of the time.
            known = torch.empty_strided(value.shape, value.stride(), dtype=value.dtype, device="meta")
            return self.record(target, args, kwargs, known)
        with _Composites(self), self:
            return target(*args, **kwargs)

    def _stays(self, target: Any) -> bool:
        """True if an operator is recorded unchanged: it is not in the table, and PyTorch does not decompose it."""
        if not isinstance(target, torch._ops.OpOverload) or target in self._table or target in _FUNCTIONAL:
            return False
        return _is_composite(target) or not target._can_decompose()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Returns the operator's result and adds the nodes of its parts to the graph."""
        kwargs = kwargs or {}
        result = self.decompose(func, args, kwargs)
        if result is NotImplemented:
            with self:
                result = func.decompose(*args, **kwargs)
        if result is NotImplemented:
            return self.record(func, args, kwargs)
        # A view must not be the same object as its base, as the decomposition of an identity transpose returns it.
        return self._another(result) if any(result is argument for argument in args) else result

    def decompose(self, func: Any, args: Any, kwargs: Any) -> Any:
        """Runs and records the operator's decomposition; NotImplemented if the table has none."""
        if func not in self._table:
            return NotImplemented
        self.decomposing += 1
        with self:
            result = self._table[func](*args, **kwargs)
        self.decomposing -= 1
        return result

    def record(self, func: Any, args: Any, kwargs: Any, known: Tensor | None = None) -> Any:
        """Returns the operator's result, or ``known`` if given, and adds its node to the graph."""
        target = _FUNCTIONAL.get(func, func)
        if target._schema.is_mutable:
            raise TypeError(f"{target} writes into an operand: a graph that is lowered must not")
        operands, options = tree_map(self._operand, (tuple(args), kwargs))
        node = self.graph.call_function(target, operands, options)
        result = known
        if result is None:
            result = args[0] if target is not func else tree_map(_without_data, func(*args, **kwargs))
        node.meta = {**self._origin, "val": result}
        if isinstance(result, Tensor):
            return self._stands_for(node, result)
        for number, part in enumerate(result):
            item = self.graph.call_function(operator.getitem, (node, number))
            item.meta = dict(self._origin)
            self._stands_for(item, part)
        return result

    def _operand(self, value: Any) -> Any:
        return self._nodes[id(value)] if isinstance(value, Tensor) else value

    def _another(self, value: Tensor) -> Tensor:
        """Returns a second tensor for the node of a tensor."""
        copy = torch.empty_strided(value.shape, value.stride(), dtype=value.dtype, device="meta")
        return self._stands_for(self._nodes[id(value)], copy)

    def _stands_for(self, node: fx.Node, value: Tensor) -> Tensor:
        node.meta["val"] = value
        self._nodes[id(value)] = node
        self._alive.append(value)
        return value


class _Composites(TorchFunctionMode):
    """Passes to the recorder those operators that the dispatcher would decompose first."""

    def __init__(self, recorder: _Recorder) -> None:
        super().__init__()
        self._recorder = recorder

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if isinstance(func, torch._ops.OpOverload) and not self._recorder.decomposing and _is_composite(func):
            with _disable_current_modes():
                result = self._recorder.decompose(func, args, kwargs)
                return self._recorder.record(func, args, kwargs) if result is NotImplemented else result
        return func(*args, **kwargs)


@cache
def _is_composite(func: torch._ops.OpOverload) -> bool:
    """True for an operator that PyTorch composes of others but that a program may keep whole, since it makes no view."""
    return bool(_is_preservable_cia_op(func))


def _without_data(value: Any) -> Any:
    """Moves the value to the meta device, if an operator such as ``arange`` made it elsewhere."""
    return value.to("meta") if isinstance(value, Tensor) else value
