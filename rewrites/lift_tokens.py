"""Gives token tensors four dimensions, so that no tensor of rank three has several consumers.

Hazard: on Arm Mali a token tensor ``[1, N, C]`` that an op computes and that is used more than once (read by several ops, or
read and also an output) is overwritten by one of its branches: the graph stays on the GPU and returns plausible wrong numbers.
Four-dimensional maps ``[1, H, W, C]`` with the same uses are correct. Every residual stream has such a fan-out.

Identity: a reshape moves no value. A pointwise op, or one along the last dimension only, computes the same on a map; any other
op computes the same with one more leading dimension of one.

Given::

    %x = aten.add(%a, %b)               # [1, 40, 96], read by two ops
    %y = aten.linear(%x, %w)            # [1, 40, 96]
    %z = aten.slice(%x, 1, 0, 10)       # [1, 10, 96]

Result::

    %x = aten.add(%a', %b')             # [1, 5, 8, 96]
    %y = aten.linear(%x, %w)            # [1, 5, 8, 96]
    %f = aten.reshape(%x, [1, 1, 40, 96])
    %z = aten.slice(%f, 2, 0, 10)       # [1, 1, 10, 96]

A tensor with a batch above one, ``[B, N, C]``, becomes ``[1, B, N, C]``. Otherwise the map's sides are those of another view of
the same tokens, so that no reshape is left between them (a backbone's windows ``[B, N, C]`` are all its tokens ``[1, B N, C]``
in every few blocks), or else N's most nearly equal factors. If N is prime, the map is ``[1, 1, N, C]``. That satisfies the lint
rule, but is not covered by its evidence: the delegate's public front end reads ``[1, N, C]`` and ``[1, 1, N, C]`` as the same
shape (batch, height, width, channels), and the maps that were correct on the phone had a height and a width. ``[1, N, 1, C]``
is no alternative: the converter fails on a linear layer of that shape.

Inputs and outputs keep their shapes: the reshapes next to them are the only remaining ops of rank three, and the result of each
is an output that nothing else reads. Does not fire if the target's profile has no token maps, on a graph without tensors of
rank three, or on unknown ops, which keep their shapes and are reported by the lint. Bit-exact.

Evidence: published for a Pixel 8a with the ports of two detectors (details in the lint's rule ``token-fan-out``); not
reproduced on WebGPU, where both forms are correct and equally fast (a block of 580 tokens of 384 channels: 1.2 s as either, on
SwiftShader). Two faults that WebGPU does have occur with rank three only: a constant added to a linear layer's result
(``constant-low-rank``: an error of 16 without this rewrite and without the fix-up, 1e-6 lifted) and a batch of tokens padded
(``pad-rank-3``: an error of 2, correct if lifted). Sides shared with the windows save two dispatches, the reshapes, for each
block of a windowed backbone that sees all tokens.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from torch import Tensor, fx

from detr2litert.graphs.native_ops import LAYER_NORM
from detr2litert.graphs.op_traits import BINARY, REDUCTIONS, UNARY
from detr2litert.graphs.toolbox import (
    Emitter,
    argument,
    aten,
    constant_of,
    list_of,
    normalise_dim,
    sizes,
    value_of,
)
from detr2litert.rewrites.contract import Findings, Site, fired, rewrite
from detr2litert.rewrites.map_sides import map_sides

_TOKENS = 3
_MATRIX_OPS = (aten.matmul.default, aten.pad.default)
# Ops with one dimension as their second argument.
_ALONG = (aten.slice.Tensor, aten.cat.default, aten.softmax.int)


@rewrite(options=("token_maps",), after=("reduce_rank",))
def lift_tokens(graph_module: fx.GraphModule, token_maps: bool) -> Findings:
    return _Lifter(graph_module).run() if token_maps else []


class _Lifter:
    """Walks the graph once and replaces every token tensor by a tensor of rank four."""

    def __init__(self, graph_module: fx.GraphModule) -> None:
        self._graph_module = graph_module
        self._lifted: dict[fx.Node, fx.Node] = {}
        self._reshaped: dict[tuple[fx.Node, tuple[int, ...]], fx.Node] = {}
        self._sites: list[Site] = []
        self._sides = map_sides(graph_module.graph)

    def run(self) -> list[Site]:
        for node in list(self._graph_module.graph.nodes):
            if node.op == "output":
                node.args = (tuple(self._result(node, result) for result in list_of(node.args[0])),)
            elif node.op == "call_function":
                self._lift(node)
        return self._sites

    def _lift(self, node: fx.Node) -> None:
        if node.target is aten.reshape.default:
            self._alias(node)
        elif node.target in _HANDLERS and _is_tokens(node):
            emit = Emitter(self._graph_module, node)
            lifted = _HANDLERS[node.target](self, emit, node)
            self._lifted[node] = lifted
            self._sites.append(fired(node, f"{_shape(node)} as {_shape(lifted)}"))
        elif any(n in self._lifted for n in node.all_input_nodes):
            self._feed(node)

    def _alias(self, node: fx.Node) -> None:
        """Removes a reshape of, or into, a token tensor: the lifted tensor is read in its own shape."""
        source = node.args[0]
        assert isinstance(source, fx.Node)
        if _is_tokens(node):
            self._lifted[node] = self._lifted.get(source, source)
        elif source in self._lifted:
            node.args = (self._lifted[source], node.args[1])

    def _feed(self, node: fx.Node) -> None:
        """Connects an op of another rank to its operands in their original shapes, with a leading one if it broadcasts."""
        emit = Emitter(self._graph_module, node)
        broadcasts = node.target in BINARY and value_of(node).dim() > _TOKENS
        for operand in node.all_input_nodes:
            if operand in self._lifted:
                shape = [1, *_shape(operand)] if broadcasts else _shape(operand)
                node.replace_input_with(operand, self.read(emit, operand, shape))

    def _result(self, output: fx.Node, result: fx.Node) -> fx.Node:
        if result not in self._lifted:
            return result
        return self.read(Emitter(self._graph_module, output, result), result, _shape(result))

    def read(self, emit: Emitter, node: fx.Node, shape: Sequence[int]) -> fx.Node:
        """Returns the node of a token tensor's or a constant's value in another shape."""
        source = self._lifted.get(node, node)
        if _shape(source) == list(shape):
            return source
        key = (source, tuple(shape))
        if key not in self._reshaped:
            constant = constant_of(self._graph_module, source)
            self._reshaped[key] = (
                emit(aten.reshape.default, source, list(shape))
                if constant is None
                else emit.constant(constant.reshape(list(shape)), str(source.target))
            )
        return self._reshaped[key]

    def operand(self, emit: Emitter, node: Any, whole: fx.Node | None) -> Any:
        """Returns an operand of a lifted op: as a map with the sides of ``whole``, or with a leading one if that is None."""
        if not isinstance(node, fx.Node):
            return node
        shape = [1] * (_TOKENS - value_of(node).dim()) + _shape(node)
        if whole is None:
            return self.read(emit, node, [1, *shape])
        spread: Sequence[int] = shape[:2]
        if value_of(whole).shape[0] == 1:
            spread = self._sides[whole] if shape[1] > 1 else (1, 1)
        return self.read(emit, node, [1, *spread, shape[2]])

    def broadcasts(self, node: Any) -> bool:
        """Returns True for a number or a constant that is the same for every token: either broadcasts over a map unchanged."""
        if not isinstance(node, fx.Node):
            return True
        return constant_of(self._graph_module, node) is not None and set(_shape(node)[:-1]) <= {1}


_Handler = Callable[[_Lifter, Emitter, fx.Node], fx.Node]


def _is_tokens(node: fx.Node) -> bool:
    value = node.meta.get("val")
    return isinstance(value, Tensor) and value.dim() == _TOKENS


def _shape(node: fx.Node) -> list[int]:
    return sizes(value_of(node).shape)


def _pointwise(lifter: _Lifter, emit: Emitter, node: fx.Node) -> fx.Node:
    """Lifts an elementwise op, with every operand in the result's map shape."""
    args = [a if lifter.broadcasts(a) else lifter.operand(emit, a, node) for a in node.args]
    return emit(node.target, *args, **node.kwargs)


def _layer(lifter: _Lifter, emit: Emitter, node: fx.Node) -> fx.Node:
    """Lifts a layer over the last dimension, whose further arguments are parameters."""
    return emit(node.target, lifter.operand(emit, node.args[0], node), *node.args[1:], **node.kwargs)


def _along(lifter: _Lifter, emit: Emitter, node: fx.Node) -> fx.Node:
    """Lifts an op along one dimension: to a map if that is the last one."""
    dim = normalise_dim(argument(node, 1, "dim", 0), _TOKENS)
    source = node.args[0]
    last = dim == _TOKENS - 1
    parts = [source] if isinstance(source, fx.Node) else list_of(source)
    moved = [lifter.operand(emit, part, node if last else None) for part in parts]
    return emit(node.target, moved[0] if isinstance(source, fx.Node) else moved, dim + 1, *node.args[2:])


def _reduction(lifter: _Lifter, emit: Emitter, node: fx.Node) -> fx.Node:
    """Lifts a reduction that keeps its dimensions: to a map if it is over the last one alone."""
    over: Any = node.args[1]
    dims, source = [normalise_dim(d, _TOKENS) for d in over], node.args[0]
    assert isinstance(source, fx.Node)
    whole = node if dims == [_TOKENS - 1] else None
    return emit(node.target, lifter.operand(emit, source, whole), [d + 1 for d in dims], True)


def _permute(lifter: _Lifter, emit: Emitter, node: fx.Node) -> fx.Node:
    dims: Any = node.args[1]
    order = [normalise_dim(d, _TOKENS) + 1 for d in dims]
    return emit(node.target, lifter.operand(emit, node.args[0], None), [0, *order])


def _matrix(lifter: _Lifter, emit: Emitter, node: fx.Node) -> fx.Node:
    """Lifts an op on the last two dimensions, with the others as its batch."""
    args = [lifter.operand(emit, a, None) if isinstance(a, fx.Node) else a for a in node.args]
    return emit(node.target, *args, **node.kwargs)


_HANDLERS: dict[Any, _Handler] = {
    **dict.fromkeys((*UNARY, *BINARY), _pointwise),
    **dict.fromkeys((aten.linear.default, aten.layer_norm.default, LAYER_NORM), _layer),
    **dict.fromkeys(_ALONG, _along),
    **dict.fromkeys(REDUCTIONS, _reduction),
    **dict.fromkeys(_MATRIX_OPS, _matrix),
    aten.permute.default: _permute,
}
