"""Emits bilinear sampling without a gather: the tent weights that both sampling rewrites use.

Sampling an image ``v[H, W]`` bilinearly at the pixel position ``(px, py)`` with zeros outside is

    sum over y, x of  relu(1 - |y - py|) * relu(1 - |x - px|) * v[y, x]

because the tent is one minus the distance on the two neighbours and zero elsewhere. Exact, also at and beyond the image's
edges.

Positions are counted from the image's centre. A tent depends on differences only, and fp16 is precise near zero, while at
column 64 its resolution is a sixteenth of a pixel.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import fx

from detr2litert.graphs.toolbox import Emitter, RewriteRefusedError, argument, aten, is_call, list_of, normalise_dim, value_of

BILINEAR, ZEROS = 0, 0
"""ATen's values for the interpolation and padding modes of ``grid_sampler``."""


@dataclass(frozen=True)
class Tents:
    """Tent weights of ``P`` sampling points for each of ``Q`` queries.

    Attributes:
        rows: ``[B, Q, H, P]``, the weight of each image row for each point.
        columns: ``[B, Q, P, W]``, the weight of each image column for each point.
    """

    rows: fx.Node
    columns: fx.Node


def check_mode(node: fx.Node) -> None:
    """Refuses sampling that the tent does not compute.

    Raises:
        RewriteRefusedError: not of a four-dimensional image, not bilinear, or padding other than zeros.
    """
    if value_of(node).dim() != 4:
        raise RewriteRefusedError(node, "sampling of a volume", "only images [batch, channels, height, width] are supported")
    if node.args[2] != BILINEAR or node.args[3] != ZEROS:
        raise RewriteRefusedError(
            node, "sampling that is not bilinear with zero padding", "only mode=bilinear, padding_mode=zeros is supported"
        )


def emit_tents(emit: Emitter, node: fx.Node) -> Tents:
    """Emits the tents of a ``grid_sampler(image [B, C, H, W], grid [B, Q, P, 2])`` call.

    The grid's normalised coordinates become pixels as PyTorch's grid_sample defines it: ``((g + 1) * size - 1) / 2``, or
    ``(g + 1) / 2 * (size - 1)`` with align_corners. Less the centre, ``(size - 1) / 2``, that is ``g * size / 2`` and
    ``g * (size - 1) / 2``.
    """
    image, grid = node.args[0], node.args[1]
    assert isinstance(image, fx.Node)
    height, width = (int(s) for s in value_of(image).shape[-2:])
    x = _from_centre(emit, grid, 0, width, bool(node.args[4]))
    y = _from_centre(emit, grid, 1, height, bool(node.args[4]))
    columns = _tent(emit, emit(aten.unsqueeze.default, x, -1), _centres(width))
    rows = _tent(emit, emit(aten.unsqueeze.default, y, -2), _centres(height).view(-1, 1))
    return Tents(rows, columns)


def image_matrix(emit: Emitter, image: fx.Node) -> fx.Node:
    """Emits the image as the right-hand side of a matmul: ``[B, C, H, W] -> [B, H * W, C]``."""
    b, c, h, w = (int(s) for s in value_of(image).shape)
    return emit(aten.transpose.int, emit(aten.reshape.default, image, [b, c, h * w]), 1, 2)


def _from_centre(emit: Emitter, grid: object, axis: int, size: int, align_corners: bool) -> fx.Node:
    """Emits each point's distance from the image's centre, in pixels."""
    g = _coordinate(emit, grid, axis)
    return emit(aten.mul.Tensor, g, (size - 1) / 2 if align_corners else size / 2)


def _coordinate(emit: Emitter, grid: object, axis: int) -> fx.Node:
    """Emits one coordinate of every point: a part of the grid if it is a stack of two, so that scalars can be merged."""
    if is_call(grid, aten.stack.default):
        assert isinstance(grid, fx.Node)
        if normalise_dim(argument(grid, 1, "dim", 0), value_of(grid).dim()) == value_of(grid).dim() - 1:
            return list_of(grid.args[0])[axis]
    return emit(aten.select.int, grid, -1, axis)


def _centres(size: int) -> torch.Tensor:
    """Returns the distance of each row or column from the image's centre, in pixels."""
    return torch.arange(size, dtype=torch.float32) - (size - 1) / 2


def _tent(emit: Emitter, positions: fx.Node, pixels: torch.Tensor) -> fx.Node:
    distance = emit(aten.abs.default, emit(aten.sub.Tensor, positions, emit.constant(pixels, "pixels")))
    return emit(aten.relu.default, emit(aten.rsub.Scalar, distance, 1.0))
