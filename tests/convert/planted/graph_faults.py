"""Faults visible in a file: patterns that the delegate accepts and computes wrongly."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import fx

from detr2litert.graphs.partition import Part
from detr2litert.graphs.toolbox import Emitter, aten, calls, list_of, sizes, value_of
from tests.convert.planted.fault import BOTH


@dataclass(frozen=True)
class GraphFault:
    """As ``Fault``; ``change`` inserts it into a rewritten graph B, and ``rule`` is the lint rule that must name it."""

    name: str
    change: Callable[[Part], Part]
    rule: str
    op: str
    detectors: tuple[str, ...] = BOTH

    def __str__(self) -> str:
        return self.name.replace(" ", "-")


def _broadcast_batch(part: Part) -> Part:
    """Every head attends with the first head's right-hand side."""
    for node in calls(part.graph_module, aten.matmul.default):
        left, right = node.args
        assert isinstance(left, fx.Node) and isinstance(right, fx.Node)
        batch = sizes(value_of(right).shape)[:-2]
        if batch and max(batch) > 1 and right.op == "call_function":
            dim = batch.index(max(batch))
            emit = Emitter(part.graph_module, node)
            node.update_arg(1, emit(aten.slice.Tensor, right, dim, 0, 1))
            return _recompiled(part)
    raise AssertionError("no batched matmul")


def _map_and_reader(part: Part) -> tuple[fx.Node, fx.Node]:
    """A token map ``[1, H, W, C]`` computed in the graph, and an op that reads it."""
    for node in calls(part.graph_module, aten.linear.default):
        shape = sizes(value_of(node).shape)
        if len(shape) == 4 and shape[0] == 1 and shape[1] * shape[2] > 1 and len(node.users) == 1:
            reader = next(iter(node.users))
            if reader.op == "call_function":
                return node, reader
    raise AssertionError("no token map")


def _constant_of_low_rank(part: Part) -> Part:
    """A constant ``[N, C]`` is added to tokens of as many dimensions."""
    node, reader = _map_and_reader(part)
    emit, shape = Emitter(part.graph_module, reader), sizes(value_of(node).shape)
    flat = [shape[1] * shape[2], shape[3]]
    values = torch.linspace(-1, 1, flat[0] * flat[1]).reshape(flat)
    shifted = emit(aten.add.Tensor, emit(aten.reshape.default, node, flat), emit.constant(values, "shift"))
    reader.replace_input_with(node, emit(aten.reshape.default, shifted, shape))
    return _recompiled(part)


def _tokens_out_and_read(part: Part) -> Part:
    """Tokens ``[1, N, C]`` are an output and are read."""
    node, reader = _map_and_reader(part)
    emit, shape = Emitter(part.graph_module, reader), sizes(value_of(node).shape)
    tokens = emit(aten.relu.default, emit(aten.reshape.default, node, [1, shape[1] * shape[2], shape[3]]))
    reader.replace_input_with(node, emit(aten.reshape.default, emit(aten.mul.Tensor, tokens, 1.5), shape))
    output = next(n for n in part.graph_module.graph.nodes if n.op == "output")
    output.args = ((*list_of(output.args[0]), tokens),)
    return _recompiled(Part(part.graph_module, part.input_names, (*part.output_names, "tokens")))


def _unclamped_relu(part: Part) -> Part:
    """A clamp to [0, 1] in one op, which the converter turns into RELU_0_TO_1."""
    node, reader = _map_and_reader(part)
    emit = Emitter(part.graph_module, reader)
    reader.replace_input_with(node, emit(aten.clamp.default, node, 0.0, 1.0))
    return _recompiled(part)


def _recompiled(part: Part) -> Part:
    part.graph_module.graph.lint()
    part.graph_module.recompile()
    return part


GRAPH_FAULTS = (
    GraphFault("broadcast-batch matmul", _broadcast_batch, "matmul-broadcast-batch", "BATCH_MATMUL"),
    GraphFault("rank-2 constant", _constant_of_low_rank, "constant-low-rank", "ADD"),
    GraphFault("token tensor both output and consumed", _tokens_out_and_read, "token-fan-out", ""),
    GraphFault("clamp to 0 and 1 left whole", _unclamped_relu, "relu-0-to-1", "RELU_0_TO_1"),
)
