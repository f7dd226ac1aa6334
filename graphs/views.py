"""Strided views: reshapes, permutes and broadcasts without moving data.

A ``View`` maps a logical tensor of any rank to the row-major buffer of an emitted node of rank at most four, as PyTorch does:
one stride per dimension, zero for a broadcast dimension. View ops are evaluated by PyTorch on a meta tensor of those strides,
so they follow PyTorch's rules.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import inf, prod

import torch
from torch import Tensor, fx

from detr2litert.graphs.toolbox import sizes, value_of


@dataclass(frozen=True)
class View:
    """A logical tensor in the buffer of ``node``.

    Attributes:
        node: emitted node whose value, read in row-major order, is the buffer.
        shape: logical shape, any rank.
        strides: distance in elements between neighbours along each dimension; 0 for a broadcast dimension. Apart from
            broadcast dimensions the view is a permutation: it covers every element of the buffer once.
    """

    node: fx.Node
    shape: tuple[int, ...]
    strides: tuple[int, ...]

    @classmethod
    def of(cls, node: fx.Node, shape: Sequence[int] | None = None) -> View:
        """Returns the row-major view of a node's whole value, in its own shape or another of the same size."""
        shape = tuple(sizes(value_of(node).shape if shape is None else shape))
        return cls(node, shape, contiguous_strides(shape))

    @property
    def numel(self) -> int:
        return prod(self.shape)

    @property
    def dtype(self) -> torch.dtype:
        return value_of(self.node).dtype

    @property
    def is_broadcast(self) -> bool:
        return any(size > 1 and stride == 0 for size, stride in zip(self.shape, self.strides, strict=True))

    @property
    def is_contiguous(self) -> bool:
        """True if the logical row-major order is the buffer's order."""
        return not self.is_broadcast and self.memory_order() == tuple(range(len(self.shape)))

    def apply(self, op: Callable[[Tensor], Tensor]) -> View | None:
        """Returns the view after a view op, or None if the op needs to move data."""
        try:
            result = op(torch.empty_strided(self.shape, self.strides, device="meta"))
        except RuntimeError:
            return None
        return View(self.node, tuple(result.shape), tuple(result.stride()))

    def without_broadcast(self) -> View:
        """Returns the view with every broadcast dimension cut to size one."""
        shape = tuple(1 if stride == 0 else size for size, stride in zip(self.shape, self.strides, strict=True))
        return View(self.node, shape, self.strides)

    def memory_order(self) -> tuple[int, ...]:
        """Returns the dimensions from the outermost to the innermost in memory.

        Dimensions of size one or stride zero have no position in memory: leading ones stay leading, others stay next to their
        right-hand neighbour.
        """
        placed = [d for d in range(len(self.shape)) if self.shape[d] > 1 and self.strides[d] > 0]
        front = placed[0] if placed else len(self.shape)
        keys: list[float] = [inf] * len(self.shape)
        right = 0.5
        for d in reversed(range(front, len(self.shape))):
            if d in placed:
                right = float(self.strides[d])
            keys[d] = right
        return tuple(sorted(range(len(self.shape)), key=lambda d: (-keys[d], d)))

    def broadcast_to(self, shape: Sequence[int]) -> View:
        """Returns the view broadcast to ``shape``, which differs from its own in dimensions of size one only."""
        strides = tuple(
            0 if mine == 1 and size > 1 else stride for mine, size, stride in zip(self.shape, shape, self.strides, strict=True)
        )
        return View(self.node, tuple(sizes(shape)), strides)

    def permuted(self, order: Sequence[int]) -> View:
        """Returns the view with its dimensions in the given order."""
        return View(self.node, tuple(self.shape[d] for d in order), tuple(self.strides[d] for d in order))


def broadcast_shape(*shapes: Sequence[int]) -> tuple[int, ...]:
    """Returns the shape that operands of these shapes broadcast to."""
    return tuple(torch.broadcast_shapes(*(tuple(shape) for shape in shapes)))  # type: ignore[no-untyped-call]


def contiguous_strides(shape: Sequence[int]) -> tuple[int, ...]:
    """Returns the row-major strides of a shape, in elements."""
    return tuple(prod(shape[d + 1 :]) for d in range(len(shape)))


def inverse(order: Sequence[int]) -> tuple[int, ...]:
    """Returns the inverse of a permutation."""
    return tuple(sorted(range(len(order)), key=order.__getitem__))


def merged_runs(order: Sequence[int]) -> list[list[int]]:
    """Returns the maximal runs of dimensions that are adjacent before and after a permutation.

    ``order[i]`` is the source dimension at destination i; the runs are in destination order.
    """
    runs: list[list[int]] = []
    for dim in order:
        if runs and dim == runs[-1][-1] + 1:
            runs[-1].append(dim)
        else:
            runs.append([dim])
    return runs
