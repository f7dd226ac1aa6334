"""The host step, from graph nodes: translated into ops of the runtimes' table, `host_runtime/host_ops.json`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, fx

from detr2litert.graphs.toolbox import RewriteRefusedError, argument, aten, constant_of, normalise_dim, sizes, value_of
from detr2litert.host_runtime.host_program import HostOp, HostProgram
from detr2litert.host_runtime.host_table import HOST_OPS
from detr2litert.host_runtime.tensor_spec import TensorSpec

_ADVICE = "choose a target whose tail runs in the second graph"


@dataclass(frozen=True)
class HostPart:
    """What runs between the two graphs: the program that the bundle carries, and what only the compiler knows of it.

    Attributes:
        program: as the manifest writes it.
        constants: the values of ``program.constants`` by name, float32.
        sources: for a tensor of the program, the graph node whose value it is. A reshape that only reads a buffer in another
            shape has none.
    """

    program: HostProgram
    constants: dict[str, Tensor]
    sources: dict[str, str]


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
        self._sources: dict[str, str] = {}

    def topk(self, scores: fx.Node, indices: fx.Node, k: int, axis: int) -> None:
        """The selection itself; every gather reads its result."""
        self._names[indices] = "indices"
        self._append("topk", (self._names[scores],), indices, {"k": k, "axis": axis})

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
            RewriteRefusedError: the host step has no op for it, or none with such attributes.
        """
        translation = _TRANSLATIONS.get(node.target)
        if translation is not None:
            op, operands, attributes = translation(node)
        elif node.target in _ELEMENTWISE and not node.kwargs:
            op, operands, attributes = _ELEMENTWISE[node.target], list(node.args), {}
        else:
            raise RewriteRefusedError(node, "the host step has no such op", _ADVICE)
        self._append(op, tuple(self._name(operand) for operand in operands if operand is not None), node, attributes)

    def finish(self, inputs: tuple[str, ...], outputs: tuple[str, ...]) -> HostPart:
        """The program so far, which reads ``inputs`` and writes ``outputs``."""
        specs = tuple(TensorSpec(name, tuple(sizes(value.shape))) for name, value in self._constants.items())
        return HostPart(HostProgram(inputs, tuple(self._ops), outputs, specs), dict(self._constants), dict(self._sources))

    def _append(self, op: str, inputs: tuple[str, ...], node: fx.Node, attributes: dict[str, Any]) -> None:
        try:
            HOST_OPS[op].read_attributes(attributes)
        except ValueError as error:
            raise RewriteRefusedError(node, f"the host step's {op} {error}", _ADVICE) from error
        output = self._names.setdefault(node, node.name)
        self._sources[output] = node.name
        self._ops.append(HostOp(op, inputs, output, attributes))

    def _name(self, operand: Any) -> str:
        if isinstance(operand, fx.Node):
            constant = constant_of(self._graph_module, operand)
            if constant is not None:
                name = self._names.setdefault(operand, str(operand.target))
                # The host step computes in float32 only; a whole number in an elementwise op is promoted to it by PyTorch, too.
                self._constants[name] = constant.to(torch.float32)
            return self._names[operand]
        name = f"number_{float(operand)!r}".replace(".", "_").replace("-", "minus_")
        self._constants[name] = torch.tensor([float(operand)])
        return name


Translation = tuple[str, list[Any], dict[str, Any]]


def _linear(node: fx.Node) -> Translation:
    return "linear", list(node.args), {}


def _layer_norm(node: fx.Node) -> Translation:
    weight, bias = argument(node, 2, "weight", None), argument(node, 3, "bias", None)
    if weight is None and bias is not None:
        raise RewriteRefusedError(node, "a norm with a bias and no weight", "give the norm a weight of ones")
    return "layer_norm", [node.args[0], weight, bias], {"eps": float(argument(node, 4, "eps", 1e-5))}


def _slice(node: fx.Node) -> Translation:
    x = node.args[0]
    assert isinstance(x, fx.Node)
    axis = normalise_dim(argument(node, 1, "dim", 0), value_of(x).dim())
    size = int(value_of(x).shape[axis])
    start, end, step = slice(
        argument(node, 2, "start", None), argument(node, 3, "end", None), argument(node, 4, "step", 1)
    ).indices(size)
    if step != 1:
        raise RewriteRefusedError(node, "a strided slice in the host step", _ADVICE)
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
