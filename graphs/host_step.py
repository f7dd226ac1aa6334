"""The host step as data: what runs between the two graphs, in the terms of the bundle's manifest."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, fx

from detr2litert.graphs.toolbox import RewriteRefusedError, argument, aten, constant_of, normalise_dim, sizes, value_of


@dataclass(frozen=True)
class HostOp:
    """One op of the host step: ``output = op(*inputs, **attributes)`` on named tensors.

    ``source`` is the graph node whose value it computes, "" for one that only reads a buffer in another shape.
    """

    op: str
    inputs: tuple[str, ...]
    output: str
    attributes: dict[str, Any] = field(default_factory=dict)
    source: str = ""


@dataclass(frozen=True)
class HostProgram:
    """A small program in single assignment form.

    Attributes:
        inputs: names of graph A's outputs that it reads.
        constants: float32 or int64 tensors by name.
        ops: in order.
        outputs: names of graph B's inputs that it writes.
    """

    inputs: tuple[str, ...]
    constants: dict[str, Tensor]
    ops: tuple[HostOp, ...]
    outputs: tuple[str, ...]


_ELEMENTWISE = {
    aten.relu.default: "relu",
    aten.silu.default: "silu",
    aten.sigmoid.default: "sigmoid",
    aten.exp.default: "exp",
    aten.log.default: "log",
    aten.add.Tensor: "add",
    aten.sub.Tensor: "sub",
    aten.mul.Tensor: "mul",
    aten.div.Tensor: "div",
    aten.maximum.default: "maximum",
    aten.minimum.default: "minimum",
}


class HostProgramBuilder:
    """Translates graph nodes into host ops.

    Args:
        graph_module: owner of the constants.
        names: names already given to nodes: the inputs, and the nodes whose values the second graph reads.
    """

    def __init__(self, graph_module: fx.GraphModule, names: dict[fx.Node, str]) -> None:
        self._graph_module = graph_module
        self._names = dict(names)
        self._constants: dict[str, Tensor] = {}
        self._ops: list[HostOp] = []

    def topk(self, scores: fx.Node, indices: fx.Node, k: int, axis: int) -> None:
        """The selection itself; every gather reads its result."""
        self._names[indices] = "indices"
        self._ops.append(HostOp("topk", (self._names[scores],), "indices", {"k": k, "axis": axis}, indices.name))

    def reshape(self, source: str, output: str, shape: list[int]) -> None:
        """Read the buffer of one tensor as another shape."""
        self._ops.append(HostOp("reshape", (source,), output, {"shape": shape}))

    def rename(self, node: fx.Node, name: str) -> None:
        """Give a node another name from here on."""
        self._names[node] = name

    def gather(self, node: fx.Node, indices: fx.Node) -> None:
        """Pick tokens: ``[1, N, C]`` at ``[1, k]`` gives ``[1, k, C]``."""
        source = node.args[0]
        assert isinstance(source, fx.Node)
        self._append("gather", (self._name(source), self._names[indices]), node, {"axis": 1})

    def translate(self, node: fx.Node) -> None:
        """Add a tail node.

        Raises:
            RewriteRefusedError: the host step has no op for it.
        """
        translation = _TRANSLATIONS.get(node.target)
        if translation is not None:
            op, operands, attributes = translation(node)
        elif node.target in _ELEMENTWISE and not node.kwargs:
            op, operands, attributes = _ELEMENTWISE[node.target], list(node.args), {}
        else:
            raise RewriteRefusedError(
                node, "the host step has no such op", "choose a target whose tail runs in the second graph"
            )
        self._append(op, tuple(self._name(operand) for operand in operands if operand is not None), node, attributes)

    def finish(self, inputs: tuple[str, ...], outputs: tuple[str, ...]) -> HostProgram:
        """The program so far."""
        return HostProgram(inputs, dict(self._constants), tuple(self._ops), outputs)

    def _append(self, op: str, inputs: tuple[str, ...], node: fx.Node, attributes: dict[str, Any]) -> None:
        output = self._names.setdefault(node, node.name)
        self._ops.append(HostOp(op, inputs, output, attributes, node.name))

    def _name(self, operand: Any) -> str:
        if isinstance(operand, fx.Node):
            constant = constant_of(self._graph_module, operand)
            if constant is not None:
                name = self._names.setdefault(operand, str(operand.target))
                self._constants[name] = constant
            return self._names[operand]
        name = f"number_{float(operand)!r}".replace(".", "_").replace("-", "minus_")
        self._constants[name] = torch.tensor([float(operand)])
        return name


Translation = tuple[str, list[Any], dict[str, Any]]


def _linear(node: fx.Node) -> Translation:
    return "linear", list(node.args), {}


def _layer_norm(node: fx.Node) -> Translation:
    return "layer_norm", [node.args[0], *node.args[2:4]], {"eps": float(argument(node, 4, "eps", 1e-5))}


def _slice(node: fx.Node) -> Translation:
    x = node.args[0]
    assert isinstance(x, fx.Node)
    axis = normalise_dim(argument(node, 1, "dim", 0), value_of(x).dim())
    size = int(value_of(x).shape[axis])
    start, end, step = slice(
        argument(node, 2, "start", None), argument(node, 3, "end", None), argument(node, 4, "step", 1)
    ).indices(size)
    if step != 1:
        raise RewriteRefusedError(
            node, "a strided slice in the host step", "choose a target whose tail runs in the second graph"
        )
    return "slice", [x], {"axis": axis, "start": start, "end": end}


def _concat(node: fx.Node) -> Translation:
    axis = normalise_dim(argument(node, 1, "dim", 0), value_of(node).dim())
    return "concat", list(node.args[0]), {"axis": axis}  # type: ignore[arg-type]


def _gelu(node: fx.Node) -> Translation:
    return "gelu", [node.args[0]], {"approximate": str(node.kwargs.get("approximate", "none"))}


def _rsub(node: fx.Node) -> Translation:
    if argument(node, 2, "alpha", 1) != 1:
        raise RewriteRefusedError(node, "a factor on the operand", "write the factor as a multiplication of its own")
    return "sub", [node.args[1], node.args[0]], {}


def _clamp(node: fx.Node) -> Translation:
    names = ["max"] if node.target is aten.clamp_max.default else ["min", "max"]
    bounds = {name: argument(node, i, name, None) for i, name in enumerate(names, 1)}
    return "clamp", [node.args[0]], {key: float(value) for key, value in bounds.items() if value is not None}


def _reshape(node: fx.Node) -> Translation:
    return "reshape", [node.args[0]], {"shape": sizes(value_of(node).shape)}


_TRANSLATIONS: dict[Any, Callable[[fx.Node], Translation]] = {
    aten.linear.default: _linear,
    aten.layer_norm.default: _layer_norm,
    aten.slice.Tensor: _slice,
    aten.cat.default: _concat,
    aten.clamp.default: _clamp,
    aten.clamp_max.default: _clamp,
    aten.clamp_min.default: _clamp,
    aten.gelu.default: _gelu,
    aten.rsub.Scalar: _rsub,
    aten.reshape.default: _reshape,
}
