"""The host ops in NumPy: one function for each op of `host_ops.json`, on float32 tensors (int32 for indices).

Whether an op accepts its tensors is checked before, by the table (`host_table`, `host_shapes`). The kernels check only what
depends on values: an index out of range.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from detr2litert.host_runtime.selection import topk_indices

Array = NDArray[Any]


def topk(x: Array, *, k: int, axis: int) -> Array:
    """int32 indices of the k largest along `axis`, in descending order, ties by lower index, NaN first."""
    rows = np.moveaxis(x, axis, -1)
    found = [topk_indices(row, k) for row in rows.reshape(-1, rows.shape[-1])]
    return np.moveaxis(np.asarray(found, np.int32).reshape(*rows.shape[:-1], k), -1, axis)


def gather(x: Array, indices: Array, *, axis: int) -> Array:
    """x [B, N, ...] and indices [B, K] -> [B, K, ...] for axis 1 (each batch by its own row); indices [K] apply to any axis.

    Raises:
        ValueError: an index is outside the axis; there are no negative ones.
    """
    axis = axis % x.ndim
    if indices.min() < 0 or indices.max() >= x.shape[axis]:
        raise ValueError(f"an index is outside 0..{x.shape[axis] - 1}")
    if indices.ndim == 1:
        return np.take(x, indices, axis=axis)
    if x.shape[0] == 1:  # the usual case, without np.stack's second copy
        return np.expand_dims(np.take(x[0], indices[0], axis=axis - 1), 0)
    return np.stack([np.take(item, row, axis=axis - 1) for item, row in zip(x, indices, strict=True)])


def linear(x: Array, weight: Array, bias: Array | None = None) -> Array:
    """y = x W^T + b, with x [..., I], W [O, I], b [O], as torch.nn.functional.linear."""
    y: Array = x @ weight.T
    return y if bias is None else np.add(y, bias)


def layer_norm(x: Array, weight: Array | None = None, bias: Array | None = None, *, eps: float) -> Array:
    """(x - mean) / sqrt(variance + eps) * weight + bias over the last axis, with the population variance."""
    centred = x - x.mean(axis=-1, keepdims=True)
    y: Array = centred / np.sqrt(np.square(centred).mean(axis=-1, keepdims=True) + np.float32(eps))
    if weight is not None:
        y = y * weight
    return y if bias is None else y + bias


def relu(x: Array) -> Array:
    """max(x, 0)."""
    return np.maximum(x, 0)


def sigmoid(x: Array) -> Array:
    """1 / (1 + exp(-x)); exp overflows to inf for x below -88, which gives the right 0."""
    y: Array = 1 / (1 + np.exp(-x))
    return y


def silu(x: Array) -> Array:
    """x * sigmoid(x)."""
    return x * sigmoid(x)


def gelu(x: Array, *, approximate: str = "none") -> Array:
    """x * Phi(x); `approximate="tanh"` gives torch's tanh form."""
    if approximate == "tanh":
        phi: Array = 0.5 * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))
    else:
        # NumPy has no erf; 300 queries of 256 channels take some milliseconds through math.erf, exact to float32's last bit.
        erf = np.asarray(np.frompyfunc(math.erf, 1, 1)(x * np.float32(math.sqrt(0.5)))).astype(np.float32)
        phi = 0.5 * (1 + erf)
    y: Array = x * phi
    return y


def clamp(x: Array, *, min: float | None = None, max: float | None = None) -> Array:  # noqa: A002, the attributes' names
    """Limit x to [min, max], of which one may be absent; NaN is preserved."""
    return np.clip(x, min, max)


def slice_(x: Array, *, axis: int, start: int, end: int) -> Array:
    """x[start:end] along `axis`."""
    index = [slice(None)] * x.ndim
    index[axis] = slice(start, end)
    return x[tuple(index)]


def concat(*tensors: Array, axis: int) -> Array:
    """Join along `axis`."""
    return np.concatenate(tensors, axis=axis)


def reshape(x: Array, *, shape: Sequence[int]) -> Array:
    """Row-major reshape; one extent may be -1."""
    return x.reshape(tuple(shape))


KERNELS: Mapping[str, Callable[..., Array]] = {
    "topk": topk,
    "gather": gather,
    "linear": linear,
    "layer_norm": layer_norm,
    "relu": relu,
    "silu": silu,
    "gelu": gelu,
    "sigmoid": sigmoid,
    "exp": np.exp,
    "log": np.log,
    "add": np.add,
    "sub": np.subtract,
    "mul": np.multiply,
    "div": np.divide,
    "maximum": np.maximum,
    "minimum": np.minimum,
    "clamp": clamp,
    "slice": slice_,
    "concat": concat,
    "reshape": reshape,
}
"""By the op's name; called with its inputs in order and its attributes by name."""
