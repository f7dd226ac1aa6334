"""The host step, from graph nodes: translated into ops of the runtimes' table, ``host_runtime/host_ops.json``.

The table names the ATen overloads that become an op by name (`OpRule.aten`); `_TRANSLATIONS` has those that need code.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import torch
from torch import Tensor, fx

from detr2litert.graphs.toolbox import RewriteRefusedError, argument, aten, constant_of, normalise_dim, sizes, value_of
from detr2litert.host_runtime.host_program import HostOp, HostProgram
from detr2litert.host_runtime.host_table import OpRule, host_table
from detr2litert.host_runtime.tensor_spec import TensorSpec

_ADVICE = "choose a target whose tail runs in the second graph"


@dataclass(frozen=True)
class HostPart:
    """What runs between the two graphs: the program that the bundle contains, and what only the compiler knows about it.

    Attributes:
        program: as in the manifest.
        constants: the values of ``program.constants`` by name, float32.
        sources: for a tensor of the program, the graph node whose value it is. A reshape that only reads a buffer in another
            shape has none.
    """

    program: HostProgram
    constants: dict[str, Tensor]
    sources: dict[str, str]

    @property
    def ranked(self) -> tuple[str, ...]:
        """Returns the program's inputs by which it selects, directly or reshaped."""
        ops = {op.output: op for op in self.program.ops}

        def given(name: str) -> str:
            return given(ops[name].inputs[0]) if name in ops and ops[name].op == "reshape" else name

        read = {given(name) for op in ops.values() if op.op == "topk" for name in op.inputs}
        return tuple(name for name in self.program.inputs if name in read)


def aten_overload(name: str) -> Any:
    """The overload that the table names, such as ``maximum.default``."""
    packet, overload = name.split(".")
    return getattr(getattr(aten, packet), overload)


@cache
def _rules() -> dict[Any, OpRule]:
    """The ops that the table gives by name, by ATen overload."""
    return {aten_overload(name): rule for rule in host_table().ops.values() for name in rule.aten}


class HostProgramBuilder:
    """Translates graph nodes into host ops.

    Args:
        graph_module: owner of the constants.
        names: names that nodes already have: the inputs, and the nodes whose values the second graph reads.
    """

    def __init__(self, graph_module: fx.GraphModule, names: dict[fx.Node, str]) -> None:
        self._graph_module = graph_module
        self._names = dict(names)
        self._constants: dict[str, Tensor] = {}
        self._ops: list[HostOp] = []
        self._sources: dict[str, str] = {}

    def topk(self, scores: fx.Node, indices: fx.Node, k: int, axis: int) -> None:
        """Add the top-k; every gather reads its indices."""
        self._names[indices] = "indices"
        self._append("topk", (self._names[scores],), indices, {"k": k, "axis": axis})

    def reshape(self, source: str, output: str, shape: list[int]) -> None:
        """Add a reshape of one tensor into another."""
        self._ops.append(HostOp("reshape", (source,), output, {"shape": shape}))

    def rename(self, node: fx.Node, name: str) -> None:
        """Give a node another name, for the ops that follow."""
        self._names[node] = name

    def gather(self, node: fx.Node, indices: fx.Node) -> None:
        """Add a gather of tokens: ``[1, N, C]`` at ``[1, k]`` gives ``[1, k, C]``."""
        source = node.args[0]
        assert isinstance(source, fx.Node)
        self._append("gather", (self._name(source), self._names[indices]), node, {"axis": 1})

    def translate(self, node: fx.Node) -> None:
        """Add a tail node.

        Raises:
            RewriteRefusedError: the host step has no op for it, or none with such attributes.
        """
        translation, rule = _TRANSLATIONS.get(node.target), _rules().get(node.target)
        if translation is not None:
            op, operands, attributes = translation(node)
        elif rule is not None:
            op, operands, attributes = _by_name(node, rule)
        else:
            raise RewriteRefusedError(node, "the host step has no such op", _ADVICE)
        self._append(op, tuple(self._name(operand) for operand in operands if operand is not None), node, attributes)

    def finish(self, inputs: tuple[str, ...], outputs: tuple[str, ...]) -> HostPart:
        """The host step: the ops added so far, which read ``inputs`` and write ``outputs``."""
        specs = tuple(TensorSpec(name, tuple(sizes(value.shape))) for name, value in self._constants.items())
        return HostPart(HostProgram(inputs, tuple(self._ops), outputs, specs), dict(self._constants), dict(self._sources))

    def _append(self, op: str, inputs: tuple[str, ...], node: fx.Node, attributes: dict[str, Any]) -> None:
        try:
            host_table().ops[op].read_attributes(attributes)
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
                # The host step computes in float32 only; PyTorch promotes an integer in an elementwise op to it, too.
                self._constants[name] = constant.to(torch.float32)
            return self._names[operand]
        name = f"number_{float(operand)!r}".replace(".", "_").replace("-", "minus_")
        self._constants[name] = torch.tensor([float(operand)])
        return name


Translation = tuple[str, list[Any], dict[str, Any]]


def _by_name(node: fx.Node, rule: OpRule) -> Translation:
    """Tensors become inputs in order, other arguments the attributes of their names; an argument that is None is left out.

    Raises:
        RewriteRefusedError: an argument that the op lacks is not at its default.
    """
    schema: list[Any] = node.target._schema.arguments  # type: ignore[union-attr]
    given = {**dict(zip((item.name for item in schema), node.args, strict=False)), **node.kwargs}
    operands: list[Any] = []
    attributes: dict[str, Any] = {}
    for item in schema:
        value = given.get(item.name, item.default_value)
        attribute = rule.attributes.get(item.name)
        if str(item.type) in ("Tensor", "Optional[Tensor]"):
            operands.append(value)
        elif attribute is not None and value is not None:
            attributes[item.name] = float(value) if attribute.type == "number" else value
        elif attribute is None and value != item.default_value:
            raise RewriteRefusedError(node, f"the host step's {rule.name} has no {item.name}", _ADVICE)
    return rule.name, operands, attributes


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


def _rsub(node: fx.Node) -> Translation:
    if argument(node, 2, "alpha", 1) != 1:
        raise RewriteRefusedError(node, "a factor on the operand", "write the factor as a multiplication of its own")
    return "sub", [node.args[1], node.args[0]], {}


def _reshape(node: fx.Node) -> Translation:
    return "reshape", [node.args[0]], {"shape": sizes(value_of(node).shape)}


_TRANSLATIONS: dict[Any, Callable[[fx.Node], Translation]] = {
    aten.layer_norm.default: _layer_norm,
    aten.slice.Tensor: _slice,
    aten.cat.default: _concat,
    aten.rsub.Scalar: _rsub,
    aten.reshape.default: _reshape,
}
"""By ATen overload, what the table does not give by name."""
