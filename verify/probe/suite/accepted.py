"""Operators that the delegate accepts and computes right: the operators that the lint calls known."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import numpy as np

from detr2litert.host_runtime.tflite.writer import ModelWriter
from detr2litert.verify.probe.build import ACCEPTED, REFUSED, STEP, WRONG, X2, X3, X4, Operand, Shape, data, ints, single
from detr2litert.verify.probe.probe import Probe, Values

_POSITIVE = (0.1, 4.0)
_UNARY: tuple[tuple[str, tuple[float, float] | None], ...] = (
    ("ABS", None), ("CEIL", None), ("COS", None), ("ELU", None), ("EXP", None), ("FLOOR", None), ("HARD_SWISH", None),
    ("LOG", _POSITIVE), ("LOGISTIC", None), ("NEG", None), ("RELU", None), ("RELU_N1_TO_1", None), ("ROUND", None),
    ("RSQRT", _POSITIVE), ("SIGN", None), ("SIN", None), ("SQRT", _POSITIVE), ("SQUARE", None), ("TANH", None),
)  # fmt: skip
_BINARY: tuple[tuple[str, tuple[float, float] | None], ...] = (
    ("ADD", None), ("SUB", None), ("MUL", None), ("DIV", _POSITIVE), ("MAXIMUM", None), ("MINIMUM", None),
    ("SQUARED_DIFFERENCE", None), ("FLOOR_DIV", _POSITIVE), ("FLOOR_MOD", _POSITIVE), ("POW", _POSITIVE), ("ATAN2", None),
)  # fmt: skip
_PICTURE: Shape = (1, 16, 16, 3)
_COMPARED = ("EQUAL", "GREATER", "GREATER_EQUAL", "LESS", "LESS_EQUAL")
_REDUCED = ("SUM", "MEAN", "REDUCE_MAX", "REDUCE_MIN", "REDUCE_PROD")


def _name(kind: str, suffix: str = "") -> str:
    return kind.lower() + suffix


def _resized(kind: str, how: str, size: int) -> Probe:
    """``kind`` from 4x4 to a square of ``size``, with align_corners, half_pixel_centers, or neither."""
    name, about, out = f"{_name(kind)}_{how}_{size}", f"{kind} to {size}x{size}, {how}", (1, size, size, 8)
    corners, halves = how == "corners", how == "halves"
    operands: Sequence[Operand] = (X4, ints(size, size))
    return single(name, about, ACCEPTED, kind, operands, out, alignCorners=corners, halfPixelCenters=halves)


def _pool(kind: str, padding: int) -> Probe:
    name = _name(kind, "_valid" if padding else "_same")
    out = (1, 2, 2, 8) if padding else X4
    return single(name, f"{kind} of 3x3", ACCEPTED, kind, [X4], out, padding=padding, filterHeight=3, filterWidth=3, **STEP)


def _top_k(name: str, shape: Shape, k: int) -> Probe:
    """Values and indices along the last dimension, with ties, which the delegate resolves like the CPU: lower index first."""
    out = (*shape[:-1], k)
    probe = single(name, f"the {k} largest of {list(shape)}", ACCEPTED, "TOPK_V2", [shape, np.array(k, np.int32)],
                   {"y": out, "i": out}, dtype=("float32", "int32"))  # fmt: skip
    return Probe(**{**vars(probe), "values": {"x0": np.round(data(*shape), 1)}})


def _gathered(name: str, shape: Shape, axis: int) -> Probe:
    out = (*shape[:axis], 3, *shape[axis + 1 :])

    def build(w: ModelWriter) -> Sequence[str]:
        return [w.op("GATHER", [w.input("x", shape), w.input("i", (3,), "int32")], {"y": out}, axis=axis)]

    return Probe(
        name, f"runtime indices into axis {axis} of {list(shape)}", ACCEPTED, build, must_not_trigger=("gather-index",)
    )


def _logical(w: ModelWriter, kind: str) -> Sequence[str]:
    names = [w.input("a", X3, "bool")] if kind == "LOGICAL_NOT" else [w.input("a", X3, "bool"), w.input("b", X3, "bool")]
    return [w.op(kind, names, {"y": X3}, dtype="bool")]


def _selected(w: ModelWriter, batch: bool) -> Sequence[str]:
    """The selection of a detector: rows of a table by the indices of a top-k, of rank 1 or of [1, K] and reshaped."""
    lead = (1,) if batch else ()
    outputs = {"v": (*lead, 3), "i": (*lead, 3)}
    w.op("TOPK_V2", [w.input("s", (*lead, 8)), w.constant("k", np.array(3, np.int32))], outputs, dtype=("float32", "int32"))
    index = "i"
    if batch:
        index = w.op("RESHAPE", ["i", w.constant("one", ints(3))], {"f": (3,)}, dtype="int32", newShape=[3])
    return [w.op("GATHER", [w.input("x", (1, 8, 8)), index], {"y": (1, 3, 8)}, axis=1)]


def _cast_index(w: ModelWriter) -> Sequence[str]:
    index = w.op("CAST", [w.input("i", (3,))], {"j": (3,)}, dtype="int32", outDataType=2)
    return [w.op("GATHER", [w.input("x", X3), index], {"y": (1, 3, 8)}, axis=1)]


def _through(w: ModelWriter, kind: str, code: int) -> Sequence[str]:
    """CAST to a type, given by its code in the schema, and back."""
    there = w.op("CAST", [w.input("x", X3)], {"t": X3}, dtype=kind, outDataType=code)
    return [w.op("CAST", [there], {"y": X3}, inDataType=code)]


def _pixels(w: ModelWriter) -> Sequence[str]:
    """A picture's bytes, cast and normalised, and a convolution of them."""
    levels = w.op("CAST", [w.input("pixels", _PICTURE, "uint8")], {"levels": _PICTURE}, inDataType=3)
    scaled = w.op("MUL", [levels, w.constant("factor", data(1, 1, 1, 3) / 50)], {"scaled": _PICTURE})
    shifted = w.op("ADD", [scaled, w.constant("shift", data(1, 1, 1, 3))], {"shifted": _PICTURE})
    operands = [shifted, w.constant("w", data(8, 2, 2, 3)), w.constant("b", data(8))]
    return [w.op("CONV_2D", operands, {"y": (1, 8, 8, 8)}, padding=1, strideH=2, strideW=2)]


def _any(w: ModelWriter) -> Sequence[str]:
    return [w.op("REDUCE_ANY", [w.input("a", X3, "bool"), w.constant("axes", ints(2))], {"y": (1, 6)}, dtype="bool")]


def _whole(w: ModelWriter, kind: str) -> Sequence[str]:
    divisor = w.constant("d", np.array(2, np.int32)) if kind.startswith("FLOOR") else w.input("b", X3, "int32")
    return [w.op(kind, [w.input("a", X3, "int32"), divisor], {"y": X3}, dtype="int32")]


def _split(w: ModelWriter) -> Sequence[str]:
    w.op("SPLIT", [w.constant("axis", np.array(2, np.int32)), w.input("x", X3)], {"y": (1, 6, 4), "z": (1, 6, 4)}, numSplits=2)
    return ["y", "z"]


def _split_sizes(w: ModelWriter) -> Sequence[str]:
    operands = [w.input("x", X3), w.constant("sizes", ints(2, 6)), w.constant("axis", np.array(2, np.int32))]
    w.op("SPLIT_V", operands, {"y": (1, 6, 2), "z": (1, 6, 6)}, numSplits=2)
    return ["y", "z"]


def _transposed_conv(w: ModelWriter) -> Sequence[str]:
    operands = [w.constant("s", ints(1, 8, 8, 4)), w.constant("w", data(4, 2, 2, 8)), w.input("x", X4)]
    return [w.op("TRANSPOSE_CONV", operands, {"y": (1, 8, 8, 4)}, padding=1, strideH=2, strideW=2)]


def _resampler(w: ModelWriter) -> Sequence[str]:
    return [w.op("CUSTOM:Resampler", [w.input("x", X4), w.input("p", (1, 3, 2, 2))], {"y": (1, 3, 2, 8)})]


def _resampled(values: Values) -> Values:
    """Bilinear samples of ``x`` at pixel positions ``p`` (x, y), with zeros outside: the tent."""
    image, points = values["x"].astype(np.float64), values["p"].astype(np.float64)
    tents = [np.maximum(0, 1 - np.abs(points[..., axis, None] - np.arange(4))) for axis in (0, 1)]
    return {"y": np.einsum("bhwy,bhwx,byxc->bhwc", tents[1], tents[0], image).astype(np.float32)}


def _updated(w: ModelWriter, constant: bool) -> Sequence[str]:
    place = w.constant("at", ints(0, 1, 0)) if constant else w.input("at", (3,), "int32")
    return [w.op("DYNAMIC_UPDATE_SLICE", [w.input("x", X3), w.input("u", (1, 2, 8)), place], {"y": X3})]


def _eight_bits(w: ModelWriter) -> Sequence[str]:
    """A tensor through int8 and back: QUANTIZE and DEQUANTIZE of a runtime tensor."""
    w.op("QUANTIZE", [w.input("x", X4)], {"q": X4}, dtype="int8")
    return [w.op("DEQUANTIZE", [w.quantize("q", [0.05])], {"y": X4})]


_ELEMENTS = (
    *(single(_name(kind), f"{kind} of a map", ACCEPTED, kind, [X4], X4, span=span) for kind, span in _UNARY),
    *(single(_name(kind, "_3d"), f"{kind} of tokens", ACCEPTED, kind, [X3], X3, span=span) for kind, span in _UNARY),
    *(single(_name(kind), f"{kind} of two maps", ACCEPTED, kind, [X4, X4], X4, span=span) for kind, span in _BINARY),
    *(single(_name(kind), f"{kind} of tokens", ACCEPTED, kind, [X3, X3], X3, dtype="bool") for kind in _COMPARED),
    single("gelu", "GELU, exact", ACCEPTED, "GELU", [X4], X4),
    single("gelu_tanh", "GELU, approximate", ACCEPTED, "GELU", [X4], X4, approximate=True),
    single("leaky_relu", "LEAKY_RELU", ACCEPTED, "LEAKY_RELU", [X4], X4, alpha=0.1),
    single("prelu", "PRELU", ACCEPTED, "PRELU", [X4, data(1, 1, 8)], X4),
    single("add_scalar", "a map plus a number", ACCEPTED, "ADD", [X4, np.array(0.5, np.float32)], X4),
    single("add_broadcast", "a map plus a runtime row", ACCEPTED, "ADD", [X4, (1, 1, 1, 8)], X4),
    single("add_outer", "a column plus a row", ACCEPTED, "ADD", [(1, 4, 1, 8), (1, 1, 4, 8)], X4),
    single("add_self", "a tensor plus itself", ACCEPTED, "ADD", [X4, "x0"], X4, must_not_trigger=("same-input-matmul",)),
    single("pow_number", "a tensor to the power of a number", ACCEPTED, "POW", [X4, np.array(1.5, np.float32)], X4,
           span=_POSITIVE),
    single("pow_base_2", "2 to the power of a tensor gives its square", WRONG, "POW", [np.array(2.0, np.float32), X4], X4,
           triggers="pow-constant-base"),
    single("pow_base_3", "3 to the power of a tensor", WRONG, "POW", [np.array([3.0], np.float32), X4], X4,
           triggers="pow-constant-base"),
    single("pow_base_4", "4 to the power of a tensor is right", ACCEPTED, "POW", [np.array(4.0, np.float32), X4], X4,
           must_not_trigger=("pow-constant-base",)),
    single("pow_base_twos", "eight twos to the power of a tensor", ACCEPTED, "POW", [np.full(8, 2.0, np.float32), X4], X4,
           must_not_trigger=("pow-constant-base",)),
    *(Probe(_name(kind), f"{kind} of masks", ACCEPTED, partial(_logical, kind=kind))
      for kind in ("LOGICAL_AND", "LOGICAL_OR", "LOGICAL_NOT")),
    *(Probe(_name(kind, "_int32"), f"{kind} of whole numbers", ACCEPTED, partial(_whole, kind=kind))
      for kind in ("ADD", "MUL", "FLOOR_DIV", "FLOOR_MOD")),
    *(Probe(f"cast_{kind}_and_back", f"CAST to {kind} and back", ACCEPTED, partial(_through, kind=kind, code=code),
            must_not_trigger=("int64",)) for kind, code in (("int32", 2), ("bool", 6), ("float16", 1))),
    Probe("quantize", "QUANTIZE and DEQUANTIZE of a runtime tensor", ACCEPTED, _eight_bits),
    Probe("pixels_in", "a picture's bytes, every value of them, normalised and convolved", ACCEPTED, _pixels,
          values={"pixels": np.resize(np.arange(256, dtype=np.uint8), _PICTURE)}),
)  # fmt: skip

_REDUCTIONS = (
    *(
        single(_name(kind, "_channels"), f"{kind} over the channels", ACCEPTED, kind, [X3, ints(2)], (1, 6))
        for kind in _REDUCED
    ),
    *(
        single(
            _name(kind, "_map"), f"{kind} over height and width", ACCEPTED, kind, [X4, ints(1, 2)], (1, 1, 1, 8), keepDims=True
        )
        for kind in _REDUCED
    ),
    Probe("reduce_any", "REDUCE_ANY of a mask", ACCEPTED, _any),
    single("cumsum", "CUMSUM over the tokens", ACCEPTED, "CUMSUM", [X3, np.array(1, np.int32)], X3,
           must_not_trigger=("cumsum-integers",)),
    single("softmax_1d", "SOFTMAX of rank 1 is all ones", WRONG, "SOFTMAX", [(16,)], (16,),
           triggers="softmax-rank-1", beta=1.0),
    single("softmax_2d", "SOFTMAX of rank 2", ACCEPTED, "SOFTMAX", [(1, 16)], (1, 16),
           must_not_trigger=("softmax-rank-1",), beta=1.0),
    single("softmax_4d", "SOFTMAX of rank 4", ACCEPTED, "SOFTMAX", [X4], X4, must_not_trigger=("softmax-rank-1",), beta=1.0),
    _top_k("top_k", (1, 64), 10),
    _top_k("top_k_1d", (64,), 10),
    _top_k("top_k_4d", (1, 4, 4, 64), 5),
    _top_k("top_k_300", (1, 3600), 300),
)  # fmt: skip

_LAYOUT = (
    *(single(f"transpose_{''.join(map(str, order))}", f"TRANSPOSE {order}", ACCEPTED, "TRANSPOSE",
             [(2, 3, 4, 5)[: len(order)], ints(*order)], tuple((2, 3, 4, 5)[axis] for axis in order))
      for order in ((1, 0), (0, 2, 1), (2, 1, 0), (0, 2, 1, 3), (0, 3, 1, 2), (1, 0, 2, 3))),
    single("reshape_batch", "RESHAPE that moves the batch", ACCEPTED, "RESHAPE", [X4, ints(4, 4, 8)], (4, 4, 8),
           must_not_trigger=("reshape-runtime-shape",), newShape=[4, 4, 8]),
    single("concat", "CONCATENATION of tokens", ACCEPTED, "CONCATENATION", [X3, X3], (1, 12, 8), axis=1),
    single("concat_batch", "CONCATENATION along the batch", ACCEPTED, "CONCATENATION", [X4, X4], (2, 4, 4, 8), axis=0),
    single("concat_constant", "CONCATENATION with a constant token", ACCEPTED, "CONCATENATION", [data(1, 1, 8), X3], (1, 7, 8),
           must_not_trigger=("zeros-into-pool",), axis=1),
    single("slice", "SLICE of tokens", ACCEPTED, "SLICE", [X3, ints(0, 1, 0), ints(1, 3, 8)], (1, 3, 8)),
    single("slice_channels", "SLICE of channels", ACCEPTED, "SLICE", [X4, ints(0, 0, 0, 3), ints(1, 4, 4, 2)], (1, 4, 4, 2)),
    Probe("split", "SPLIT of channels", ACCEPTED, _split),
    Probe("split_sizes", "SPLIT_V of channels", ACCEPTED, _split_sizes),
    single("space_to_depth", "SPACE_TO_DEPTH", ACCEPTED, "SPACE_TO_DEPTH", [X4], (1, 2, 2, 32), blockSize=2),
    single("depth_to_space", "DEPTH_TO_SPACE", ACCEPTED, "DEPTH_TO_SPACE", [X4], (1, 8, 8, 2),
           must_not_trigger=("pixel-shuffle",), blockSize=2),
    _gathered("gather_rows", X2, 0),
    _gathered("gather_tokens", X3, 1),
    _gathered("gather_map_rows", X4, 1),
    _gathered("gather_channels", X4, 3),
    Probe("gather_top_k", "the rows of a top-k", ACCEPTED, partial(_selected, batch=False),
          must_not_trigger=("gather-index", "gather-constant")),
    Probe("gather_top_k_batch", "the rows of a top-k of [1, N]", ACCEPTED, partial(_selected, batch=True),
          must_not_trigger=("gather-index",)),
    Probe("gather_cast", "indices out of a CAST", ACCEPTED, _cast_index, must_not_trigger=("gather-index",),
          values={"i": np.array([0, 5, 2], np.float32)}),
    Probe("update_slice", "DYNAMIC_UPDATE_SLICE at a computed place", ACCEPTED, partial(_updated, constant=False),
          must_not_trigger=("update-slice-constant",), values={"at": ints(0, 3, 0)}),
    Probe("update_slice_constant", "DYNAMIC_UPDATE_SLICE at a constant place", REFUSED, partial(_updated, constant=True),
          triggers="update-slice-constant"),
)  # fmt: skip

_IMAGES = (
    *(_resized(kind, how, size) for kind in ("RESIZE_BILINEAR", "RESIZE_NEAREST_NEIGHBOR")
      for how, size in (("plain", 8), ("corners", 7), ("halves", 8), ("halves", 3))),
    *(_pool(kind, padding) for kind in ("MAX_POOL_2D", "AVERAGE_POOL_2D") for padding in (0, 1)),
    Probe("transpose_conv", "TRANSPOSE_CONV of 2x2, stride 2", ACCEPTED, _transposed_conv),
    Probe("resampler", "the custom operator Resampler, which the CPU runtime lacks", ACCEPTED, _resampler, span=(-1, 4),
          reference=_resampled),
)  # fmt: skip

PROBES: tuple[Probe, ...] = (*_ELEMENTS, *_REDUCTIONS, *_LAYOUT, *_IMAGES)
