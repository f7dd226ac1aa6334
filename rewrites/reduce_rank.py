"""Keeps every tensor at four dimensions or fewer, and represents views as strides.

Hazard: the delegate refuses any tensor of rank five or more, also as an intermediate: windowed attention's six-dimensional
partition, deformable attention's six-dimensional sampling points. It refuses BROADCAST_TO (expand, repeat) and PACK of
rank-four tensors (stack), and each remaining reshape or transpose costs a pass over memory.

Identity: reshape, permute, expand, squeeze and similar ops move no values; they only define how a buffer is read. So they are
represented as strides and materialised at the first op that needs a certain order. A permutation of any rank is then a permute
of its merged runs (dimensions that stay adjacent count as one), or, for more than four runs, a few permutes that move one block
at a time. Elementwise ops run in memory order; slices, concatenations and reductions treat a tensor as (before, the dimension,
after).

Given::

    %v = aten.view(%x, [1, 2, 8, 2, 8, 128])
    %t = aten.transpose(%v, 2, 3)
    %w = aten.view(%t, [4, 64, 128])

Result::

    %v = aten.view(%x, [2, 8, 2, 1024])
    %t = aten.permute(%v, [0, 2, 1, 3])
    %w = aten.view(%t, [4, 64, 128])

Refuses an unknown op, and an op that needs more than four separate dimensions. Does not fire on a graph that it has rebuilt.
Exact, up to the order of summation where a reduction runs in another layout (1e-6). Evidence:
``RESHAPE: Tensor dimensions must be less than 5``; BROADCAST_TO and ``PACK: Unknown layout`` on the delegate of 2.3.0.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, fx

from detr2litert.graphs.delegate import MAX_RANK
from detr2litert.graphs.native_ops import GATHER_ROWS, LAYER_NORM, RESAMPLE, TOP_ROWS, TOP_VALUES
from detr2litert.graphs.op_traits import BINARY, REDUCTIONS, RESHAPES, STRIDED_VIEWS, UNARY
from detr2litert.graphs.provenance import provenance_of
from detr2litert.graphs.toolbox import (
    RewriteRefusedError,
    argument,
    aten,
    list_of,
    module_of,
    normalise_dim,
    sizes,
    value_of,
)
from detr2litert.graphs.views import View
from detr2litert.rewrites.contract import Findings, Site, rewrite
from detr2litert.rewrites.rank import elementwise, joining, matrices, reductions
from detr2litert.rewrites.rank.builder import Builder, Value

# Ops on four-dimensional tensors whose arguments need no translation.
_IMAGE_OPS = (
    aten.avg_pool2d.default,
    aten.max_pool2d.default,
    aten.pad.default,
    aten.upsample_bilinear2d.vec,
    aten.upsample_nearest2d.vec,
)


@rewrite(after=("lower_layer_norm", "split_matmul", "lower_padding"))
def reduce_rank(graph_module: fx.GraphModule) -> Findings:
    ops = [node for node in graph_module.graph.nodes if node.op == "call_function"]
    if ops and all(provenance_of(node).rewrites[-1:] == (reduce_rank.name,) for node in ops):
        return []
    rebuilt = _Rebuilder(graph_module).run()
    for name in [name for name, _ in graph_module.named_buffers()]:
        delattr(graph_module, name)
    for name, value in rebuilt.named_buffers():
        graph_module.register_buffer(name, value)
    graph_module.graph = rebuilt.graph
    return [
        Site(provenance_of(node).origin or node.name, module_of(node), f"{node.target} {sizes(value_of(node).shape)}")
        for node in graph_module.graph.nodes
        if node.op == "call_function" and node.target in (aten.reshape.default, aten.permute.default)
    ]


class _Rebuilder:
    """Walks the original graph once and emits its replacement."""

    def __init__(self, graph_module: fx.GraphModule) -> None:
        self._original = graph_module
        self._build = Builder()
        self._values: dict[fx.Node, Any] = {}

    def run(self) -> fx.GraphModule:
        for node in self._original.graph.nodes:
            self._build.source = node
            if node.op == "placeholder":
                self._values[node] = self._build.placeholder(node)
            elif node.op == "get_attr":
                constant = getattr(self._original, str(node.target))
                self._build.name_constant(constant, str(node.target))
                self._values[node] = constant
            elif node.op == "output":
                self._output(node)
            else:
                self._values[node] = self._call(node)
        self._build.graph_module.recompile()
        return self._build.graph_module

    def _output(self, node: fx.Node) -> None:
        results = []
        for result in list_of(node.args[0]):
            self._build.source = result
            value = self._values[result]
            shape = sizes(value.shape)
            if len(shape) > MAX_RANK:
                raise RewriteRefusedError(result, f"an output of rank {len(shape)}", "return it with four dimensions or fewer")
            results.append(self._build.materialise(value, shape))
        self._build.graph_module.graph.output(tuple(results))

    def _call(self, node: fx.Node) -> Any:
        args = fx.node.map_arg(node.args, self._values.__getitem__)
        if node.all_input_nodes and all(isinstance(self._values[n], Tensor) for n in node.all_input_nodes):
            return node.target(*args, **node.kwargs)  # type: ignore[operator]
        handler = _HANDLERS.get(node.target)
        if handler is None:
            raise RewriteRefusedError(
                node, "no rewrite supports this op", "write it with supported ops, or add a handler for it"
            )
        return handler(self._build, node, args)


Handler = Callable[[Builder, fx.Node, Any], Any]


def _getitem(build: Builder, node: fx.Node, args: Any) -> Any:
    return args[0][args[1]]


def _reshape(build: Builder, node: fx.Node, args: Any) -> Value:
    shape = sizes(value_of(node).shape)
    x: View = args[0]
    return x.apply(lambda t: t.view(shape)) or View.of(build.contiguous(x).node, shape)


def _view(build: Builder, node: fx.Node, args: Any) -> Value:
    x: View = args[0]
    result = x.apply(lambda t: node.target(t, *args[1:]))  # type: ignore[operator]
    assert result is not None
    return result


def _unary(build: Builder, node: fx.Node, args: Any) -> Value:
    return elementwise.unary(build, node, args[0])


def _binary(build: Builder, node: fx.Node, args: Any) -> Value:
    return elementwise.binary(build, node, args[0], args[1])


def _slice(build: Builder, node: fx.Node, args: Any) -> Value:
    rank = len(args[0].shape)
    dim = normalise_dim(argument(node, 1, "dim", 0), rank)
    size = int(args[0].shape[dim])
    start, end, step = slice(
        argument(node, 2, "start", None), argument(node, 3, "end", None), argument(node, 4, "step", 1)
    ).indices(size)
    return joining.slice_along(build, args[0], dim, start, end, step)


def _select(build: Builder, node: fx.Node, args: Any) -> Value:
    return joining.select_along(build, args[0], normalise_dim(args[1], len(args[0].shape)), args[2])


def _split(build: Builder, node: fx.Node, args: Any) -> tuple[Value, ...]:
    parts = node.meta["val"]
    dim = normalise_dim(argument(node, 2, "dim", 0), len(args[0].shape))
    return joining.split_along(build, args[0], dim, [int(part.shape[dim]) for part in parts])


def _unbind(build: Builder, node: fx.Node, args: Any) -> tuple[Value, ...]:
    dim = normalise_dim(argument(node, 1, "dim", 0), len(args[0].shape))
    return tuple(joining.select_along(build, args[0], dim, i) for i in range(int(args[0].shape[dim])))


def _cat(build: Builder, node: fx.Node, args: Any) -> Value:
    return joining.concatenate(build, args[0], normalise_dim(argument(node, 1, "dim", 0), len(value_of(node).shape)))


def _stack(build: Builder, node: fx.Node, args: Any) -> Value:
    return joining.stack(build, args[0], normalise_dim(argument(node, 1, "dim", 0), len(value_of(node).shape)))


def _repeat(build: Builder, node: fx.Node, args: Any) -> Value:
    return joining.repeat(build, args[0], args[1])


def _reduce(build: Builder, node: fx.Node, args: Any) -> Value:
    rank = len(args[0].shape)
    dims = argument(node, 1, "dim", None) or range(rank)
    dims = [dims] if isinstance(dims, int) else dims
    return reductions.reduce(build, node, args[0], [normalise_dim(d, rank) for d in dims], argument(node, 2, "keepdim", False))


def _softmax(build: Builder, node: fx.Node, args: Any) -> Value:
    return reductions.softmax(build, args[0], normalise_dim(args[1], len(args[0].shape)))


def _layer_norm(build: Builder, node: fx.Node, args: Any) -> Value:
    if len(args[1]) != 1:
        raise RewriteRefusedError(node, f"it normalises {len(args[1])} dimensions", "normalise the last dimension only")
    weight, bias = (matrices.parameter(build, node, p) for p in (*args[2:4], None, None)[:2])
    return reductions.layer_norm(build, node, args[0], [args[1], weight, bias, *args[4:]])


def _native_layer_norm(build: Builder, node: fx.Node, args: Any) -> Value:
    weight, bias = (matrices.parameter(build, node, p) for p in args[1:3])
    return reductions.layer_norm(build, node, args[0], [weight, bias, args[3]])


def _resample(build: Builder, node: fx.Node, args: Any) -> Value:
    return View.of(build.emit(node.target, *(build.materialise(x) for x in args)))


def _gather_rows(build: Builder, node: fx.Node, args: Any) -> Value:
    return View.of(build.emit(node.target, build.materialise(args[0]), args[1].node))


def _top(build: Builder, node: fx.Node, args: Any) -> Value:
    return View.of(build.emit(node.target, build.materialise(args[0]), args[1]))


def _linear(build: Builder, node: fx.Node, args: Any) -> Value:
    return matrices.linear(build, node, args[0], args[1], args[2] if len(args) > 2 else None)


def _matmul(build: Builder, node: fx.Node, args: Any) -> Value:
    if min(len(args[0].shape), len(args[1].shape)) < 2:
        raise RewriteRefusedError(node, "a product with a vector", "give the vector a second dimension of one")
    return matrices.matmul(build, node, args[0], args[1])


def _convolution(build: Builder, node: fx.Node, args: Any) -> Value:
    return matrices.convolution(build, node, args[0], args[1], args[2] if len(args) > 2 else None, args[3:])


def _image_op(build: Builder, node: fx.Node, args: Any) -> Value:
    return matrices.channels_last(build, build.emit(node.target, build.materialise(args[0]), *args[1:], **node.kwargs))


def _pad(build: Builder, node: fx.Node, args: Any) -> Value:
    return View.of(build.emit(node.target, build.materialise(args[0]), *args[1:], **node.kwargs))


def _to_copy(build: Builder, node: fx.Node, args: Any) -> Value:
    if value_of(node).dtype is torch.float32 and args[0].dtype is torch.uint8:
        return View.of(build.emit(node.target, build.materialise(args[0]), dtype=torch.float32))
    raise RewriteRefusedError(node, f"it casts to {value_of(node).dtype}", "keep the model in float32")


_HANDLERS: dict[Any, Handler] = {
    **dict.fromkeys(RESHAPES, _reshape),
    **dict.fromkeys(STRIDED_VIEWS, _view),
    **dict.fromkeys(UNARY, _unary),
    **dict.fromkeys(BINARY, _binary),
    **dict.fromkeys(REDUCTIONS, _reduce),
    **dict.fromkeys(_IMAGE_OPS, _image_op),
    aten.constant_pad_nd.default: _pad,
    **dict.fromkeys((aten.split.Tensor, aten.split_with_sizes.default, aten.chunk.default), _split),
    **dict.fromkeys((aten.matmul.default, aten.bmm.default, aten.mm.default), _matmul),
    operator.getitem: _getitem,
    aten._to_copy.default: _to_copy,
    aten.cat.default: _cat,
    aten.conv2d.default: _convolution,
    aten.layer_norm.default: _layer_norm,
    aten.linear.default: _linear,
    GATHER_ROWS: _gather_rows,
    LAYER_NORM: _native_layer_norm,
    RESAMPLE: _resample,
    TOP_ROWS: _top,
    TOP_VALUES: _top,
    aten.repeat.default: _repeat,
    aten.select.int: _select,
    aten.slice.Tensor: _slice,
    aten.softmax.int: _softmax,
    aten.stack.default: _stack,
    aten.unbind.int: _unbind,
}
