"""Operators and forms that the delegate refuses, each beside one that it accepts."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import numpy as np

from detr2litert.host_runtime.tflite.writer import ModelWriter
from detr2litert.verify.probe.build import ACCEPTED, DIED, REFUSED, X2, X3, X4, data, ints, single
from detr2litert.verify.probe.probe import Probe, Values

_ND, _TO, _CLAMP, _OPS = "gather-nd", "broadcast-to", "relu-0-to-1", "unsupported-op"
_SLICE = [ints(0, 0, 0), ints(1, 6, 8), ints(1, 2, 1)]


def _one_hot_product(w: ModelWriter) -> Sequence[str]:
    """The replacement for a gather of computed rows: the indices' one-hot rows times the table."""
    on, off = w.constant("on", np.array(1, np.float32)), w.constant("off", np.array(0, np.float32))
    depth = w.constant("n", np.array(6, np.int32))
    hot = w.op("ONE_HOT", [w.input("i", (1, 3), "int32"), depth, on, off], {"h": (1, 3, 6)}, axis=-1)
    return [w.op("BATCH_MATMUL", [hot, w.input("x", X3)], {"y": (1, 3, 8)})]


def _repeated(w: ModelWriter) -> Sequence[str]:
    x = w.input("x", (1, 1, 8))
    return [w.op("CONCATENATION", [x] * 6, {"y": X3}, axis=1)]


def _clamped(w: ModelWriter, low: float, high: float) -> Sequence[str]:
    above = w.op("MAXIMUM", [w.input("x", X4), w.constant("l", np.array(low, np.float32))], {"m": X4})
    return [w.op("MINIMUM", [above, w.constant("u", np.array(high, np.float32))], {"y": X4})]


def _runtime_shape(w: ModelWriter) -> Sequence[str]:
    return [w.op("RESHAPE", [w.input("x", X3), w.input("s", (2,), "int32")], {"y": X2})]


def _shape_of(w: ModelWriter) -> Sequence[str]:
    """The shape of one tensor is given to another, as an export with open dimensions writes it."""
    shape = w.op("SHAPE", [w.input("x", X3)], {"s": (3,)}, dtype="int32", outType=2)
    return [w.op("RESHAPE", [w.input("z", (1, 8, 6)), shape], {"y": X3})]


def _select(w: ModelWriter, shape: tuple[int, ...], constant: bool = True, kind: str = "SELECT_V2") -> Sequence[str]:
    """``x`` where the condition holds, and a tensor of ``shape`` elsewhere."""
    condition, x = w.input("c", X3, "bool"), w.input("x", X3)
    other = w.constant("e", data(*shape)) if constant else w.input("e", shape)
    return [w.op(kind, [condition, x, other], {"y": X3})]


def _select_row(w: ModelWriter) -> Sequence[str]:
    condition = w.input("c", (1, 6, 1), "bool")
    return [w.op("SELECT_V2", [condition, w.input("x", X3), w.input("z", X3)], {"y": X3})]


def _merged_six(w: ModelWriter) -> Sequence[str]:
    """Window partition as it is usually written: a view of rank 6, a transpose, a view of rank 4."""
    six, turned = (1, 2, 2, 2, 2, 8), (1, 2, 2, 2, 2, 8)
    parted = w.op("RESHAPE", [w.input("x", X4), w.constant("s", ints(*six))], {"v": six}, newShape=list(six))
    moved = w.op("TRANSPOSE", [parted, w.constant("p", ints(0, 1, 3, 2, 4, 5))], {"t": turned})
    return [w.op("RESHAPE", [moved, w.constant("z", ints(4, 2, 2, 8))], {"y": (4, 2, 2, 8)}, newShape=[4, 2, 2, 8])]


def _windows_of_four(w: ModelWriter) -> Sequence[str]:
    """The same as one transpose of rank 4: the dimensions that stay adjacent are merged."""
    four = (2, 2, 2, 16)
    parted = w.op("RESHAPE", [w.input("x", X4), w.constant("s", ints(*four))], {"v": four}, newShape=list(four))
    moved = w.op("TRANSPOSE", [parted, w.constant("p", ints(0, 2, 1, 3))], {"t": four})
    return [w.op("RESHAPE", [moved, w.constant("z", ints(4, 2, 2, 8))], {"y": (4, 2, 2, 8)}, newShape=[4, 2, 2, 8])]


def _where(w: ModelWriter) -> Sequence[str]:
    return [w.op("WHERE", [w.input("c", (8,), "bool")], {"y": (0, 1)}, dtype="int64")]


def _unique(w: ModelWriter) -> Sequence[str]:
    outputs = {"y": (0,), "i": (8,)}
    w.op("UNIQUE", [w.input("x", (8,))], outputs, dtype=("float32", "int32"), idxOutType=2)
    return list(outputs)


def _sorted(values: Values) -> Values:
    return {"y": np.sort(values["x0"], axis=-1)}


def _looked_up(w: ModelWriter) -> Sequence[str]:
    return [w.op("EMBEDDING_LOOKUP", [w.input("i", (3,), "int32"), w.input("x", X2)], {"y": (3, 8)})]


_LISTED = (
    single("expand_dims", "EXPAND_DIMS", REFUSED, "EXPAND_DIMS", [X2, np.array(0, np.int32)], X3, triggers=_OPS),
    single("squeeze", "SQUEEZE", REFUSED, "SQUEEZE", [X3], X2, triggers=_OPS, squeezeDims=[0]),
    single("reshape_for_squeeze", "RESHAPE in place of both", ACCEPTED, "RESHAPE", [X3, ints(6, 8)], X2,
           must_not_trigger=(_OPS,),
           newShape=[6, 8]),
    single("arg_min", "ARG_MIN", REFUSED, "ARG_MIN", [X3, np.array(2, np.int32)], (1, 6), triggers=_OPS, dtype="int32",
           outputType=2),
    single("arg_max", "ARG_MAX", ACCEPTED, "ARG_MAX", [X3, np.array(2, np.int32)], (1, 6),
           must_not_trigger=(_OPS,), dtype="int32",
           outputType=2),
    single("l2_normalization", "L2_NORMALIZATION", REFUSED, "L2_NORMALIZATION", [X4], X4, triggers=_OPS),
    single("log_softmax", "LOG_SOFTMAX", REFUSED, "LOG_SOFTMAX", [X3], X3, triggers=_OPS),
    single("scatter_nd", "SCATTER_ND", REFUSED, "SCATTER_ND", [ints([0], [2]), (2, 8), ints(6, 8)], X2, triggers=_OPS),
    single("conv_3d", "CONV_3D", REFUSED, "CONV_3D", [(1, 2, 4, 4, 3), data(1, 1, 1, 3, 8), data(8)], (1, 2, 4, 4, 8),
           triggers=_OPS, strideD=1, strideH=1, strideW=1),
    single("sort", "STABLEHLO_SORT, which the CPU runtime cannot load either", REFUSED, "STABLEHLO_SORT", [(1, 16)], (1, 16),
           triggers="values-only-sort", reference=_sorted, dimension=1),
    single("top_k_for_sort", "TOPK_V2 of all values in its place", ACCEPTED, "TOPK_V2", [(1, 16), np.array(16, np.int32)],
           {"y": (1, 16), "i": (1, 16)}, must_not_trigger=("values-only-sort",), dtype=("float32", "int32")),
    single("reduce_window", "STABLEHLO_REDUCE_WINDOW", REFUSED, "STABLEHLO_REDUCE_WINDOW", [X4, np.array(0, np.float32)],
           (1, 2, 2, 8), triggers=_OPS),
    Probe("where", "WHERE, whose result has no fixed size", REFUSED, _where, triggers=_OPS),
    Probe("unique", "UNIQUE, whose result has no fixed size", REFUSED, _unique, triggers=_OPS),
    Probe("shape", "SHAPE, and a RESHAPE to what it gives", REFUSED, _shape_of, triggers=_OPS),
)  # fmt: skip

_INDEXED = (
    single("gather_nd", "GATHER_ND with constant indices", REFUSED, "GATHER_ND", [X4, ints([0, 0])], (1, 4, 8), triggers=_ND),
    Probe("gather_one_hot", "one-hot rows times the table", ACCEPTED, _one_hot_product, must_not_trigger=(_ND,)),
    single("broadcast_to", "BROADCAST_TO", REFUSED, "BROADCAST_TO", [(1, 1, 8), ints(1, 6, 8)], X3, triggers=_TO, version=2),
    single("broadcast_same", "BROADCAST_TO of the same shape", REFUSED, "BROADCAST_TO", [X3, ints(1, 6, 8)], X3, triggers=_TO,
           version=2),
    single("tile", "TILE in its place", ACCEPTED, "TILE", [(1, 1, 8), ints(1, 6, 1)], X3, must_not_trigger=(_TO,)),
    Probe("concatenate_copies", "copies joined in its place", ACCEPTED, _repeated, must_not_trigger=(_TO,)),
    single("gather_2d", "indices of rank 2", REFUSED, "GATHER", [X3, ints([0, 2])], (1, 1, 2, 8), triggers="gather-index",
           axis=1),
    single("gather_batched", "a batch dimension", REFUSED, "GATHER", [(2, 6, 8), ints([0, 2], [1, 3])], (2, 2, 8),
           triggers="gather-index", axis=1, batchDims=1),
    single("gather_1d", "constant indices of rank 1", ACCEPTED, "GATHER", [X3, ints(0, 2)], (1, 2, 8),
           triggers="gather-constant", must_not_trigger=("gather-index", _ND), axis=1),
    single("embedding_runtime", "a table computed at run time", DIED, "EMBEDDING_LOOKUP", [ints(0, 3), X2], (2, 8),
           triggers="embedding-runtime-table"),
    Probe("embedding_runtime_both", "a table and indices computed at run time", DIED, _looked_up,
          triggers="embedding-runtime-table"),
    single("embedding", "a constant table", ACCEPTED, "EMBEDDING_LOOKUP", [(3,), data(6, 8)], (3, 8), given="int32",
           must_not_trigger=("embedding-runtime-table",)),
)  # fmt: skip

_FIVE = (1, 2, 3, 4, 5)
_RANKED = (
    single("rank_5", "MUL of rank 5", REFUSED, "MUL", [_FIVE, _FIVE], _FIVE, triggers="rank-5"),
    single("rank_4", "MUL of rank 4", ACCEPTED, "MUL", [(2, 3, 4, 5), (2, 3, 4, 5)], (2, 3, 4, 5),
           must_not_trigger=("rank-5",)),
    single("reshape_rank_5", "RESHAPE to rank 5", REFUSED, "RESHAPE", [X4, ints(1, 2, 2, 4, 8)], (1, 2, 2, 4, 8),
           triggers="rank-5", newShape=[1, 2, 2, 4, 8]),
    single("transpose_rank_5", "TRANSPOSE of rank 5", REFUSED, "TRANSPOSE", [_FIVE, ints(0, 2, 1, 3, 4)], (1, 3, 2, 4, 5),
           triggers="rank-5"),
    single("concat_rank_5", "CONCATENATION of rank 5", REFUSED, "CONCATENATION", [_FIVE, _FIVE], (1, 4, 3, 4, 5),
           triggers="rank-5", axis=1),
    single("slice_rank_5", "SLICE of rank 5", REFUSED, "SLICE", [_FIVE, ints(0, 0, 0, 0, 0), ints(1, 1, 3, 4, 5)],
           (1, 1, 3, 4, 5), triggers="rank-5"),
    single("matmul_rank_5", "BATCH_MATMUL of rank 5", REFUSED, "BATCH_MATMUL", [(1, 2, 3, 4, 5), (1, 2, 3, 5, 4)],
           (1, 2, 3, 4, 4), triggers="rank-5"),
    single("softmax_rank_5", "SOFTMAX of rank 5", REFUSED, "SOFTMAX", [_FIVE], _FIVE, triggers="rank-5", beta=1.0),
    single("unpack_rank_5", "UNPACK of rank 5", REFUSED, "UNPACK", [(2, 1, 4, 4, 8)], {"y": X4, "z": X4}, triggers="rank-5",
           num=2, axis=0),
    single("unpack_rank_4", "UNPACK of rank 4", ACCEPTED, "UNPACK", [(1, 2, 4, 8)], {"y": (1, 4, 8), "z": (1, 4, 8)},
           must_not_trigger=("rank-5",), num=2, axis=1),
    Probe("windows_rank_6", "window partition through rank 6", REFUSED, _merged_six, triggers="rank-5"),
    Probe("windows_rank_4", "window partition through rank 4", ACCEPTED, _windows_of_four, must_not_trigger=("rank-5",)),
    single("pack_rank_4", "PACK of maps", REFUSED, "PACK", [X4, X4], (2, 1, 4, 4, 8), triggers="pack-rank", valuesCount=2,
           axis=0),
    single("pack_rank_3", "PACK of tokens", ACCEPTED, "PACK", [X3, X3], (1, 2, 6, 8),
           must_not_trigger=("pack-rank",), valuesCount=2,
           axis=1),
)  # fmt: skip

_FORMS = (
    single("relu_0_to_1", "RELU_0_TO_1", REFUSED, "RELU_0_TO_1", [X4], X4, triggers=_CLAMP),
    single("relu6", "RELU6", ACCEPTED, "RELU6", [X4], X4, must_not_trigger=(_CLAMP,)),
    Probe("clamp_0_1", "0 to 1 as MAXIMUM and MINIMUM", ACCEPTED, partial(_clamped, low=0.0, high=1.0),
          must_not_trigger=(_CLAMP,)),
    single("cast_int64", "CAST to int64", REFUSED, "CAST", [X3], X3, triggers="int64", dtype="int64", outDataType=4),
    single("cast_int32", "CAST to int32", ACCEPTED, "CAST", [X3], X3,
           must_not_trigger=("int64",), dtype="int32", outDataType=2),
    single("slice_shrink", "shrink_axis_mask", REFUSED, "STRIDED_SLICE", [X3, *_SLICE], (3, 8), triggers="strided-slice",
           shrinkAxisMask=1),
    single("slice_new_axis", "new_axis_mask", REFUSED, "STRIDED_SLICE", [X2, *_SLICE], (1, 6, 8), triggers="strided-slice",
           newAxisMask=1),
    single("slice_back", "a negative stride", REFUSED, "STRIDED_SLICE", [X3, ints(0, 5, 0), ints(1, -7, 8), ints(1, -1, 1)],
           X3, triggers="strided-slice"),
    single("reverse", "REVERSE_V2 in its place", ACCEPTED, "REVERSE_V2", [X3, ints(1)], X3,
           must_not_trigger=("strided-slice",)),
    single("slice_stride", "a stride of 2", ACCEPTED, "STRIDED_SLICE", [X3, *_SLICE], (1, 3, 8),
           must_not_trigger=("strided-slice",)),
    single("slice_masks", "begin and end masks", ACCEPTED, "STRIDED_SLICE", [X3, ints(0, 1, 0), ints(0, 5, 0), ints(1, 2, 1)],
           (1, 2, 8), must_not_trigger=("strided-slice",), beginMask=1, endMask=5),
    Probe("select_row", "the condition is broadcast", ACCEPTED, _select_row, must_not_trigger=("select-branch",)),
    Probe("select_broadcast", "a constant branch is broadcast", REFUSED, partial(_select, shape=(1, 1, 8)),
          triggers="select-branch"),
    Probe("select_broadcast_runtime", "a runtime branch is broadcast", REFUSED,
          partial(_select, shape=(1, 1, 8), constant=False), triggers="select-branch"),
    Probe("select_full", "branches of the full shape", ACCEPTED, partial(_select, shape=X3, constant=False),
          must_not_trigger=("select-branch",)),
    Probe("select_number", "a number as a branch", ACCEPTED, partial(_select, shape=()), must_not_trigger=("select-branch",)),
    Probe("select_v1", "SELECT, the older operator", ACCEPTED, partial(_select, shape=X3, constant=False, kind="SELECT"),
          must_not_trigger=("select-branch",)),
    single("not_equal_self", "x != x, which is how isnan is written", REFUSED, "NOT_EQUAL", [X3, "x0"], X3,
           triggers="same-input-compare", dtype="bool"),
    single("not_equal", "two tensors", ACCEPTED, "NOT_EQUAL", [X3, X3], X3,
           must_not_trigger=("same-input-compare",), dtype="bool"),
    single("softmax_beta_2", "beta of 2", REFUSED, "SOFTMAX", [X3], X3, triggers="softmax-beta", beta=2.0),
    single("softmax_3d", "beta of 1", ACCEPTED, "SOFTMAX", [X3], X3,
           must_not_trigger=("softmax-beta", "softmax-rank-1"), beta=1.0),
    single("add_n_3", "ADD_N of three", REFUSED, "ADD_N", [X3, X3, X3], X3, triggers="add-n"),
    single("add_n_2", "ADD_N of two", ACCEPTED, "ADD_N", [X3, X3], X3, must_not_trigger=("add-n",)),
    single("cumsum_int32", "CUMSUM of whole numbers, as a mask is counted", REFUSED, "CUMSUM", [X3, np.array(1, np.int32)], X3,
           triggers="cumsum-integers", given="int32", dtype="int32"),
    Probe("reshape_runtime", "a shape computed at run time", REFUSED, _runtime_shape, triggers="reshape-runtime-shape",
          values={"s": ints(6, 8)}),
    single("reshape", "a constant shape", ACCEPTED, "RESHAPE", [X3, ints(1, 2, 3, 8)], (1, 2, 3, 8),
           must_not_trigger=("reshape-runtime-shape",), newShape=[1, 2, 3, 8]),
)  # fmt: skip

PROBES: tuple[Probe, ...] = (*_LISTED, *_INDEXED, *_RANKED, *_FORMS)
