"""Writes a gather of the nearest cells as bilinear sampling at whole cells, which the later rewrites bring to matmuls.

Hazard: discrete deformable attention rounds its points to cells and reads them by index. ``aten.index`` lowers to GATHER_ND and
its indices are INT64; the delegate refuses both.

Identity: bilinear sampling exactly at a cell is that cell, with weight one. For a point ``p``, with the lower bound 0::

    clamp(int(p), 0, n) = clamp(floor(p), 0, n)

because truncation differs from rounding down only below zero, where both are clamped to zero.

Given, for points ``[B, Q, P, 2]`` on an image ``[B, C, H, W]``::

    %i = aten._to_copy(%grid * (W, H) + 0.5, dtype=int64)
    %x, %y = aten.clamp(aten.select(%i, -1, 0), 0, W - 1), aten.clamp(aten.select(%i, -1, 1), 0, H - 1)
    %v = aten.index(%image, [arange(B), None, views of %y, views of %x])     # [B, Q * P, C]
    %s = aten.reshape(aten.transpose(%v, 1, 2), [B, C, Q, P])

Result::

    %c = aten.clamp(aten.floor(aten.select(%grid, -1, 0) * W + (0.5 - W // 2)), -(W // 2), W - 1 - W // 2)
    %x = (%c + offset of the pixel's centre) / (W / 2)                       # and y in the same way
    %s = aten.grid_sampler(%image, aten.stack([%x, %y], -1), bilinear, zeros, align_corners=False)

Cells are counted from the middle of the image. There fp16 represents every cell and every centre of a map of up to 2048 cells
exactly, so the weights are exactly one and zero in fp16 too. What fp16 does not represent is the point before it is rounded:
its steps are 1/32 of a cell at 40 cells from the middle, and a point nearer than that to the border of two cells may fall on
the other side. float32 has the same border, six orders narrower.

Does not fire if the indices are computed in another way, or are not clamped at zero. The image then stays gathered, and the
delegate refuses it. Exact where the point is not within rounding of a border. Evidence: ``decoder_method:
discrete`` in transformers, refused as an INT64 index without this rewrite.
"""

from __future__ import annotations

import operator
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import fx

from detr2litert.graphs.op_traits import VIEWS
from detr2litert.graphs.toolbox import (
    Emitter,
    argument,
    aten,
    calls,
    constant_of,
    is_call,
    list_of,
    normalise_dim,
    only_user,
    replace,
    sizes,
    value_of,
)
from detr2litert.rewrites.contract import Findings, Miss, Site, fired, missed, rewrite
from detr2litert.rewrites.sampling import BILINEAR, ZEROS


@dataclass(frozen=True)
class _Cells:
    """``clamp(int(grid[..., axis] * scale + shift), 0, last)``, in the shape of the grid without its last dimension."""

    grid: fx.Node
    axis: int
    scale: float
    shift: float
    last: int


@rewrite(before=("fold_sampling", "lower_sampling", "merge_scalars"))
def lower_nearest_sampling(graph_module: fx.GraphModule) -> Findings:
    found: list[Site | Miss] = []
    for node in calls(graph_module, aten.index.Tensor):
        image, indices = node.args[0], list(node.args[1])  # type: ignore[arg-type]
        if not isinstance(image, fx.Node) or value_of(image).dim() != 4 or len(indices) != 4 or indices[1] is not None:
            continue
        rows, columns = _cells(graph_module, indices[2]), _cells(graph_module, indices[3])
        if rows is None or columns is None or rows.grid is not columns.grid or value_of(rows.grid).dim() != 4:
            found.append(missed(node, "its indices are not points that are rounded to cells and clamped at zero"))
            continue
        if not _one_image_each(graph_module, indices[0], sizes(value_of(indices[2]).shape)):
            found.append(missed(node, "its points are not sampled in the image of their own number"))
            continue
        batch, channels, height, width = sizes(value_of(image).shape)
        _, queries, points, _ = sizes(value_of(rows.grid).shape)
        samples = _samples(node, [batch, channels, queries, points])
        emit = Emitter(graph_module, samples or node)
        parts = [_position(emit, columns, width), _position(emit, rows, height)]
        grid = emit(aten.stack.default, parts, -1)
        sampled = emit(aten.grid_sampler.default, image, grid, BILINEAR, ZEROS, False)
        found.append(fired(node, f"{queries * points} points on {height}x{width}"))
        if samples is None:
            flat = emit(aten.reshape.default, sampled, [batch, channels, queries * points])
            replace(node, emit(aten.transpose.int, flat, 1, 2))
        else:
            replace(samples, sampled)
    return found


def _cells(graph_module: fx.GraphModule, node: object) -> _Cells | None:
    """Matches an index back to the points that were rounded; views keep the row-major order."""
    node = _behind_stack(node)
    if not is_call(node, aten.clamp.default):
        return None
    assert isinstance(node, fx.Node)
    low, high = argument(node, 1, "min", None), argument(node, 2, "max", None)
    selected = node.args[0]
    if low != 0 or not isinstance(high, int) or not is_call(selected, aten.select.int):
        return None
    assert isinstance(selected, fx.Node)
    whole, dim, axis = selected.args
    if not is_call(whole, aten._to_copy.default):
        return None
    assert isinstance(whole, fx.Node)
    if whole.kwargs.get("dtype") not in (torch.int64, torch.int32) or normalise_dim(int(dim), 4) != 3:  # type: ignore[arg-type]
        return None
    shifted = whole.args[0]
    if not is_call(shifted, aten.add.Tensor) or not isinstance(shifted.args[1], float):  # type: ignore[union-attr]
        return None
    scaled = shifted.args[0]  # type: ignore[union-attr]
    if not is_call(scaled, aten.mul.Tensor):
        return None
    grid, scale = scaled.args  # type: ignore[union-attr]
    numbers = constant_of(graph_module, scale)
    if numbers is None or numbers.numel() != 2 or not isinstance(grid, fx.Node):
        return None
    number = float(numbers.flatten()[int(axis)])  # type: ignore[arg-type]
    return _Cells(grid, int(axis), number, float(shifted.args[1]), high)  # type: ignore[arg-type, union-attr]


def _behind_stack(node: object) -> object:
    """Returns the part of a stack that an index selects, through reshapes; else the node."""
    selected = _behind_reshapes(node)
    if not is_call(selected, aten.select.int):
        return selected
    assert isinstance(selected, fx.Node)
    stack = _behind_reshapes(selected.args[0])
    rank = value_of(selected.all_input_nodes[0]).dim()
    last = normalise_dim(int(selected.args[1]), rank) == rank - 1  # type: ignore[arg-type]
    if not is_call(stack, aten.stack.default) or not last:
        return selected
    assert isinstance(stack, fx.Node)
    parts, rank = list_of(stack.args[0]), value_of(stack).dim()
    at_end = normalise_dim(argument(stack, 1, "dim", 0), rank) == rank - 1
    kept = value_of(selected.all_input_nodes[0]).shape[-1] == len(parts)
    return parts[int(selected.args[2])] if at_end and kept else selected  # type: ignore[arg-type]


def _behind_reshapes(node: object) -> object:
    while is_call(node, aten.reshape.default) and is_call(node, *VIEWS):
        node = node.args[0]  # type: ignore[attr-defined]
    return node


def _one_image_each(graph_module: fx.GraphModule, node: object, shape: Sequence[int]) -> bool:
    """True if the index of the image counts the first dimension of the points."""
    numbers = constant_of(graph_module, node)
    if numbers is None or len(shape) != 2:
        return False
    wanted = torch.arange(shape[0]).view(-1, 1).expand(*shape)
    return numbers.dim() <= 2 and bool((numbers.expand(*shape) == wanted).all())


def _samples(node: fx.Node, shape: list[int]) -> fx.Node | None:
    """Returns the reshape of the transposed samples to ``[B, C, Q, P]``, if that is their only use."""
    turned = only_user(node)
    if turned is None or not is_call(turned, aten.transpose.int) or sorted(map(int, turned.args[1:])) != [1, 2]:  # type: ignore[arg-type]
        return None
    samples = only_user(turned)
    if samples is None or not is_call(samples, aten.reshape.default) or sizes(value_of(samples).shape) != shape:
        return None
    return samples


def _position(emit: Emitter, cells: _Cells, size: int) -> fx.Node:
    """Emits the centres of the cells in the normalised coordinates of ``grid_sampler``."""
    middle = size // 2
    point = emit(aten.mul.Tensor, emit(aten.select.int, _sliced(emit, cells.grid), -1, cells.axis), cells.scale)
    floor = emit(aten.floor.default, emit(aten.add.Tensor, point, cells.shift - middle))
    cell = emit(aten.clamp.default, floor, float(-middle), float(cells.last - middle))
    centred = emit(aten.add.Tensor, cell, middle - (size - 1) / 2)
    return emit(aten.mul.Tensor, centred, 2 / size)


def _sliced(emit: Emitter, part: fx.Node) -> fx.Node:
    """Emits a part of a split as a slice, a view through which ``centre_coordinates`` finds the sum of the coordinates."""
    split = part.all_input_nodes[0] if part.target is operator.getitem else part
    if not is_call(split, aten.split_with_sizes.default):
        return part
    number, parts = int(part.args[1]), [int(size) for size in split.args[1]]  # type: ignore[arg-type, union-attr]
    start = sum(parts[:number])
    return emit(aten.slice.Tensor, split.args[0], argument(split, 2, "dim", 0), start, start + parts[number])
