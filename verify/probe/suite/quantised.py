"""Weights of eight and sixteen bits, open dimensions, and other cases in which the CPU kernels differ from the delegate."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial

import numpy as np
from numpy.typing import NDArray

from detr2litert.host_runtime.tflite.writer import ModelWriter
from detr2litert.verify.probe.build import ACCEPTED, DIED, REFUSED, STEP, WRONG, X2, X3, X4, Shape, data
from detr2litert.verify.probe.probe import Behaviour, Probe, Values

_RULE = "dequantize-int8"
_ROWS = {WRONG: "quantised-dense-rows", REFUSED: "quantised-dense-rows-of-one"}
_SCALE = 0.05
_FINE = 0.001
_SCALES = tuple(0.02 * (1 + channel) for channel in range(8))
_BIAS = data(8, seed=5)


def _codes(*shape: int) -> NDArray[np.int8]:
    return np.random.default_rng(6).integers(-127, 128, shape).astype(np.int8)


def _codes_int4(*shape: int) -> NDArray[np.int8]:
    return np.random.default_rng(6).integers(-7, 8, shape).astype(np.int8)


def _dequantised(w: ModelWriter, kind: str) -> Sequence[str]:
    """Weights of int8, unpacked by a DEQUANTIZE."""
    shape = (8, 8) if kind == "FULLY_CONNECTED" else (8, 1, 1, 8)
    weights = w.op("DEQUANTIZE", [w.constant("q", _codes(*shape), scales=[_SCALE])], {"w": shape})
    tensor = X2 if kind == "FULLY_CONNECTED" else X4
    options = {} if kind == "FULLY_CONNECTED" else STEP
    return [w.op(kind, [w.input("x", tensor), weights, w.constant("b", _BIAS)], {"y": tensor}, **options)]


def _dequantised_int4(w: ModelWriter, kind: str) -> Sequence[str]:
    """Weights of int4, unpacked by a DEQUANTIZE."""
    shape = (8, 8) if kind == "FULLY_CONNECTED" else (8, 1, 1, 8)
    weights = w.op("DEQUANTIZE", [w.constant_int4("q", _codes_int4(*shape), [_SCALE])], {"w": shape}, version=3)
    tensor = X2 if kind == "FULLY_CONNECTED" else X4
    options = {} if kind == "FULLY_CONNECTED" else STEP
    return [w.op(kind, [w.input("x", tensor), weights, w.constant("b", _BIAS)], {"y": tensor}, **options)]


def _hybrid_int4(w: ModelWriter) -> Sequence[str]:
    """Weights of int4 that the layer reads directly."""
    weights = w.constant_int4("w", _codes_int4(8, 8), _SCALES)
    return [w.op("FULLY_CONNECTED", [w.input("x", X2), weights, w.constant("b", _BIAS)], {"y": X2}, version=8)]


def _int4_product(values: Values) -> Values:
    return {"y": (values["x"] @ (_codes_int4(8, 8) * np.asarray(_SCALES)[:, None]).T + _BIAS).astype(np.float32)}


def _int16(w: ModelWriter, kind: str) -> Sequence[str]:
    """An operator on int16, between QUANTIZE and DEQUANTIZE."""
    w.op("QUANTIZE", [w.input("x", X3)], {"q": X3}, dtype="int16")
    source, out = w.quantize("q", [_FINE]), X3
    if kind == "QUANTIZE":
        return [w.op("DEQUANTIZE", [source], {"y": X3})]
    if kind == "FULLY_CONNECTED":
        weights = w.constant("w", _codes(8, 8), scales=[_SCALE] * 8)
        bias = w.constant("b", np.arange(8, dtype=np.int64), scales=[_SCALE * _FINE] * 8)
        w.op(kind, [source, weights, bias], {"c": out}, dtype="int16", version=7, keepNumDims=True)
    elif kind == "BATCH_MATMUL":
        w.op("QUANTIZE", [w.input("z", (1, 8, 8))], {"r": (1, 8, 8)}, dtype="int16")
        w.op(kind, [source, w.quantize("r", [_FINE])], {"c": out}, dtype="int16", version=3)
    elif kind == "RELU":
        w.op(kind, [source], {"c": out}, dtype="int16", version=2)
    else:
        constant = w.constant("k", 100 * np.arange(-4, 4, dtype=np.int16), scales=[_FINE])
        w.op(kind, [source, constant], {"c": out}, dtype="int16", version=2)
    return [w.op("DEQUANTIZE", [w.quantize("c", [_FINE])], {"y": out})]


def _wide(name: str, about: str, does: Behaviour, kind: str) -> Probe:
    return Probe(f"int16_{name}", about, does, partial(_int16, kind=kind), triggers="int16")


def _halves(w: ModelWriter) -> Sequence[str]:
    weights = w.op("DEQUANTIZE", [w.constant("h", data(8, 8).astype(np.float16))], {"w": (8, 8)})
    return [w.op("FULLY_CONNECTED", [w.input("x", X2), weights, w.constant("b", _BIAS)], {"y": X2})]


def _hybrid(w: ModelWriter, kind: str, scales: Sequence[float]) -> Sequence[str]:
    """Weights of int8 that the layer reads directly: dynamic-range quantisation."""
    shape = (8, 8) if kind == "FULLY_CONNECTED" else (8, 1, 1, 8)
    tensor = X2 if kind == "FULLY_CONNECTED" else X4
    options = {} if kind == "FULLY_CONNECTED" else STEP
    weights = w.constant("w", _codes(*shape), scales=scales)
    return [w.op(kind, [w.input("x", tensor), weights, w.constant("b", _BIAS)], {"y": tensor}, version=5, **options)]


def _hybrid_rows(w: ModelWriter, shape: Shape, keep: bool = False) -> Sequence[str]:
    """A linear layer with int8 weights on an input of rank above 2; by default its rows become the rows of a matrix."""
    weights = w.constant("w", _codes(8, 8), scales=(_SCALE,))
    out = shape if keep else (math.prod(shape[:-1]), 8)
    operands = [w.input("x", shape), weights, w.constant("b", _BIAS)]
    return [w.op("FULLY_CONNECTED", operands, {"y": out}, version=5, keepNumDims=keep)]


def _rows(name: str, shape: Shape, does: Behaviour, keep: bool = False) -> Probe:
    about = f"a linear layer with int8 weights on {list(shape)}, {'its rank kept' if keep else 'as rows of a matrix'}"
    return Probe(name, about, does, partial(_hybrid_rows, shape=shape, keep=keep), triggers=_ROWS.get(does, ""),
                 must_not_trigger=tuple(rule for behaviour, rule in _ROWS.items() if behaviour is not does),
                 reference=partial(_row_product, out=shape if keep else (math.prod(shape[:-1]), 8)))  # fmt: skip


def _row_product(values: Values, out: Shape) -> Values:
    return {"y": _product(values, (_SCALE,))["y"].reshape(out)}


def _all_int8(w: ModelWriter) -> Sequence[str]:
    """A convolution that reads and writes int8, between QUANTIZE and DEQUANTIZE."""
    w.op("QUANTIZE", [w.input("x", X4)], {"q": X4}, dtype="int8")
    weights = w.constant("w", _codes(8, 1, 1, 8), scales=[_SCALE] * 8)
    bias = w.constant("b", np.arange(-4, 4, dtype=np.int32), scales=[_SCALE * _SCALE] * 8)
    w.op("CONV_2D", [w.quantize("q", [_SCALE]), weights, bias], {"c": X4}, dtype="int8", version=3, **STEP)
    return [w.op("DEQUANTIZE", [w.quantize("c", [0.5])], {"y": X4})]


def _product(values: Values, scales: Sequence[float]) -> Values:
    """The layer with its weights unpacked. The CPU kernel also rounds its input to eight bits, which the delegate does not."""
    weights = _codes(8, 8) * np.resize(np.asarray(scales), 8)[:, None]
    return {"y": (values["x"] @ weights.T + _BIAS).astype(np.float32)}


def _open(w: ModelWriter) -> Sequence[str]:
    x, z = (w.input(name, X3, signature=(1, -1, 8)) for name in "xz")
    return [w.op("ADD", [x, z], {"y": X3})]


PROBES: tuple[Probe, ...] = (
    Probe("dequantize_int8_fc", "int8 weights unpacked for a linear layer", REFUSED,
          partial(_dequantised, kind="FULLY_CONNECTED"), triggers=_RULE),
    Probe("dequantize_int8_conv", "int8 weights unpacked for a convolution", ACCEPTED,
          partial(_dequantised, kind="CONV_2D"), must_not_trigger=(_RULE,)),
    Probe("dequantize_int4_fc", "int4 weights unpacked for a linear layer", REFUSED,
          partial(_dequantised_int4, kind="FULLY_CONNECTED"), triggers=_RULE),
    Probe("dequantize_int4_conv", "int4 weights unpacked for a convolution", ACCEPTED,
          partial(_dequantised_int4, kind="CONV_2D"), must_not_trigger=(_RULE,)),
    Probe("hybrid_fc_int4", "a linear layer with int4 weights", ACCEPTED, _hybrid_int4, must_not_trigger=(_RULE,),
          reference=_int4_product),
    _wide("quantize", "activations rounded to int16", REFUSED, "QUANTIZE"),
    _wide("fc", "a linear layer on int16", REFUSED, "FULLY_CONNECTED"),
    _wide("matmul", "a matmul of int16", REFUSED, "BATCH_MATMUL"),
    _wide("relu", "a RELU of int16", REFUSED, "RELU"),
    _wide("add_constant", "a constant of int16 added", DIED, "ADD"),
    _wide("mul_constant", "a constant of int16 multiplied with", DIED, "MUL"),
    Probe("dequantize_fp16_fc", "fp16 weights unpacked for a linear layer", ACCEPTED, _halves, must_not_trigger=(_RULE,)),
    Probe("hybrid_fc", "a linear layer with int8 weights", ACCEPTED,
          partial(_hybrid, kind="FULLY_CONNECTED", scales=(_SCALE,)), must_not_trigger=(_RULE,),
          reference=partial(_product, scales=(_SCALE,))),
    Probe("hybrid_fc_channels", "one scale a channel", ACCEPTED, partial(_hybrid, kind="FULLY_CONNECTED", scales=_SCALES),
          must_not_trigger=(_RULE,), reference=partial(_product, scales=_SCALES)),
    Probe("hybrid_conv", "a convolution with int8 weights", ACCEPTED, partial(_hybrid, kind="CONV_2D", scales=_SCALES),
          must_not_trigger=(_RULE,), reference=partial(_product, scales=_SCALES)),
    _rows("hybrid_fc_tokens", (1, 4, 8), WRONG),
    _rows("hybrid_fc_batch", (2, 5, 8), WRONG),
    _rows("hybrid_fc_batch_of_many", (2, 16, 8), WRONG),
    _rows("hybrid_fc_eight", (1, 2, 4, 8), WRONG),
    _rows("hybrid_fc_nine", (1, 9, 8), REFUSED),
    _rows("hybrid_fc_map", (1, 4, 4, 8), REFUSED),
    _rows("hybrid_fc_tokens_kept", (1, 4, 8), ACCEPTED, keep=True),
    _rows("hybrid_fc_map_kept", (1, 4, 4, 8), ACCEPTED, keep=True),
    _rows("hybrid_fc_one_row", (1, 1, 1, 8), ACCEPTED),
    _rows("hybrid_fc_one_row_a_batch", (2, 1, 8), ACCEPTED),
    Probe("int8_conv", "a convolution that reads and writes int8", ACCEPTED, _all_int8,
          must_not_trigger=(_RULE, "int16")),
    Probe("open_dimension", "an open dimension, run at the recorded shape", ACCEPTED, _open, triggers="dynamic-shape"),
    Probe("open_dimension_resized", "an open dimension, resized before the run", ACCEPTED, _open, triggers="dynamic-shape",
          values={"x": data(1, 20, 8), "z": data(1, 20, 8, seed=1)}),
)  # fmt: skip
