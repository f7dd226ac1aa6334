"""Minimal models for the lint rules: for each rule one that breaks it and, where that says something, one that does not."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from verify.tflite.writer import ModelWriter

REFUSED, WRONG, DIES, GOOD, UNTESTED = "refused", "wrong", "dies", "good", "untested"


@dataclass(frozen=True)
class Case:
    """A model and what the delegate was measured to do with it; ``rule`` is "" for a model that no rule may fire on."""

    name: str
    rule: str
    does: str
    build: Callable[[ModelWriter], Sequence[str]]

    def write(self, folder: Path) -> Path:
        writer = ModelWriter()
        return writer.write(folder / f"{self.name}.tflite", self.build(writer))


CASES: list[Case] = []


def case(name: str, rule: str, does: str) -> Callable[[Callable[[ModelWriter], Sequence[str]]], None]:
    def keep(build: Callable[[ModelWriter], Sequence[str]]) -> None:
        CASES.append(Case(name, rule, does, build))

    return keep


def data(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def ints(*values: Any) -> np.ndarray:
    return np.array(values, np.int32)


def one_op(name: str, rule: str, does: str, kind: str, shapes: Sequence[Any], out: Sequence[int], **options: Any) -> None:
    """A model of one operator; a shape is a runtime input, an array a constant, a string an earlier tensor again."""

    def build(w: ModelWriter) -> Sequence[str]:
        names: list[str] = []
        for position, item in enumerate(shapes):
            if isinstance(item, str):
                names.append(item)
            elif isinstance(item, np.ndarray):
                names.append(w.constant(f"c{position}", item))
            else:
                names.append(w.input(f"x{position}", item))
        return [w.op(kind, names, {"y": out}, **options)]

    case(name, rule, does)(build)


X4, X3, X2 = (1, 4, 4, 8), (1, 6, 8), (6, 8)

one_op("gather_nd", "gather-nd", REFUSED, "GATHER_ND", [X4, ints([0, 0])], (1, 4, 8))
one_op("broadcast_to", "broadcast-to", REFUSED, "BROADCAST_TO", [(1, 1, 8), ints(1, 6, 8)], X3, version=2)
one_op("relu_0_to_1", "relu-0-to-1", REFUSED, "RELU_0_TO_1", [X4], X4)
one_op("relu6", "", GOOD, "RELU6", [X4], X4)
one_op("log_softmax", "unsupported-op", REFUSED, "LOG_SOFTMAX", [X3], X3)
one_op("gather_2d", "gather-index", REFUSED, "GATHER", [X3, ints([0, 2])], (1, 1, 2, 8), axis=1)
one_op("gather_1d", "", GOOD, "GATHER", [X3, ints(0, 2)], (1, 2, 8), axis=1)
one_op("rank_5", "rank-5", REFUSED, "MUL", [(1, 2, 3, 4, 5), (1, 2, 3, 4, 5)], (1, 2, 3, 4, 5))
one_op("cast_int64", "int64", REFUSED, "CAST", [X3], X3, dtype="int64")
one_op("cast_int32", "", GOOD, "CAST", [X3], X3, dtype="int32")
one_op("pack_rank_4", "pack-rank", REFUSED, "PACK", [X4, X4], (2, 1, 4, 4, 8), valuesCount=2, axis=0)
one_op("pack_rank_3", "", GOOD, "PACK", [X3, X3], (1, 2, 6, 8), valuesCount=2, axis=1)
SLICE = [ints(0, 0, 0), ints(1, 6, 8), ints(1, 2, 1)]
one_op("slice_shrink", "strided-slice", REFUSED, "STRIDED_SLICE", [X3, *SLICE], (3, 8), shrinkAxisMask=1)
one_op("slice_back", "strided-slice", REFUSED, "STRIDED_SLICE", [X3, ints(0, 5, 0), ints(1, -7, 8), ints(1, -1, 1)], X3)
one_op("slice_stride", "", GOOD, "STRIDED_SLICE", [X3, *SLICE], (1, 3, 8))
one_op("sub_version_3", "op-version", REFUSED, "SUB", [X3, X3], X3, version=3)
one_op("not_equal_self", "same-input-compare", REFUSED, "NOT_EQUAL", [X3, "x0"], X3, dtype="bool")
one_op("matmul_self", "same-input-matmul", DIES, "BATCH_MATMUL", [(1, 8, 8), "x0"], (1, 8, 8))
one_op("pad_rank_2", "pad-rank", REFUSED, "PAD", [X2, ints([1, 1], [0, 0])], (8, 8))
one_op(
    "mirror_symmetric", "mirror-pad", UNTESTED, "MIRROR_PAD", [X4, ints([0, 0], [1, 1], [1, 1], [0, 0])], (1, 6, 6, 8), mode=1
)
one_op("mirror_reflect", "", GOOD, "MIRROR_PAD", [X4, ints([0, 0], [1, 1], [1, 1], [0, 0])], (1, 6, 6, 8), mode=0)
one_op("softmax_beta_2", "softmax-beta", REFUSED, "SOFTMAX", [X3], X3, beta=2.0)
one_op("add_n_3", "add-n", REFUSED, "ADD_N", [X3, X3, X3], X3)
one_op("matmul_const_lhs", "matmul-constant-lhs", REFUSED, "BATCH_MATMUL", [data(1, 4, 6), X3], (1, 4, 8))
one_op("fc_runtime_bias", "runtime-bias", REFUSED, "FULLY_CONNECTED", [X2, (4, 8), (4,)], (6, 4))
one_op("conv_runtime_bias", "runtime-bias", DIES, "CONV_2D", [X4, data(4, 1, 1, 8), (4,)], (1, 4, 4, 4), strideH=1, strideW=1)
one_op("embedding_runtime", "embedding-runtime-table", DIES, "EMBEDDING_LOOKUP", [ints(0, 3), X2], (2, 8))

one_op("const_2d", "constant-low-rank", WRONG, "ADD", [X2, data(6, 8)], X2)
one_op("const_2d_column", "constant-low-rank", WRONG, "MUL", [X2, data(6, 1)], X2)
one_op("const_2d_row", "", GOOD, "ADD", [X2, data(1, 8)], X2)
one_op("const_lifted", "constant-low-rank", WRONG, "ADD", [X2, data(1, 6, 8)], X3)
one_op("const_lifted_scalar", "constant-low-rank", WRONG, "ADD", [X2, data(1, 1, 1)], X3)
one_op("const_batch_3d", "constant-low-rank", WRONG, "SUB", [(4, 6, 8), data(4, 1, 1)], (4, 6, 8))
one_op("const_grows", "constant-low-rank", WRONG, "ADD", [(1, 8), data(6, 8)], X2)
one_op("const_first_1", "", GOOD, "ADD", [X3, data(1, 6, 8)], X3)
one_op("const_lower", "", GOOD, "ADD", [(4, 6, 8), data(6, 8)], (4, 6, 8))
one_op("const_4d", "", GOOD, "ADD", [(2, 6, 8, 4), data(2, 6, 8, 4)], (2, 6, 8, 4))
one_op("const_mask_4d", "constant-low-rank", WRONG, "ADD", [(4, 6, 6), data(1, 4, 6, 6)], (1, 4, 6, 6))
one_op("const_none", "", GOOD, "ADD", [X2, X3], X3)


@case("const_fp16", "constant-low-rank", WRONG)
def _(w: ModelWriter) -> Sequence[str]:
    x, half = w.input("x", X2), w.constant("h", data(6, 8).astype(np.float16))
    return [w.op("ADD", [x, w.op("DEQUANTIZE", [half], {"c": X2})], {"y": X2})]


def linear_plus_position(w: ModelWriter, keep: bool) -> Sequence[str]:
    """What litert-torch makes of ``Linear(x) + position[1, N, C]``: with the dimensions dropped the sum is wrong."""
    x, weights, bias = w.input("x", X3), w.constant("w", data(8, 8)), w.constant("b", data(8, seed=1))
    made = w.op("FULLY_CONNECTED", [x, weights, bias], {"f": X3 if keep else X2}, keepNumDims=keep, version=5)
    return [w.op("ADD", [made, w.constant("p", data(1, 6, 8, seed=2))], {"y": X3})]


case("linear_dropped_dims", "constant-low-rank", WRONG)(lambda w: linear_plus_position(w, keep=False))
case("linear_kept_dims", "", GOOD)(lambda w: linear_plus_position(w, keep=True))

one_op("pad_3d_batch", "pad-rank-3", WRONG, "PAD", [(4, 6, 8), ints([0, 0], [1, 1], [0, 0])], (4, 8, 8))
one_op("pad_3d", "", GOOD, "PAD", [X3, ints([0, 0], [1, 1], [0, 0])], (1, 8, 8))
one_op(
    "pad_infinite",
    "pad-infinite",
    WRONG,
    "PADV2",
    [X4, ints([0, 0], [1, 1], [1, 1], [0, 0]), np.float32([-np.inf])],
    (1, 6, 6, 8),
)
one_op("pad_finite", "", GOOD, "PADV2", [X4, ints([0, 0], [1, 1], [1, 1], [0, 0]), np.float32([-1e4])], (1, 6, 6, 8))


def padded_pool(w: ModelWriter, kind: str, value: float | None) -> Sequence[str]:
    x, amounts = w.input("x", X4), w.constant("a", ints([0, 0], [1, 1], [1, 1], [0, 0]))
    extra = [] if value is None else [w.constant("v", np.float32([value]))]
    padded = w.op("PAD" if value is None else "PADV2", [x, amounts, *extra], {"p": (1, 6, 6, 8)})
    return [w.op(kind, [padded], {"y": X4}, padding=1, strideH=1, strideW=1, filterHeight=3, filterWidth=3)]


case("pad_average", "pad-into-pool", WRONG)(lambda w: padded_pool(w, "AVERAGE_POOL_2D", None))
case("pad_zero_max", "pad-into-pool", WRONG)(lambda w: padded_pool(w, "MAX_POOL_2D", None))
case("pad_lowest_max", "", GOOD)(lambda w: padded_pool(w, "MAX_POOL_2D", float("-inf")))


def joined_pool(w: ModelWriter, kind: str, value: float) -> Sequence[str]:
    border = w.constant("c", np.full((1, 1, 4, 8), value, np.float32))
    joined = w.op("CONCATENATION", [w.input("x", X4), border], {"j": (1, 5, 4, 8)}, axis=1)
    return [w.op(kind, [joined], {"y": (1, 4, 3, 8)}, padding=1, strideH=1, strideW=1, filterHeight=2, filterWidth=2)]


case("join_zeros_max", "zeros-into-pool", WRONG)(lambda w: joined_pool(w, "MAX_POOL_2D", 0.0))
case("join_zeros_average", "zeros-into-pool", WRONG)(lambda w: joined_pool(w, "AVERAGE_POOL_2D", 0.0))
case("join_halves_max", "", GOOD)(lambda w: joined_pool(w, "MAX_POOL_2D", 0.5))


def sum_reduced(w: ModelWriter, kind: str, *, axis: int = 2, output: bool = False, second: bool = False) -> Sequence[str]:
    shape = (1, 300, 4)  # many short rows: the fault shows only where the second operand lies beyond the true result
    total = w.op("ADD", [w.input("a", shape), w.input("b", shape)], {"s": shape})
    outputs = [w.op(kind, [total, w.constant("axes", ints(axis))], {"r": (1, 300) if axis == 2 else (1, 4)})]
    if second:
        outputs.append(w.op("MUL", [total, total], {"q": shape}))
    return [*outputs, total] if output else outputs


case("add_amax", "add-into-reduce-max", WRONG)(lambda w: sum_reduced(w, "REDUCE_MAX"))
case("add_amin", "add-into-reduce-max", WRONG)(lambda w: sum_reduced(w, "REDUCE_MIN"))
case("add_amax_two_readers", "", GOOD)(lambda w: sum_reduced(w, "REDUCE_MAX", second=True))
case("add_sum", "", GOOD)(lambda w: sum_reduced(w, "SUM"))
case("add_sum_output", "output-and-reduced", WRONG)(lambda w: sum_reduced(w, "SUM", output=True))
case("add_mean_output", "output-and-reduced", WRONG)(lambda w: sum_reduced(w, "MEAN", output=True))
case("add_sum_output_axis_1", "output-and-reduced", WRONG)(lambda w: sum_reduced(w, "SUM", axis=1, output=True))
case("add_sum_output_two_readers", "", GOOD)(lambda w: sum_reduced(w, "SUM", output=True, second=True))

one_op("matmul_broadcast", "matmul-broadcast-batch", WRONG, "BATCH_MATMUL", [(1, 4, 6, 8), (1, 1, 8, 6)], (1, 4, 6, 6))
one_op("matmul_equal", "", GOOD, "BATCH_MATMUL", [(1, 4, 6, 8), (1, 4, 8, 6)], (1, 4, 6, 6))
one_op("matmul_const_2d", "", GOOD, "BATCH_MATMUL", [(4, 6, 8), data(8, 6)], (4, 6, 6))
one_op("matmul_high", "matmul-texture-limit", WRONG, "BATCH_MATMUL", [(8, 4, 4100), (8, 4100, 8)], (8, 4, 8))
one_op("matmul_at_limit", "", GOOD, "BATCH_MATMUL", [(8, 4, 4096), (8, 4096, 8)], (8, 4, 8))
one_op("matmul_wide", "matmul-texture-limit", WRONG, "BATCH_MATMUL", [(1, 4, 8), (1, 8, 32772)], (1, 4, 32772))
one_op("matmul_small_many", "", GOOD, "BATCH_MATMUL", [(519, 4, 64), (519, 64, 16)], (519, 4, 16))
one_op("matmul_adj_high", "matmul-texture-limit", WRONG, "BATCH_MATMUL", [(8, 64, 4100), (8, 32, 4100)], (8, 64, 32), adjY=True)

CONV = {"strideH": 1, "strideW": 1}
one_op("conv_groups_of_2", "grouped-conv", WRONG, "CONV_2D", [X4, data(8, 1, 1, 2), data(8)], X4, **CONV)
one_op("conv_groups_of_4", "", GOOD, "CONV_2D", [X4, data(8, 1, 1, 4), data(8)], X4, **CONV)
one_op("conv_groups_of_6", "grouped-conv", DIES, "CONV_2D", [(1, 4, 4, 12), data(12, 3, 3, 6), data(12)], (1, 4, 4, 12), **CONV)
one_op("fc_runtime_weights", "runtime-weights-bias", WRONG, "FULLY_CONNECTED", [X2, (4, 8), data(4)], (6, 4))
one_op("softmax_1d", "softmax-rank-1", WRONG, "SOFTMAX", [(16,)], (16,), beta=1.0)
one_op("softmax_2d", "", GOOD, "SOFTMAX", [(1, 16)], (1, 16), beta=1.0)
one_op("pow_base_2", "pow-constant-base", WRONG, "POW", [np.array(2.0, np.float32), X4], X4)
one_op("pow_base_3", "pow-constant-base", WRONG, "POW", [np.array([3.0], np.float32), X4], X4)
one_op("pow_base_4", "", GOOD, "POW", [np.array(4.0, np.float32), X4], X4)
one_op("pow_base_twos", "", GOOD, "POW", [np.full(8, 2.0, np.float32), X4], X4)


def fused_output(w: ModelWriter, first: str, second: str, output: bool = True) -> Sequence[str]:
    """An elementwise operator with a constant beside a 1x1 convolution, the tensor between them an output or not."""
    tensor = w.input("x", X4)
    for position, kind in enumerate((first, second)):
        if kind == "CONV_2D":
            operands = [tensor, w.constant(f"w{position}", data(8, 1, 1, 8)), w.constant(f"b{position}", data(8))]
            tensor = w.op(kind, operands, {f"t{position}": X4}, **CONV)
        else:
            tensor = w.op(kind, [tensor, w.constant(f"c{position}", data(8, seed=3))], {f"t{position}": X4})
    return ["t1", "t0"] if output else ["t1"]


case("add_conv_output", "output-fused-forward", WRONG)(lambda w: fused_output(w, "ADD", "CONV_2D"))
case("mul_conv_output", "output-fused-forward", WRONG)(lambda w: fused_output(w, "MUL", "CONV_2D"))
case("mul_conv", "", GOOD)(lambda w: fused_output(w, "MUL", "CONV_2D", output=False))
case("conv_mul_output", "output-fused-backward", WRONG)(lambda w: fused_output(w, "CONV_2D", "MUL"))
case("conv_add_output", "output-fused-backward", WRONG)(lambda w: fused_output(w, "CONV_2D", "ADD"))


@case("input_output", "input-is-output", WRONG)
def _(w: ModelWriter) -> Sequence[str]:
    x = w.input("x", X4)
    return [w.op("MUL", [x, w.input("z", X4)], {"y": X4}), x]
