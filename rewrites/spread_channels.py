"""Spreads two coordinates over all heads and points with a linear layer.

Hazard: a box's centre and its size are each sliced, reshaped, and broadcast over the heads and the points of the offsets, which
are reshaped for it: five dispatches around one sum and one product, in every decoder layer.

Identity: a selection of channels, repeated, is a linear layer whose weights are zeros and ones. Its result has the shape of the
layer that gives the offsets, so that nothing is reshaped, and sum and product are computed with that layer.

Given::

    %o = aten.reshape(aten.linear(%q, %w, %b), [1, 300, 8, 12, 2])
    %s = aten.unsqueeze(aten.unsqueeze(aten.slice(%boxes, -1, 2, 4), 2), 2)     # [1, 300, 1, 1, 2]
    %y = aten.mul(%o, %s)

Result::

    %s = aten.linear(%boxes, %selection)                                        # [1, 300, 192]
    %y = aten.mul(%o, aten.reshape(%s, [1, 300, 8, 12, 2]))

A number that is added to the slice is added to the channels before they are spread: a coordinate whose centre is subtracted is
rounded less. Does not fire if the target's profile samples with a tent, which reads x and y apart; on a slice of more than 8
channels; nor on more than 1024 numbers a token. Exact: each sum has one term that is not zero. Evidence: measured on
SwiftShader, the points of one small layer take 9 dispatches instead of 14.
"""

from __future__ import annotations

from math import prod

import torch
from torch import fx

from detr2litert.graphs.op_traits import UNIT_VIEWS
from detr2litert.graphs.toolbox import Emitter, aten, calls, constant_of, is_call, sizes, value_of
from detr2litert.rewrites.contract import Findings, Miss, Site, fired, missed, rewrite
from detr2litert.rewrites.pieces import piece_of
from detr2litert.rewrites.profile import Sampling

_MOST_CHANNELS, _MOST_NUMBERS = 8, 1024


@rewrite(options=("sampling",), after=("centre_coordinates",), before=("reduce_rank",))
def spread_channels(graph_module: fx.GraphModule, sampling: Sampling) -> Findings:
    if sampling is not Sampling.RESAMPLER:
        return []
    found: list[Site | Miss] = []
    for node in calls(graph_module, aten.add.Tensor, aten.sub.Tensor, aten.mul.Tensor):
        for small in node.all_input_nodes:
            if constant_of(graph_module, small) is not None or len(node.all_input_nodes) != 2:
                continue
            whole, part = sizes(value_of(node).shape), sizes(value_of(small).shape)
            lead = _broadcast_after(whole, part)
            cut = _channels_of(small)
            if lead is None or cut is None:
                continue
            source, start, shift = cut
            channels, numbers = int(value_of(source).shape[-1]), prod(whole[lead:])
            if channels > _MOST_CHANNELS or numbers > _MOST_NUMBERS:
                found.append(missed(node, f"{channels} channels for {numbers} numbers of a token"))
                continue
            found.append(fired(node, f"{part[-1]} of {channels} channels of {source.name} over {numbers // part[-1]} places"))
            selection = torch.zeros(numbers, channels)
            selection[torch.arange(numbers), start + torch.arange(numbers) % part[-1]] = 1
            emit = Emitter(graph_module, node)
            tokens = emit(aten.reshape.default, source, [*whole[:lead], channels])
            if shift:
                moved = torch.zeros(channels)
                moved[start : start + part[-1]] = shift
                tokens = emit(aten.add.Tensor, tokens, emit.constant(moved, "shift"))
            spread = emit(aten.linear.default, tokens, emit.constant(selection, "selection"))
            result = emit(aten.reshape.default, spread, whole)
            node.args = tuple(result if arg is small else arg for arg in node.args)
    return found


def _broadcast_after(whole: list[int], part: list[int]) -> int | None:
    """Returns the first of the dimensions along which ``part`` is broadcast, if they are all up to the last; else None."""
    if len(part) != len(whole) or part[-1] != whole[-1]:
        return None
    lead = next((d for d in range(len(whole)) if part[d] != whole[d]), None)
    # Dimensions of one before the first that is broadcast are counted to the tokens.
    return lead if lead and all(size == 1 for size in part[lead:-1]) and prod(part[:lead]) > 1 else None


def _channels_of(node: fx.Node) -> tuple[fx.Node, int, float] | None:
    """Returns the tensor of which a node is a slice of the last dimension, the first channel, and a number added to the slice.

    Dimensions of one aside.
    """
    shift = 0.0
    while is_call(node, *UNIT_VIEWS) or _shift_of(node):
        shift += _shift_of(node)
        node = node.all_input_nodes[0]
    piece = piece_of(node)
    if piece is None or piece.dim != value_of(node).dim() - 1:
        return None
    source = piece.source
    while is_call(source, *UNIT_VIEWS) and value_of(source.all_input_nodes[0]).shape[-1] == value_of(source).shape[-1]:
        source = source.all_input_nodes[0]
    return source, piece.start, shift


def _shift_of(node: fx.Node) -> float:
    """Returns the number that a node adds to a tensor; 0 if it does something else."""
    if not is_call(node, aten.add.Tensor, aten.sub.Tensor) or node.kwargs or not isinstance(node.args[1], int | float):
        return 0.0
    return float(node.args[1]) * (1 if is_call(node, aten.add.Tensor) else -1)
