"""Matrix products and convolutions on views."""

from __future__ import annotations

from math import prod

import torch
from torch import Tensor, fx

from rewrites.base import aten, sizes
from rewrites.rank.builder import Builder, Value, restored
from rewrites.rank.views import MAX_RANK, View


def linear(build: Builder, x: View, weight: Tensor, bias: Tensor | None) -> View:
    """``x @ weight.T + bias`` over the last dimension."""
    shape = sizes(x.shape)
    folded = shape if 2 <= len(shape) <= MAX_RANK else [1, prod(shape[:-1]), shape[-1]]
    parameters = [build.constant(weight)] + ([] if bias is None else [build.constant(bias)])
    result = build.emit(aten.linear.default, build.materialise(x, folded), *parameters)
    return View.of(result, (*shape[:-1], weight.shape[0]))


def matmul(build: Builder, a: Value, b: Value) -> View:
    """Batched matrix product with equal batches: the delegate computes broadcast batches wrongly (W5).

    A batch that is broadcast in one operand is copied; more than two batch dimensions are folded into one. A constant on the
    left, which the delegate refuses, goes to the right by ``A B = (B' A')'``.
    """
    if isinstance(a, Tensor):
        assert isinstance(b, View)
        swapped = matmul(build, _transposed(b), a.transpose(-1, -2))
        return _transposed(swapped)
    batch = torch.broadcast_shapes(a.shape[:-2], b.shape[:-2])
    a, b = _with_batch(a, batch), _with_batch(b, batch)
    shape = (*batch, a.shape[-2], b.shape[-1])
    fold = list(batch) if len(batch) <= MAX_RANK - 2 else [prod(batch)]
    left = build.materialise(a, [*fold, *sizes(a.shape[-2:])])
    right = build.materialise(b, [*fold, *sizes(b.shape[-2:])])
    return View.of(build.emit(aten.matmul.default, left, right), shape)


def convolution(build: Builder, node: fx.Node, x: View, weight: Tensor, bias: Tensor | None, rest: tuple[object, ...]) -> View:
    """``conv2d``, whose result lies channels-last: that is how the converter lays out the op itself, and how tokens read it."""
    parameters = [build.constant(weight), None if bias is None else build.constant(bias)]
    result = build.emit(node.target, build.materialise(x), *parameters, *rest, **node.kwargs)
    return channels_last(build, result)


def channels_last(build: Builder, image: fx.Node) -> View:
    """The NCHW view of an NCHW node, with the data brought to NHWC."""
    n, c, h, w = sizes(image.meta["val"].shape)
    return restored(build.emit(aten.permute.default, image, [0, 2, 3, 1]), [n, h, w, c], (0, 2, 3, 1))


def _with_batch(x: Value, batch: tuple[int, ...]) -> Value:
    shape = (*batch, *x.shape[-2:])
    if isinstance(x, Tensor):
        return x.expand(shape)
    result = x.apply(lambda t: t.expand(shape))
    assert result is not None
    return result


def _transposed(x: View) -> View:
    result = x.apply(lambda t: t.transpose(-1, -2))
    assert result is not None
    return result
