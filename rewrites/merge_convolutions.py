"""Computes the sum of two convolutions of one map as one convolution.

Hazard: each convolution is a pass over its map, a dispatch; a re-parameterisable block is exported as it was trained, with a
branch of 3 x 3 and one of 1 x 1 that are added, and the activation of their sum is a dispatch of its own, because the delegate
fuses it into no convolution.

Identity: ``conv(x, V) + conv(x, W) = conv(x, V + W)``, if both move over x alike; the smaller kernel is padded with zeros to
the size of the larger, by as much on each side as the larger's map is padded more.

Given::

    %a = aten.conv2d(%x, %v, %b, [1, 1], [1, 1])      # %v: [O, I, 3, 3]
    %c = aten.conv2d(%x, %w, %d, [1, 1], [0, 0])      # %w: [O, I, 1, 1]
    %y = aten.add(%a, %c)

Result::

    %y = aten.conv2d(%x, %vw, %bd, [1, 1], [1, 1])    # %vw = %v, its centre increased by %w; %bd = %b + %d

Does not fire where something else reads one of the two, where strides, dilations or groups differ, where neither kernel
contains the other, nor on parameters computed at run time. Exact up to the order of summation (1e-6). Evidence: measured on
SwiftShader, such a block with SiLU before and after takes two dispatches instead of four.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, fx

from detr2litert.graphs.toolbox import (
    Emitter,
    argument,
    aten,
    calls,
    constant_of,
    has_constant_parameters,
    is_call,
    only_user,
    pair,
    replace,
    value_of,
)
from detr2litert.rewrites.contract import Findings, Miss, Site, fired, missed, rewrite


@rewrite(after=("fold_batch_norm",))
def merge_convolutions(graph_module: fx.GraphModule) -> Findings:
    found: list[Site | Miss] = []
    for node in calls(graph_module, aten.add.Tensor):
        operands = node.args[:2]
        if len(node.all_input_nodes) != 2 or not all(is_call(operand, aten.conv2d.default) for operand in operands):
            continue
        first, second = operands
        assert isinstance(first, fx.Node) and isinstance(second, fx.Node)
        if first.args[0] is not second.args[0]:
            continue
        if reason := _obstacle(graph_module, node, first, second):
            found.append(missed(node, reason))
            continue
        if not _contains(first, second):
            first, second = second, first
        found.append(fired(node, f"{second.name} into {first.name}"))
        emit = Emitter(graph_module, node)
        weight = emit.constant(_summed(graph_module, first, second), "merged_weight")
        biases = [
            bias for conv in (first, second) if (bias := constant_of(graph_module, argument(conv, 2, "bias", None))) is not None
        ]
        merged = emit.constant(sum(biases[1:], biases[0]), "merged_bias") if biases else None
        replace(node, emit(aten.conv2d.default, first.args[0], weight, merged, *first.args[3:], **first.kwargs))
    return found


def _obstacle(graph_module: fx.GraphModule, node: fx.Node, first: fx.Node, second: fx.Node) -> str:
    """Returns why two convolutions of one map, which ``node`` adds, cannot be merged; "" if they can."""
    convs = (first, second)
    if node.kwargs.get("alpha", 1) != 1 or value_of(first).shape != value_of(second).shape:
        return "it scales or broadcasts one of the two convolutions"
    if any(only_user(conv) is not node for conv in convs):
        return "one of the two convolutions is read by another operator as well"
    if not all(has_constant_parameters(graph_module, conv) for conv in convs):
        return "the parameters of one of the two convolutions depend on the image"
    if _moves(first) != _moves(second):
        return "the two convolutions differ in stride, dilation or groups"
    if not (_contains(first, second) or _contains(second, first)):
        return "neither of the two kernels contains the other"
    return ""


def _moves(conv: fx.Node) -> tuple[Any, ...]:
    return (pair(argument(conv, 3, "stride", 1)), pair(argument(conv, 5, "dilation", 1)), argument(conv, 6, "groups", 1))


def _margins(outer: fx.Node, inner: fx.Node) -> list[int] | None:
    """Returns the zeros around ``inner``'s kernel in ``outer``'s, left, right, top, bottom; None if it is not within it."""
    found: list[int] = []
    for axis in (1, 0):
        size, length = (int(value_of(conv.args[1]).shape[2 + axis]) for conv in (outer, inner))  # type: ignore[arg-type]
        before, remainder = divmod(_padding(outer)[axis] - _padding(inner)[axis], _moves(outer)[1][axis])
        after = size - length - before
        if remainder or before < 0 or after < 0:
            return None
        found += [before, after]
    return found


def _padding(conv: fx.Node) -> list[int]:
    return pair(argument(conv, 4, "padding", 0))


def _contains(outer: fx.Node, inner: fx.Node) -> bool:
    return _margins(outer, inner) is not None


def _summed(graph_module: fx.GraphModule, outer: fx.Node, inner: fx.Node) -> Tensor:
    large, small = (constant_of(graph_module, conv.args[1]) for conv in (outer, inner))
    margins = _margins(outer, inner)
    assert large is not None and small is not None and margins is not None
    return large + torch.nn.functional.pad(small, margins)
