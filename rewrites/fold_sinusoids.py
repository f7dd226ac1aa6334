"""Folds the sinusoidal embedding of coordinates into a linear layer and one sine.

Hazard: written with slices of every second channel, a sine and a cosine each, and a stack, for each of four coordinates, the
embedding of a box is more than forty operators over small tensors, each a dispatch.

Identities::

    cos(x) = sin(x + pi / 2)
    (c_0 f_0, c_1 f_1, …) = (c_0, c_1, …) F      F holds the frequencies f_i of coordinate i in row i

Given, for coordinates ``c_i`` of ``%p`` and constant frequencies ``%f``::

    %x_i = aten.div(aten.mul(c_i, 6.28), %f)                 # [B, N, C]
    %s_i = view(aten.stack([aten.sin(%x_i[..., 0::2]), aten.cos(%x_i[..., 1::2])], -1))
    %y   = aten.cat([%s_1, %s_0, %s_2, %s_3], -1)

Result::

    %y = aten.sin(aten.linear(%p, %F', %phases))             # phases of 0 and pi / 2 in turn

Does not fire if a block is not of this form, if the coordinates are of different tensors, or if a frequency depends on the
picture. Tolerance 1e-6 of the phase in float32. In fp16 the phases round as they did before: they reach 2 pi, of which half a
step is 0.002; those of a cosine are less by whole turns.
Evidence: 45 operators of a decoder's second graph become two.
"""

from __future__ import annotations

import math
import operator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, fx

from detr2litert.graphs.toolbox import (
    Emitter,
    argument,
    aten,
    calls,
    constant_of,
    is_call,
    list_of,
    normalise_dim,
    replace,
    value_of,
)
from detr2litert.rewrites.contract import Findings, Miss, Site, fired, missed, rewrite


@dataclass(frozen=True)
class _Phases:
    """``scale * base[..., channel] + shift`` for every output channel; scale and shift are numbers or ``[C]``."""

    base: fx.Node
    channel: int
    scale: Tensor
    shift: Tensor


@rewrite(before=("fold_scales",))
def fold_sinusoids(graph_module: fx.GraphModule) -> Findings:
    found: list[Site | Miss] = []
    left: set[fx.Node] = set()
    for node in calls(graph_module, aten.cat.default):
        parts = list_of(node.args[0])
        if normalise_dim(argument(node, 1, "dim", 0), value_of(node).dim()) == value_of(node).dim() - 1:
            blocks = [_sinusoids(graph_module, part) for part in parts]
            folded = _fold(graph_module, node, parts, blocks)
            if any(isinstance(miss, Miss) for miss in folded):
                left.update(parts)
            found += folded
    for node in calls(graph_module, aten.reshape.default):
        if node not in left and node.users and (block := _sinusoids(graph_module, node)) is not None:
            found += _fold(graph_module, node, [node], [block])
    return found


def _fold(graph_module: fx.GraphModule, node: fx.Node, parts: list[fx.Node], blocks: list[_Phases | None]) -> list[Site | Miss]:
    """Replaces ``node``, the concatenation of blocks, if all are sinusoids of one tensor's channels."""
    phases = [block for block in blocks if block is not None]
    if not phases:
        return []
    if len(phases) < len(blocks) or any(block.base is not phases[0].base for block in phases):
        return [missed(node, "its parts are not all sinusoids of coordinates of one tensor")]
    base = phases[0].base
    weight = torch.zeros(value_of(node).shape[-1], value_of(base).shape[-1])
    bias = torch.zeros(weight.shape[0])
    start = 0
    for part, block in zip(parts, phases, strict=True):
        stop = start + int(value_of(part).shape[-1])
        odd = torch.arange(stop - start) % 2
        weight[start:stop, block.channel] = block.scale
        phase = block.shift + odd * (math.pi / 2)
        # Whole turns away, so that the phases of coordinates in [0, 1] are near zero, where fp16 is finest.
        bias[start:stop] = phase - 2 * math.pi * ((phase + block.scale / 2) / (2 * math.pi)).round()
        start = stop
    emit = Emitter(graph_module, node)
    site = fired(node, f"{len(phases)} coordinate(s), {weight.shape[0]} channels")
    layer = emit(aten.linear.default, base, emit.constant(weight, "frequencies"), emit.constant(bias, "phases"))
    replace(node, emit(aten.sin.default, layer))
    return [site]


def _sinusoids(graph_module: fx.GraphModule, node: fx.Node) -> _Phases | None:
    """Matches sines and cosines of a phase's even and odd channels, interleaved again."""
    if not is_call(node, aten.reshape.default) or not is_call(stack := node.args[0], aten.stack.default):
        return None
    assert isinstance(stack, fx.Node)
    parts = list_of(stack.args[0])
    rank = value_of(stack).dim()
    interleaved = normalise_dim(argument(stack, 1, "dim", 0), rank) == rank - 1 and value_of(node).dim() == rank - 1
    if len(parts) != 2 or not interleaved or not is_call(parts[0], aten.sin.default) or not is_call(parts[1], aten.cos.default):
        return None
    sources = [_every_second(part.args[0], first) for first, part in enumerate(parts)]
    if sources[0] is None or sources[0] is not sources[1] or value_of(sources[0]).shape != value_of(node).shape:
        return None
    return _phases(graph_module, sources[0])


def _every_second(node: object, first: int) -> fx.Node | None:
    """Returns the tensor of which a slice reads every second channel from ``first`` on."""
    if not is_call(node, aten.slice.Tensor):
        return None
    assert isinstance(node, fx.Node)
    source = node.all_input_nodes[0]
    shape = value_of(source).shape
    last = normalise_dim(argument(node, 1, "dim", 0), len(shape)) == len(shape) - 1
    start, stop = argument(node, 2, "start", None) or 0, argument(node, 3, "end", None)
    whole = stop is None or stop >= shape[-1]
    return source if last and start == first and whole and argument(node, 4, "step", 1) == 2 else None


def _phases(graph_module: fx.GraphModule, node: fx.Node) -> _Phases | None:
    """Matches ``base[..., channel]`` times and plus constants along the last dimension."""
    scale, shift = torch.ones(()), torch.zeros(())
    while is_call(node, aten.mul.Tensor, aten.div.Tensor, aten.add.Tensor, aten.sub.Tensor) and not node.kwargs:
        operand, constant = _operands(graph_module, node)
        if operand is None or constant is None:
            return None
        if node.target is aten.mul.Tensor:
            scale = scale * constant
        elif node.target is aten.div.Tensor and operand is node.args[0]:
            scale = scale / constant
        elif node.target is aten.add.Tensor:
            shift = shift + scale * constant
        elif node.target is aten.sub.Tensor and operand is node.args[0]:
            shift = shift - scale * constant
        else:
            return None
        node = operand
    found = _channel(node)
    return None if found is None else _Phases(*found, scale, shift)


def _operands(graph_module: fx.GraphModule, node: fx.Node) -> tuple[fx.Node | None, Tensor | None]:
    """Returns the runtime operand and the constant one, a number or a vector along the last dimension."""
    for runtime, other in (node.args, node.args[::-1]):
        if not isinstance(runtime, fx.Node) or constant_of(graph_module, runtime) is not None:
            continue
        constant = torch.tensor(float(other)) if isinstance(other, int | float) else constant_of(graph_module, other)
        if constant is not None and constant.numel() == (constant.shape[-1] if constant.dim() else 1):
            return runtime, constant.reshape(-1) if constant.dim() else constant
    return None, None


def _channel(node: fx.Node) -> tuple[fx.Node, int] | None:
    """Matches a tensor that is one channel of another, with a last dimension of one."""
    if value_of(node).shape[-1:] != (1,):
        return None
    if is_call(node, aten.slice.Tensor):
        source, start = node.args[0], argument(node, 2, "start", None) or 0
        return _on_last(source, argument(node, 1, "dim", 0), start)
    if not is_call(node, aten.unsqueeze.default) or _from_front(node, node.args[1]) != value_of(node).dim() - 1:
        return None
    inner = node.args[0]
    assert isinstance(inner, fx.Node)
    if is_call(inner, aten.select.int):
        return _on_last(*inner.args[:3])
    unbound = inner.args[0] if inner.target is operator.getitem else None
    if is_call(unbound, aten.unbind.int):
        assert isinstance(unbound, fx.Node)
        return _on_last(unbound.args[0], argument(unbound, 1, "dim", 0), inner.args[1])
    return None


def _on_last(source: Any, dim: Any, index: Any) -> tuple[fx.Node, int] | None:
    """Returns the tensor and the index, counted from the front, if ``dim`` is the last dimension."""
    shape = value_of(source).shape
    return (source, int(index) % int(shape[-1])) if _from_front(source, dim) == len(shape) - 1 else None


def _from_front(node: fx.Node, dim: Any) -> int:
    return normalise_dim(int(dim), value_of(node).dim())
