"""Samples all feature levels as one map.

Hazard: each level has its own slice of the memory, its own slice of the points, its own sampler, and a concatenation joins what
was sampled; each is a dispatch, three times in every layer of a decoder with three levels.

Identity: levels placed on one map, with a row or a column of zeros between neighbours, are sampled there as they are alone:
at the point moved to the level's place, after it was clamped to one pixel around the level, where nothing but zeros is read.
A linear layer per token commutes with placing tokens on a map.

Given, for two levels (``views`` are reshapes, permutes and slices that make maps of tokens)::

    %v = aten.linear(%memory, %w, %b)                                       # [1, 20, B * C]
    %s0 = detr2litert.resample(views of %v, aten.add(aten.mul(aten.slice(%p, 2, 0, 3), 2), 1.5))     # [B, 4, 4, C]
    %s1 = detr2litert.resample(views of %v, aten.add(aten.mul(aten.slice(%p, 2, 3, 6), 1), 0.5))     # [B, 2, 2, C]
    %y = aten.cat([aten.permute(%s0, [0, 3, 1, 2]), aten.permute(%s1, [0, 3, 1, 2])], 3)

Result::

    %l0 = aten.reshape(aten.slice(%memory, 1, 0, 16), [1, 4, 4, M])         # the map: once for all layers of one memory
    %l1 = aten.constant_pad_nd(aten.reshape(aten.slice(%memory, 1, 16, 20), [1, 2, 2, M]), [0, 0, 0, 2, 0, 1])
    %r = aten.cat([%l1, %l0], 1)                                            # [1, 7, 4, M]
    %v = aten.linear(%r, %w, %b)                                            # [1, 7, 4, B * C]
    %m = aten.permute(aten.reshape(aten.mul(%v, %occupied), [7, 4, B, C]), [2, 0, 1, 3])
    %q = aten.minimum(aten.maximum(aten.add(aten.mul(%p, %scale), %shift), %low), %high)    # a query's points in a row
    %y = aten.permute(detr2litert.resample(%m, %q), [0, 3, 1, 2])

The smaller levels are placed first: fp16 knows a point less precisely the further from the corner it is, and the largest level
has the smallest pixels. Does not fire on levels that are not made of one tensor of tokens, nor on points that are not slices of
one tensor, times a scale, plus a shift, nor on a memory that is sampled once: the map itself takes ten dispatches. Exact up to
rounding (1e-6). The linear layer and its rows grow by the free places: by 15 % for levels of 80, 40 and 20 columns. Evidence:
measured on SwiftShader, small graphs of three levels: three layers with a linear layer each take 38 dispatches instead of 52,
without one 33 instead of 35, and one layer 21 instead of 19.
"""

from __future__ import annotations

import operator
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, fx

from detr2litert.graphs.native_ops import RESAMPLE
from detr2litert.graphs.op_traits import VIEWS
from detr2litert.graphs.toolbox import (
    Emitter,
    argument,
    aten,
    calls,
    constant_of,
    has_constant_parameters,
    is_call,
    list_of,
    normalise_dim,
    only_user,
    replace,
    value_of,
)
from detr2litert.rewrites.contract import Findings, Miss, Site, fired, missed, rewrite
from detr2litert.rewrites.pieces import Piece, piece_of


@dataclass(frozen=True)
class _Level:
    """A level that is sampled.

    Attributes:
        tokens: the tensor whose rows are the level's pixels, ``[1, N, B * C]``.
        start: the first of them.
        height, width: in pixels.
        points: which points are sampled, of the points of all levels ``[B, Q, P, 2]``.
        scale, shift: from these to pixels, x and y.
    """

    tokens: fx.Node
    start: int
    height: int
    width: int
    points: Piece
    scale: Tensor
    shift: Tensor


@dataclass(frozen=True)
class _Layout:
    """The places of levels on one map: the rows and columns of their first pixels, and the map's size."""

    places: tuple[tuple[int, int], ...]
    height: int
    width: int


@rewrite(after=("use_resampler", "centre_coordinates"), before=("reduce_rank",))
def join_levels(graph_module: fx.GraphModule) -> Findings:
    found: list[Site | Miss] = []
    sites: list[tuple[fx.Node, list[_Level], fx.Node]] = []
    for node in calls(graph_module, aten.cat.default):
        samplers = [_sampler(part) for part in list_of(node.args[0])]
        if len(samplers) < 2 or any(sampler is None for sampler in samplers) or argument(node, 1, "dim", 0) not in (-1, 3):
            continue
        known = [level for sampler in samplers if sampler is not None and (level := _level_of(graph_module, sampler))]
        if len(known) < len(samplers) or not _together(known):
            found.append(missed(node, "its levels, or its points, are not slices of one tensor"))
            continue
        sites.append((node, known, _memory_of(graph_module, known[0].tokens)))
    read = Counter(memory for _, _, memory in sites)
    placed: dict[Any, fx.Node] = {}
    maps: dict[Any, fx.Node] = {}
    for node, levels, memory in sites:
        if read[memory] < 2:
            found.append(missed(node, "its memory is sampled once: the map would cost more than it saves"))
            continue
        layout = arrange([(level.height, level.width) for level in levels])
        found.append(fired(node, f"{len(levels)} levels on {layout.height}x{layout.width}"))
        emit = Emitter(graph_module, node)
        heads, channels = (int(value_of(node).shape[dim]) for dim in (0, 1))
        tokens, shapes = levels[0].tokens, tuple((level.start, level.height, level.width) for level in levels)
        if (memory, shapes) not in placed:
            placed[memory, shapes] = _placed(emit, memory, levels, layout)
        if (tokens, shapes) not in maps:
            pixels = placed[memory, shapes]
            if memory is not tokens:
                pixels = _projected(emit, tokens, pixels, _occupied(levels, layout))
            maps[tokens, shapes] = _by_head(emit, pixels, heads, channels)
        sampled = emit(RESAMPLE, maps[tokens, shapes], _moved(emit, levels, layout))
        replace(node, emit(aten.permute.default, sampled, [0, 3, 1, 2]))
    return found


def arrange(levels: Sequence[tuple[int, int]]) -> _Layout:
    """Places maps of (height, width) on one: the smallest first, in rows as wide as the widest, one pixel apart."""
    width = max(level[1] for level in levels)
    places = [(0, 0)] * len(levels)
    top, left, bottom = 0, 0, 0
    for number in sorted(range(len(levels)), key=lambda i: levels[i][0] * levels[i][1]):
        rows, columns = levels[number]
        if left + columns > width:
            top, left = bottom + 1, 0
        places[number] = (top, left)
        left += columns + 1
        bottom = max(bottom, top + rows)
    return _Layout(tuple(places), bottom, width)


def _sampler(part: fx.Node) -> fx.Node | None:
    """Returns the sampler whose channels ``part`` moves to the front, if nothing else reads it."""
    if not is_call(part, aten.permute.default) or only_user(part) is None:
        return None
    order: Any = part.args[1]
    sampler = part.all_input_nodes[0]
    moved = [normalise_dim(int(dim), 4) for dim in order] == [0, 3, 1, 2]
    return sampler if moved and is_call(sampler, RESAMPLE) and only_user(sampler) is part else None


def _level_of(graph_module: fx.GraphModule, sampler: fx.Node) -> _Level | None:
    image, points = sampler.all_input_nodes
    batch, height, width, channels = (int(size) for size in value_of(image).shape)
    tokens = _tokens_of(image, batch * channels)
    affine = _affine(graph_module, points)
    if tokens is None or affine is None:
        return None
    count = int(value_of(tokens).shape[1])
    numbers = _computed(image, tokens, torch.arange(count * batch * channels).view(1, count, -1))
    start = int(numbers[0, 0, 0, 0]) // (batch * channels)
    pixels = (start + torch.arange(height * width)).view(1, height, width, 1) * batch * channels
    expected = pixels + torch.arange(batch).view(-1, 1, 1, 1) * channels + torch.arange(channels)
    return _Level(tokens, start, height, width, *affine) if torch.equal(numbers, expected) else None


def _tokens_of(image: fx.Node, channels: int) -> fx.Node | None:
    """Returns the first tensor of ``channels`` a token that a map is made of by nothing but views."""
    found, node = None, image
    while is_call(node, *VIEWS) or piece_of(node) is not None:
        piece = piece_of(node)
        node = piece.source if piece is not None else node.all_input_nodes[0]
        shape = value_of(node).shape
        if len(shape) == 3 and shape[0] == 1 and shape[2] == channels:
            found = node
    return found


def _computed(node: fx.Node, source: fx.Node, value: Tensor) -> Any:
    """Computes the views between ``source`` and ``node`` for a value of ``source``."""
    if node is source:
        return value
    args: list[Any] = [_computed(arg, source, value) if isinstance(arg, fx.Node) else arg for arg in node.args]
    return args[0][args[1]] if node.target is operator.getitem else node.target(*args, **node.kwargs)  # type: ignore[operator]


def _affine(graph_module: fx.GraphModule, node: fx.Node) -> tuple[Piece, Tensor, Tensor] | None:
    """Returns the piece, the scale and the shift that a level's points are computed of."""
    scale, shift = torch.ones(2), torch.zeros(2)
    while (piece := piece_of(node)) is None:
        if not is_call(node, aten.add.Tensor, aten.sub.Tensor, aten.mul.Tensor) or node.kwargs:
            return None
        source, other = node.args
        constant = constant_of(graph_module, other)
        if constant is not None and constant.numel() == constant.shape[-1] == 2:
            operand = constant.reshape(2)
        elif isinstance(other, int | float):
            operand = torch.full((2,), float(other))
        else:
            return None
        if node.target is aten.mul.Tensor:
            scale = scale * operand
        else:
            shift = shift + scale * operand * (-1 if node.target is aten.sub.Tensor else 1)
        assert isinstance(source, fx.Node)
        node = source
    return piece, scale, shift


def _together(levels: Sequence[_Level]) -> bool:
    """Returns True if the levels are of one tensor of tokens, and their points make up one tensor, in order."""
    first, end = levels[0], 0
    for level in levels:
        points = level.points
        if (
            level.tokens is not first.tokens
            or points.source is not first.points.source
            or (points.dim, points.start) != (2, end)
        ):
            return False
        end = points.stop
    return value_of(first.points.source).dim() == 4 and value_of(first.points.source).shape[2] == end


def _memory_of(graph_module: fx.GraphModule, tokens: fx.Node) -> fx.Node:
    """Returns what the linear layer that gives ``tokens`` reads, if it can be applied to a map; else the tokens themselves."""
    own = is_call(tokens, aten.linear.default) and has_constant_parameters(graph_module, tokens)
    if own and only_user(tokens) is not None and value_of(tokens.all_input_nodes[0]).dim() == 3:
        return tokens.all_input_nodes[0]
    return tokens


def _projected(emit: Emitter, layer: fx.Node, pixels: fx.Node, occupied: Tensor) -> fx.Node:
    """Emits a linear layer on the map; its bias is not zero where no level is, and taken away there."""
    # Before the map is split into heads: between that reshape and its permute a product would keep them apart.
    pixels = emit(aten.linear.default, pixels, *layer.args[1:], **layer.kwargs)
    return emit(aten.mul.Tensor, pixels, emit.constant(occupied, "occupied"))


def _by_head(emit: Emitter, pixels: fx.Node, heads: int, channels: int) -> fx.Node:
    """Emits a map ``[1, H, W, B * C]`` as ``[B, H, W, C]``."""
    _, height, width, _ = value_of(pixels).shape
    return emit(aten.permute.default, emit(aten.reshape.default, pixels, [height, width, heads, channels]), [2, 0, 1, 3])


def _placed(emit: Emitter, memory: fx.Node, levels: Sequence[_Level], layout: _Layout) -> fx.Node:
    """Emits the tokens of all levels on one map, ``[1, H, W, C]``, zeros between them.

    Not a GATHER of rows, which would be one dispatch: LiteRT.js 2.5.3 compiles none whose indices are constant.
    """
    channels = int(value_of(memory).shape[2])
    level_at = dict(zip(layout.places, levels, strict=True))
    tops = sorted({top for top, _ in level_at})
    bands = []
    for top, bottom in zip(tops, [*tops[1:], layout.height], strict=True):
        lefts = sorted(left for other, left in level_at if other == top)
        band = []
        for left, right in zip(lefts, [*lefts[1:], layout.width], strict=True):
            level = level_at[top, left]
            rows = emit(aten.slice.Tensor, memory, 1, level.start, level.start + level.height * level.width)
            pixels = emit(aten.reshape.default, rows, [1, level.height, level.width, channels])
            free = [0, 0, 0, right - left - level.width, 0, bottom - top - level.height]
            band.append(emit(aten.constant_pad_nd.default, pixels, free) if any(free) else pixels)
        bands.append(emit(aten.cat.default, band, 2) if len(band) > 1 else band[0])
    return emit(aten.cat.default, bands, 1) if len(bands) > 1 else bands[0]


def _occupied(levels: Sequence[_Level], layout: _Layout) -> Tensor:
    """Returns ones where a level is on the map and zeros elsewhere, ``[1, H, W, 1]``."""
    occupied = torch.zeros(1, layout.height, layout.width, 1)
    for level, (top, left) in zip(levels, layout.places, strict=True):
        occupied[:, top : top + level.height, left : left + level.width] = 1
    return occupied


def _moved(emit: Emitter, levels: Sequence[_Level], layout: _Layout) -> fx.Node:
    """Emits the points of all levels in pixels of their map, none further from its level than one pixel.

    They are computed with a query's points in one row, as the linear layer gives them: a view that nothing is copied for.
    """
    points = levels[0].points.source
    batch, queries, count, _ = (int(size) for size in value_of(points).shape)
    counts = torch.tensor([level.points.stop - level.points.start for level in levels])
    corners = torch.tensor([[left, top] for top, left in layout.places], dtype=torch.float32)
    extents = torch.tensor([[level.width, level.height] for level in levels], dtype=torch.float32)

    def each(values: Tensor, name: str) -> fx.Node:
        return emit.constant(values.repeat_interleave(counts, 0).view(1, 1, -1).repeat(1, 1, batch), name)

    rows = emit(aten.permute.default, points, [1, 0, 2, 3])
    rows = emit(aten.reshape.default, rows, [1, queries, batch * count * 2])
    rows = emit(aten.mul.Tensor, rows, each(torch.stack([level.scale for level in levels]), "scale"))
    rows = emit(aten.add.Tensor, rows, each(torch.stack([level.shift for level in levels]) + corners, "shift"))
    rows = emit(aten.maximum.default, rows, each(corners - 1, "low"))
    rows = emit(aten.minimum.default, rows, each(corners + extents, "high"))
    return emit(aten.permute.default, emit(aten.reshape.default, rows, [queries, batch, count, 2]), [1, 0, 2, 3])
