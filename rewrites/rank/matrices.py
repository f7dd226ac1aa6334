"""Matrix products and convolutions on views."""

from __future__ import annotations

from math import prod

from torch import Tensor, fx

from detr2litert.graphs.delegate import MAX_RANK
from detr2litert.graphs.toolbox import RewriteRefusedError, aten, sizes
from detr2litert.graphs.views import View, broadcast_shape
from detr2litert.rewrites.rank.builder import Builder, Value, restored


def parameter(build: Builder, node: fx.Node, value: Value | None) -> fx.Node | None:
    """Emits a layer's constant weight or bias.

    Raises:
        RewriteRefusedError: it is computed at run time.
    """
    if isinstance(value, View):
        raise RewriteRefusedError(node, "a weight or bias computed at run time", "express the layer as matmul, mul and add")
    return None if value is None else build.constant(value)


def linear(build: Builder, node: fx.Node, x: Value, weight: Value, bias: Value | None) -> View:
    """Emits ``x @ weight.T + bias`` over the last dimension; a weight that is a vector gives one output channel."""
    shape = sizes(x.shape)
    if isinstance(weight, Tensor) and weight.dim() == 1:
        product = linear(build, node, x, weight.unsqueeze(0), bias)
        return View(product.node, product.shape[:-1], product.strides[:-1])
    folded = shape if 2 <= len(shape) <= MAX_RANK else [1, prod(shape[:-1]), shape[-1]]
    parameters = [parameter(build, node, p) for p in ([weight] if bias is None else [weight, bias])]
    result = build.emit(aten.linear.default, build.materialise(x, folded), *parameters)
    return View.of(result, (*shape[:-1], int(weight.shape[0])))


def matmul(build: Builder, node: fx.Node, a: Value, b: Value) -> View:
    """Emits a batched matrix product ``[1, B, M, K] @ [1, B, K, N]``.

    That takes three dispatches fewer than a first dimension above one, which the delegate moves. It computes broadcast batches
    wrongly (the lint's ``matmul-broadcast-batch``), so a batch that is broadcast in one operand is copied. A constant on the
    left, which the delegate refuses, is moved to the right by ``A B = (B' A')'``; one matrix for the whole batch is a linear
    layer.
    """
    if isinstance(a, Tensor):
        assert isinstance(b, View)
        swapped = matmul(build, node, _transposed(b), a.transpose(-1, -2))
        return _transposed(swapped)
    if isinstance(b, Tensor) and b.dim() == 2:
        return linear(build, node, a, b.t(), None)
    batch = broadcast_shape(a.shape[:-2], b.shape[:-2])
    a, b = _with_batch(a, batch), _with_batch(b, batch)
    shape = (*batch, a.shape[-2], b.shape[-1])
    fold = [1, prod(batch)]
    left = build.materialise(a, [*fold, *sizes(a.shape[-2:])])
    right = build.materialise(b, [*fold, *sizes(b.shape[-2:])])
    return View.of(build.emit(aten.matmul.default, left, right), shape)


def convolution(build: Builder, node: fx.Node, x: View, weight: Value, bias: Value | None, rest: tuple[object, ...]) -> View:
    """Emits ``conv2d`` with a channels-last result, the converter's own layout of the op and the layout of tokens."""
    parameters = [parameter(build, node, p) for p in (weight, bias)]
    result = build.emit(node.target, build.materialise(x), *parameters, *rest, **node.kwargs)
    return channels_last(build, result)


def channels_last(build: Builder, image: fx.Node) -> View:
    """Permutes the data of an NCHW node to NHWC and returns its NCHW view."""
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
