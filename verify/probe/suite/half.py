"""Hazards of fp16: what overflows, what is rounded away, and the forms that avoid both.

The fp32 result counts as right. They need an adapter that computes in fp16; no lint rule can detect them, since they depend on
the values. ``verify.parity.fp16`` and the range analysis can.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import numpy as np

from detr2litert.host_runtime.tflite.writer import ModelWriter
from detr2litert.verify.probe.build import ACCEPTED, WRONG, X3, Operand, Shape, data, ints
from detr2litert.verify.probe.probe import Behaviour, Build, Probe, Values

_LIMIT = 2e-2  # fp16 has eleven bits; sums of a few terms keep seven
_POINT = (1, 2, 2, 4)
_WIDE = (1, 6, 64)
_MAP = (1, 64, 64, 4)
_SPREAD = (500 * data(1, 6, 64)).astype(np.float32)


def _chain(w: ModelWriter, shape: Shape, steps: Sequence[tuple[str, float]]) -> Sequence[str]:
    """A chain of operators, each with a scalar constant."""
    tensor = w.input("x", shape)
    for position, (kind, number) in enumerate(steps):
        constant = w.constant(f"c{position}", np.array(number, np.float32))
        tensor = w.op(kind, [tensor, constant], {f"t{position}": shape})
    return [tensor]


def _reduced(w: ModelWriter, kind: str, shape: Shape, axes: Sequence[int], square: bool, scale: float) -> Sequence[str]:
    tensor = w.input("x", shape)
    if square:
        tensor = w.op("MUL", [tensor, tensor], {"q": shape})
    out = tuple(1 if axis in axes else size for axis, size in enumerate(shape))
    total = w.op(kind, [tensor, w.constant("axes", ints(*axes))], {"s": out}, keepDims=True)
    return [w.op("MUL", [total, w.constant("scale", np.array(scale, np.float32))], {"y": out})]


def _cancelling(w: ModelWriter) -> Sequence[str]:
    """128 terms of 900, then 128 of -900, and a bias of 1."""
    weights = np.repeat(np.array([900, -900], np.float32), 128)[None]
    return [w.op("FULLY_CONNECTED", [w.input("x", (1, 256)), w.constant("w", weights), w.constant("b", np.ones(1, np.float32))],
                 {"y": (1, 1)})]  # fmt: skip


def _root(w: ModelWriter, epsilon: float) -> Sequence[str]:
    shifted = w.op("ADD", [w.input("x", _POINT), w.constant("e", np.array(epsilon, np.float32))], {"s": _POINT})
    return [w.op("RSQRT", [shifted], {"y": _POINT})]


def _masked(w: ModelWriter, value: float) -> Sequence[str]:
    """Scores of rank 4 whose second half is masked, then their softmax."""
    shape = (1, 2, 4, 16)
    mask = np.zeros((1, 1, 1, 16), np.float32)
    mask[..., 8:] = value
    total = w.op("ADD", [w.input("x", shape), w.constant("m", mask)], {"s": shape})
    return [w.op("SOFTMAX", [total], {"y": shape}, beta=1.0)]


def _norm(w: ModelWriter, protected: bool, product: bool = False) -> Sequence[str]:
    """Layer norm; protected, of x / S with S = max(1, max|x| / 8) for each row, and eps / S^2 (``protect_layer_norm``).

    The square is a SQUARED_DIFFERENCE, as litert-torch writes it, or a product.
    """
    x, row = w.input("x", _WIDE), (1, 6, 1)
    axes, epsilon = w.constant("axes", ints(2)), w.constant("eps", np.array(1e-5, np.float32))
    if protected:
        largest = w.op("REDUCE_MAX", [w.op("ABS", [x], {"a": _WIDE}), axes], {"l": row}, keepDims=True)
        eighth = w.op("MUL", [largest, w.constant("e", np.array(0.125, np.float32))], {"h": row})
        scale = w.op("MAXIMUM", [eighth, w.constant("one", np.array(1, np.float32))], {"S": row})
        x = w.op("DIV", [x, scale], {"xs": _WIDE})
        epsilon = w.op("DIV", [w.op("DIV", [epsilon, scale], {"e1": row}), scale], {"e2": row})
    mean = w.op("MEAN", [x, axes], {"m": row}, keepDims=True)
    centred = w.op("SUB", [x, mean], {"c": _WIDE})
    squares = w.op("MUL", [centred] * 2, {"q": _WIDE}) if product else w.op("SQUARED_DIFFERENCE", [x, mean], {"q": _WIDE})
    variance = w.op("MEAN", [squares, axes], {"v": row}, keepDims=True)
    root = w.op("RSQRT", [w.op("ADD", [variance, epsilon], {"ve": row})], {"r": row})
    return [w.op("MUL", [centred, root], {"y": _WIDE})]


def _largest(w: ModelWriter) -> Sequence[str]:
    outputs = {"y": (1, 2), "i": (1, 2)}
    w.op("TOPK_V2", [w.input("x", (1, 4096)), w.constant("k", np.array(2, np.int32))], outputs, dtype=("float32", "int32"))
    return ["y"]


def _half(name: str, about: str, does: Behaviour, build: Build, x: Operand, limit: float = _LIMIT) -> Probe:
    values: Values = {"x": np.asarray(x, np.float32)}
    return Probe(name, about, does, build, values=values, limit=limit)


def _full(shape: Shape, value: float) -> Operand:
    return np.full(shape, value, np.float32)


_UP_AND_DOWN = (("MUL", 1000.0), ("MUL", 1000.0), ("DIV", 1e6))
PROBES: tuple[Probe, ...] = (
    _half("half_overflow", "times 1000 twice and back", WRONG, partial(_chain, shape=_POINT, steps=_UP_AND_DOWN),
          _full(_POINT, 3)),
    _half("half_input", "an input of 1e5", WRONG, partial(_chain, shape=_POINT, steps=[("MUL", 1e-3)]), _full(_POINT, 1e5)),
    _half("half_rounding", "3 (1 + 2^-11) - 3", WRONG, partial(_chain, shape=_POINT, steps=[("MUL", 3.0), ("SUB", 3.0)]),
          _full(_POINT, 1 + 2**-11), limit=1e-4),
    _half("half_squares", "the sum of 64 squares of 100", WRONG,
          partial(_reduced, kind="SUM", shape=_WIDE, axes=[2], square=True, scale=1e-5), _full(_WIDE, 100)),
    _half("half_sum", "the sum of 4096 hundreds", WRONG,
          partial(_reduced, kind="SUM", shape=_MAP, axes=[1, 2], square=False, scale=1e-5), _full(_MAP, 100)),
    _half("half_mean", "the mean of 4096 hundreds", ACCEPTED,
          partial(_reduced, kind="MEAN", shape=_MAP, axes=[1, 2], square=False, scale=1.0), _full(_MAP, 100)),
    _half("half_cancelling", "a linear layer whose terms cancel", WRONG, _cancelling, _full((1, 256), 1)),
    _half("half_norm", "a layer norm of numbers about 500", WRONG, partial(_norm, protected=False), _SPREAD),
    _half("half_norm_product", "the same with a product for the square", ACCEPTED,
          partial(_norm, protected=False, product=True), _SPREAD),
    _half("half_norm_protected", "the same in the fp16-safe form", ACCEPTED, partial(_norm, protected=True), _SPREAD),
    _half("half_norm_small", "a plain layer norm of numbers about 1", ACCEPTED, partial(_norm, protected=False),
          data(1, 6, 64)),
    _half("half_epsilon", "1 / sqrt(1e-8)", WRONG, partial(_root, epsilon=1e-8), _full(_POINT, 0)),
    _half("half_epsilon_large", "1 / sqrt(1e-3)", ACCEPTED, partial(_root, epsilon=1e-3), _full(_POINT, 0)),
    _half("half_mask_lowest", "a mask of -3.4e38", ACCEPTED, partial(_masked, value=-3.4e38), data(1, 2, 4, 16)),
    _half("half_mask_infinite", "a mask of -inf", ACCEPTED, partial(_masked, value=-np.inf), data(1, 2, 4, 16)),
    _half("half_mask_bounded", "a mask of -1e4", ACCEPTED, partial(_masked, value=-1e4), data(1, 2, 4, 16)),
    _half("half_whole_numbers", "the two largest of 0 to 4095", WRONG, _largest, np.arange(4096)[None], limit=1e-4),
    _half("half_softmax", "a softmax of usual scores", ACCEPTED, partial(_masked, value=0.0), data(1, 2, 4, 16)),
    _half("half_scale", "half of usual numbers", ACCEPTED, partial(_chain, shape=X3, steps=[("MUL", 0.5)]), data(*X3)),
)  # fmt: skip
