"""What random graphs found: transposed constants, CUMSUM's flags, slopes, first axes, parts of a SPLIT, and padded channels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from detr2litert.host_runtime.tflite.writer import ModelWriter
from detr2litert.verify.probe.build import (
    ACCEPTED,
    DIED,
    REFUSED,
    WRONG,
    X3,
    X4,
    Operand,
    Shape,
    convolution,
    data,
    ints,
    linear,
    single,
)
from detr2litert.verify.probe.probe import Behaviour, Probe

_TRANSPOSED, _CUMSUM, _SLOPE, _FIRST = "matmul-constant-transposed", "cumsum", "leaky-relu-slope", "pad-first-axis"
_POINTWISE, _PARTS, _PADDING, _LAST = "depthwise-pointwise", "split-parts", "nonfinite-padding", "last-axis-padding"
_BATCH, _WHOLE, _SLICED = "blocks-of-a-batch", "identity-slice", "output-whole-slice"
_POSITIVE, _NEGATIVE = (0.5, 2.0), (-2.0, -0.5)
_SIX = (1, 4, 5, 6)


def _rule(does: Behaviour, rule: str) -> dict[str, Any]:
    return {"must_not_trigger": (rule,)} if does is ACCEPTED else {"triggers": rule}


def _matmul(name: str, left: Shape, right: Shape, out: Shape, does: Behaviour = WRONG, **flips: Any) -> Probe:
    about = f"{list(left)} times a constant {list(right)}{''.join(f', {flip}' for flip in flips)}"
    return single(name, about, does, "BATCH_MATMUL", [left, data(*right)], out, **flips, **_rule(does, _TRANSPOSED))


def _cumsum(name: str, shape: Shape, axis: int, does: Behaviour = WRONG, **flags: Any) -> Probe:
    about = f"the sum along axis {axis} of {list(shape)}{''.join(f', {flag}' for flag in flags)}"
    return single(name, about, does, "CUMSUM", [shape, np.array(axis, np.int32)], shape, **flags, **_rule(does, _CUMSUM))


def _leaky(name: str, slope: float, does: Behaviour) -> Probe:
    return single(name, f"a slope of {slope}", does, "LEAKY_RELU", [X4], X4, alpha=slope, **_rule(does, _SLOPE))


def _pad(name: str, shape: Shape, amounts: Sequence[Sequence[int]], does: Behaviour, value: float | None = None) -> Probe:
    out = tuple(size + sum(pair) for size, pair in zip(shape, amounts, strict=True))
    operands: list[Operand] = [shape, ints(*amounts), *([] if value is None else [np.array(value, np.float32)])]
    about = f"{list(shape)} padded by {amounts}{'' if value is None else f' with {value:g}'}"
    return single(name, about, does, "PAD" if value is None else "PADV2", operands, out, **_rule(does, _FIRST))


def _depthwise(name: str, channels: int, times: int, window: int, does: Behaviour, stride: int = 1) -> Probe:
    made, size = channels * times, -(-6 // stride)
    return single(
        name, f"{window}x{window}, {times} outputs for each of {channels} channels, stride {stride}", does, "DEPTHWISE_CONV_2D",
        [(1, 6, 6, channels), data(1, window, window, made), data(made)], (1, size, size, made),
        depthMultiplier=times, strideH=stride, strideW=stride, **_rule(does, _POINTWISE),
    )  # fmt: skip


def _parts(w: ModelWriter, kind: str, first: str, second: str, uses: str = "", split: str = "SPLIT") -> Sequence[str]:
    """``kind`` of two of the parts a, b and c, or of ``tanh_a``, ``same_a`` (reshaped to its own shape); ``uses`` of others."""
    shape, part = (1, 4, 4, 12), (1, 4, 4, 4)
    outputs = dict.fromkeys("abc", part)
    x, axis = w.input("x", shape), w.constant("axis", np.array(3, np.int32))
    if split == "SPLIT":
        w.op(split, [axis, x], outputs, numSplits=3)
    elif split == "SPLIT_V":
        w.op(split, [x, w.constant("sizes", ints(4, 4, 4)), axis], outputs, numSplits=3)
    else:
        for position, name in enumerate(outputs):
            begin = w.constant(f"begin_{name}", ints(0, 0, 0, 4 * position))
            w.op("SLICE", [x, begin, w.constant(f"size_{name}", ints(*part))], {name: part})
    for name in (first, second):
        if name.startswith("tanh_"):
            w.op("TANH", [name[-1]], {name: part})
        elif name.startswith("same_"):
            w.op("RESHAPE", [name[-1], w.constant(f"shape_{name}", ints(*part))], {name: part}, newShape=list(part))
    made = {"y": (1, 4, 4, 8)} if kind == "CONCATENATION" else {"y": part}
    options: dict[str, Any] = {"axis": 3} if kind == "CONCATENATION" else {}
    result = w.op(kind, [first, second], made, **options)
    used = [use if len(use) == 1 else w.op("COS", [use[-1]], {f"u_{use[-1]}": part}) for use in uses.split()]
    return [result, *used]


def _split(name: str, does: Behaviour, kind: str, first: str, second: str, uses: str = "", split: str = "SPLIT") -> Probe:
    about = f"{kind} of {first} and {second}, parts of a {split}{f'; also used: {uses}' if uses else ''}"
    build = partial(_parts, kind=kind, first=first, second=second, uses=uses, split=split)
    return Probe(name, about, does, build, span=_POSITIVE, **_rule(does, _PARTS))


def _reader(w: ModelWriter, source: str, shape: Shape, kind: str) -> Sequence[str]:
    out, channels = (*shape[:-1], 5), shape[-1]
    if kind == "FULLY_CONNECTED":
        return [linear(w, source, out, inputs=channels, keepNumDims=True)]
    if kind == "CONV_2D":
        return [convolution(w, source, out, inputs=channels)]
    if kind == "BATCH_MATMUL":
        return [w.op(kind, [source, w.constant("r", data(channels, 5))], {"y": out})]
    if kind == "SOFTMAX":
        return [w.op(kind, [source], {"y": shape}, beta=1.0)]
    return [w.op(kind, [source, w.constant("axes", ints(len(shape) - 1))], {"y": shape[:-1]})]


def _lanes(w: ModelWriter, maker: str, kind: str, shape: Shape = _SIX, then: str = "") -> Sequence[str]:
    """``maker`` makes a tensor whose channels are padded, ``then`` is computed from it, and ``kind`` reads it."""
    x = w.input("x", shape)
    if maker == "DIV constant":
        made = w.op("DIV", [x, w.constant("c", np.abs(data(shape[-1])) + 0.5)], {"t": shape})
    elif maker == "DIV number":
        made = w.op("DIV", [x, w.constant("c", np.array(3.0, np.float32))], {"t": shape})
    elif maker == "DIV row":
        made = w.op("DIV", [x, w.input("z", (*shape[:-1], 1))], {"t": shape})
    elif maker == "RSQRT epsilon":
        made = w.op("RSQRT", [w.op("ADD", [x, w.constant("c", np.array(1e-3, np.float32))], {"s": shape})], {"t": shape})
    else:
        made = w.op(maker, [x] if maker == "RSQRT" else [x, w.input("z", shape)], {"t": shape})
    if then == "SLICE":
        shape = (1, shape[1] - 1, *shape[2:])
        made = w.op(then, [made, w.constant("begin", ints(0, 1, 0, 0)), w.constant("size", ints(*shape))], {"u": shape})
    elif then == "RESHAPE":
        shape = (1, shape[1] * shape[2], shape[3])
        made = w.op(then, [made, w.constant("shape", ints(*shape))], {"u": shape}, newShape=list(shape))
    elif then == "MUL":
        made = w.op(then, [made, w.input("m", shape)], {"u": shape})
    elif then:
        made = w.op(then, [made], {"u": shape})
    return _reader(w, made, shape, kind)


def _padded(name: str, does: Behaviour, maker: str, kind: str, shape: Shape = _SIX, then: str = "") -> Probe:
    about = f"{maker} of {list(shape)}{f', {then}' if then else ''}, {kind}"
    return Probe(name, about, does, partial(_lanes, maker=maker, kind=kind, shape=shape, then=then), span=_POSITIVE,
                 **_rule(does, _PADDING))  # fmt: skip


def _arg_max(name: str, shape: Shape, does: Behaviour, axis: int | None = None) -> Probe:
    at = len(shape) - 1 if axis is None else axis
    return single(
        name, f"the largest along axis {at} of {list(shape)}, all negative", does, "ARG_MAX", [shape, np.array(at, np.int32)],
        shape[:at] + shape[at + 1 :], span=_NEGATIVE, dtype="int32", outputType=2, **_rule(does, _LAST),
    )  # fmt: skip


def _top_k(name: str, shape: Shape, k: int, does: Behaviour) -> Probe:
    return single(
        name, f"the {k} largest of {list(shape)}, all negative", does, "TOPK_V2", [shape, np.array(k, np.int32)],
        {"y": (*shape[:-1], k), "i": (*shape[:-1], k)}, span=_NEGATIVE, dtype=("float32", "int32"), **_rule(does, _LAST),
    )  # fmt: skip


def _softmax_arg_max(w: ModelWriter) -> Sequence[str]:
    made = w.op("SOFTMAX", [w.input("x", (1, 4, 6))], {"t": (1, 4, 6)}, beta=1.0)
    return [w.op("ARG_MAX", [made, w.constant("a", np.array(2, np.int32))], {"y": (1, 4)}, dtype="int32", outputType=2)]


def _blocks(name: str, shape: Shape, kind: str, does: Behaviour) -> Probe:
    batch, height, width, channels = shape
    down = kind == "SPACE_TO_DEPTH"
    out = (batch, height // 2, width // 2, channels * 4) if down else (batch, height * 2, width * 2, channels // 4)
    return single(name, f"{kind} of {list(shape)}", does, kind, [shape], out, blockSize=2, **_rule(does, _BATCH))


def _mirrored(name: str, shape: Shape, amounts: Sequence[Sequence[int]], does: Behaviour, rule: str) -> Probe:
    out = tuple(size + sum(pair) for size, pair in zip(shape, amounts, strict=True))
    about = f"{list(shape)} mirrored by {amounts}"
    return single(name, about, does, "MIRROR_PAD", [shape, ints(*amounts)], out, mode=0, **_rule(does, rule))


def _everything(w: ModelWriter, source: str, shape: Shape, kind: str = "SLICE") -> str:
    """A slice that takes the whole tensor."""
    begin, size = w.constant("begin", ints(*(0 for _ in shape))), w.constant("size", ints(*shape))
    steps = [w.constant("steps", ints(*(1 for _ in shape)))] if kind == "STRIDED_SLICE" else []
    return w.op(kind, [source, begin, size, *steps], {"t": shape})


def _whole_slice(w: ModelWriter, kind: str, other: bool = False, slices: str = "SLICE") -> Sequence[str]:
    """A slice that takes everything, and the same tensor or another, joined or added."""
    x = w.input("x", X3)
    taken = _everything(w, x, X3, slices)
    second = w.input("z", X3) if other else x
    joined: dict[str, Any] = {"axis": 2} if kind == "CONCATENATION" else {}
    return [w.op(kind, [taken, second], {"y": (1, 6, 16) if joined else X3}, **joined)]


def _slices(name: str, kind: str, does: Behaviour, other: bool = False, slices: str = "SLICE") -> Probe:
    about = f"{kind} of a whole {slices} and {'another tensor' if other else 'the tensor itself'}"
    return Probe(name, about, does, partial(_whole_slice, kind=kind, other=other, slices=slices), **_rule(does, _WHOLE))


def _slice_output(w: ModelWriter, maker: str, part: int = 0, then: str = "") -> Sequence[str]:
    """A whole slice of a tensor that is an output too, or of a part of a SPLIT; ``then`` is computed from it instead."""
    x = w.input("x", X3)
    if maker == "SPLIT":
        half = (*X3[:-1], X3[-1] // 2)
        w.op("SPLIT", [w.constant("axis", np.array(2, np.int32)), x], {"a": half, "b": half}, numSplits=2)
        taken, others = _everything(w, "ab"[part], half), ["ba"[part]]
    else:
        half, taken, others = X3, _everything(w, w.op(maker, [x], {"m": X3}), X3), ["m"]
    return [*others, w.op(then, [taken], {"y": half}) if then else taken]


def _sliced_output(name: str, does: Behaviour, maker: str, part: int = 0, then: str = "") -> Probe:
    of = f"part {part} of a SPLIT" if maker == "SPLIT" else f"a {maker} that is an output"
    about = f"a whole slice of {of}{f', then {then}' if then else ''}"
    return Probe(name, about, does, partial(_slice_output, maker=maker, part=part, then=then), **_rule(does, _SLICED))


def _chosen(w: ModelWriter, condition: Shape, out: Shape) -> Sequence[str]:
    number = w.constant("k", np.array(-3.0, np.float32))
    return [w.op("SELECT_V2", [w.input("c", condition, "bool"), w.input("x", out), number], {"y": out})]


def _select(name: str, condition: Shape, out: Shape, does: Behaviour, rule: str) -> Probe:
    about = f"a condition {list(condition)} for {list(out)}"
    return Probe(name, about, does, partial(_chosen, condition=condition, out=out), **_rule(does, rule))


PROBES: tuple[Probe, ...] = (
    _matmul("matmul_transposed", (12, 3), (2, 3), (12, 2), adjY=True),
    _matmul("matmul_transposed_left", (6, 4), (6, 4), (4, 4), adjX=True),
    _matmul("matmul_transposed_both", (1, 4, 6), (8, 4), (1, 6, 8), adjX=True, adjY=True),
    _matmul("matmul_transposed_map", (1, 8, 8, 8), (2, 8), (1, 8, 8, 2), adjY=True),
    _matmul("matmul_transposed_column", (24, 24, 1), (4, 1), (24, 24, 4), adjY=True),
    _matmul("matmul_transposed_beforehand", (12, 3), (3, 2), (12, 2), ACCEPTED),
    _matmul("matmul_transposed_3d", (1, 12, 3), (1, 2, 3), (1, 12, 2), ACCEPTED, adjY=True),
    _matmul("matmul_transposed_left_3d", (1, 6, 4), (1, 6, 4), (1, 4, 4), ACCEPTED, adjX=True),
    _cumsum("cumsum_exclusive", (8, 12), 1, exclusive=True),
    _cumsum("cumsum_exclusive_one", (1, 6, 8), 0, exclusive=True),
    _cumsum("cumsum_reverse", X3, 1, reverse=True),
    _cumsum("cumsum_both", X4, 2, exclusive=True, reverse=True),
    _cumsum("cumsum_first_axis", (8, 12), 0),
    _cumsum("cumsum_first_axis_3d", (3, 6, 8), 0),
    _cumsum("cumsum_vector", (8,), 0),
    _cumsum("cumsum_one_image", X4, 0),
    _cumsum("cumsum_negative_axis", X4, -1, DIED),
    _cumsum("cumsum_negative_axis_2d", (4, 4), -1),
    _cumsum("cumsum_last_axis", (8, 12), 1, ACCEPTED),
    _cumsum("cumsum_first_axis_of_one", X3, 0, ACCEPTED),
    _cumsum("cumsum_images", (2, 4, 5, 3), 0, ACCEPTED),
    _cumsum("cumsum_reverse_one", (1, 1, 6, 8), 1, ACCEPTED, reverse=True),
    _leaky("leaky_relu_steep", 2.0, WRONG),
    _leaky("leaky_relu_falling", -0.5, WRONG),
    _leaky("leaky_relu_straight", 1.0, ACCEPTED),
    _leaky("leaky_relu_flat", 0.0, ACCEPTED),
    single("prelu_steep", "a slope of 2 as a constant", ACCEPTED, "PRELU", [X4, np.full((1, 1, 8), 2, np.float32)], X4,
           must_not_trigger=(_SLOPE,)),
    _pad("pad_first_axis", (1, 1, 1, 2), [[0, 2], [0, 0], [1, 0], [0, 0]], WRONG),
    _pad("pad_first_axis_alone", X4, [[1, 0], [0, 0], [0, 0], [0, 0]], WRONG),
    _pad("pad_first_axis_lowest", (1, 3, 3, 2), [[0, 1], [0, 0], [0, 0], [0, 0]], WRONG, -3.4e38),
    _pad("pad_first_axis_of_two", (2, 3, 4, 3), [[0, 1], [0, 0], [1, 1], [0, 2]], ACCEPTED),
    _pad("pad_other_axes", (1, 3, 4, 3), [[0, 0], [1, 0], [0, 2], [1, 1]], ACCEPTED),
    _depthwise("depthwise_point_twice", 8, 2, 1, WRONG),
    _depthwise("depthwise_point_odd", 5, 2, 1, WRONG, stride=2),
    _depthwise("depthwise_point_three", 4, 3, 1, WRONG),
    _depthwise("depthwise_point_once", 5, 1, 1, ACCEPTED, stride=2),
    _depthwise("depthwise_point_one_channel", 1, 5, 1, ACCEPTED),
    _depthwise("depthwise_window_twice", 5, 2, 2, ACCEPTED),
    _split("split_difference", WRONG, "SUB", "a", "b"),
    _split("split_difference_given", WRONG, "SUB", "a", "b", "c b"),
    _split("split_sizes_difference", WRONG, "SUB", "a", "c", split="SPLIT_V"),
    _split("split_sum", WRONG, "ADD", "b", "c"),
    _split("split_sum_given", WRONG, "ADD", "a", "b", "c"),
    _split("split_product", WRONG, "MUL", "b", "a"),
    _split("split_product_of_tanh", WRONG, "MUL", "tanh_a", "b"),
    _split("split_difference_of_tanh", WRONG, "SUB", "tanh_a", "b"),
    _split("split_sum_of_tanh", WRONG, "ADD", "b", "tanh_a"),
    _split("split_maximum", WRONG, "MAXIMUM", "a", "b"),
    _split("split_joined", WRONG, "CONCATENATION", "b", "a"),
    _split("split_sum_reshaped", WRONG, "ADD", "same_b", "a"),
    _split("split_difference_reshaped", WRONG, "SUB", "a", "same_b"),
    _split("split_sum_reshaped_turned", ACCEPTED, "ADD", "a", "same_b"),
    _split("split_difference_turned", ACCEPTED, "SUB", "b", "a"),
    _split("split_difference_of_others", ACCEPTED, "SUB", "b", "c"),
    _split("split_difference_read", ACCEPTED, "SUB", "a", "b", "cos_a"),
    _split("split_difference_first_given", ACCEPTED, "SUB", "a", "b", "a"),
    _split("split_sum_read", ACCEPTED, "ADD", "a", "b", "cos_c"),
    _split("split_product_turned", ACCEPTED, "MUL", "a", "b"),
    _split("split_gate", ACCEPTED, "MUL", "a", "tanh_b"),
    _split("split_joined_read", ACCEPTED, "CONCATENATION", "b", "a", "cos_a"),
    _split("split_joined_tanh", ACCEPTED, "CONCATENATION", "tanh_b", "a"),
    _split("split_slices", ACCEPTED, "SUB", "a", "b", split="SLICE"),
    _padded("lanes_div_slice_fc", WRONG, "DIV constant", "FULLY_CONNECTED", (1, 17, 32, 6), "SLICE"),
    _padded("lanes_div_conv", WRONG, "DIV constant", "CONV_2D"),
    _padded("lanes_quotient_matmul", WRONG, "DIV", "BATCH_MATMUL", (1, 5, 3)),
    _padded("lanes_rsqrt_sum", WRONG, "RSQRT", "SUM"),
    _padded("lanes_rsqrt_mul_mean", WRONG, "RSQRT", "MEAN", then="MUL"),
    _padded("lanes_floor_mod_fc", WRONG, "FLOOR_MOD", "FULLY_CONNECTED"),
    _padded("lanes_div_eight", ACCEPTED, "DIV constant", "FULLY_CONNECTED", X4),
    _padded("lanes_div_number", ACCEPTED, "DIV number", "FULLY_CONNECTED"),
    _padded("lanes_div_row", ACCEPTED, "DIV row", "FULLY_CONNECTED"),
    _padded("lanes_rsqrt_epsilon", ACCEPTED, "RSQRT epsilon", "SUM"),
    _padded("lanes_div_reshape", ACCEPTED, "DIV constant", "FULLY_CONNECTED", then="RESHAPE"),
    _padded("lanes_div_tanh", ACCEPTED, "DIV constant", "FULLY_CONNECTED", then="TANH"),
    _padded("lanes_rsqrt_maximum", ACCEPTED, "RSQRT", "REDUCE_MAX"),
    _padded("lanes_div_softmax", ACCEPTED, "DIV constant", "SOFTMAX"),
    _arg_max("arg_max_padded", (1, 4, 6), WRONG),
    _arg_max("arg_max_padded_classes", (1, 91), WRONG),
    _arg_max("arg_max_eight", (1, 4, 8), ACCEPTED),
    _arg_max("arg_max_other_axis", (1, 4, 6), ACCEPTED, 1),
    Probe("arg_max_softmax", "the largest of a softmax of 6", ACCEPTED, _softmax_arg_max, must_not_trigger=(_LAST,)),
    _top_k("top_k_rows_padded", (2, 301), 2, WRONG),
    _top_k("top_k_six", (1, 6), 2, WRONG),
    _top_k("top_k_three", (1, 3), 1, DIED),
    _top_k("top_k_rows", (2, 8), 2, ACCEPTED),
    replace(_top_k("top_k_first_of_six", (1, 6), 1, WRONG), about="the largest of 6, which is the last",
            values={"x0": np.array([[-3, -4, -5, -6, -7, -1]], np.float32)}),
    _top_k("top_k_first_of_eight", (1, 8), 1, ACCEPTED),
    _top_k("top_k_row_many", (1, 14), 8, WRONG),
    single("reverse_padded", "6 channels reversed", WRONG, "REVERSE_V2", [(1, 4, 5, 6), ints(3)], (1, 4, 5, 6), triggers=_LAST),
    single("reverse_other_axis", "6 channels, rows reversed", ACCEPTED, "REVERSE_V2", [(1, 4, 5, 6), ints(1)], (1, 4, 5, 6),
           must_not_trigger=(_LAST,)),
    single("atan2_constant", "a constant of the same shape", WRONG, "ATAN2", [(3, 8), data(3, 8)], (3, 8),
           triggers="constant-low-rank"),
    single("atan2_constant_map", "a constant of rank 4", ACCEPTED, "ATAN2", [X4, data(*X4)], X4,
           must_not_trigger=("constant-low-rank",)),
    _blocks("space_to_depth_batch", (2, 4, 4, 3), "SPACE_TO_DEPTH", WRONG),
    _blocks("depth_to_space_batch", (2, 2, 2, 8), "DEPTH_TO_SPACE", WRONG),
    _blocks("space_to_depth_one", (1, 4, 4, 3), "SPACE_TO_DEPTH", ACCEPTED),
    _blocks("depth_to_space_one", (1, 2, 2, 8), "DEPTH_TO_SPACE", ACCEPTED),
    _mirrored("mirror_rank_2", (4, 5), [[1, 1], [1, 0]], REFUSED, "pad-rank"),
    _mirrored("mirror_batch", (3, 4, 5), [[0, 0], [1, 1], [1, 0]], WRONG, "pad-rank-3"),
    _mirrored("mirror_tokens", (1, 4, 5), [[0, 0], [1, 1], [1, 0]], ACCEPTED, "pad-rank-3"),
    single("transpose_rank_1", "a vector", REFUSED, "TRANSPOSE", [(4,), ints(0)], (4,), triggers="transpose-rank"),
    single("transpose_rank_2", "a matrix", ACCEPTED, "TRANSPOSE", [(4, 3), ints(0, 1)], (4, 3),
           must_not_trigger=("transpose-rank",)),
    _select("select_mask", (6, 8), (1, 4, 6, 8), REFUSED, "select-condition"),
    _select("select_mask_vector", (8,), (1, 6, 8), REFUSED, "select-condition"),
    _select("select_mask_rank_4", (1, 1, 6, 8), (1, 4, 6, 8), ACCEPTED, "select-condition"),
    _select("select_mask_batch", (6, 8), (2, 4, 6, 8), WRONG, "select-condition-batch"),
    _select("select_mask_rows", (8,), (6, 8), WRONG, "select-condition-batch"),
    _select("select_mask_batch_one", (1, 6, 8), (3, 6, 8), ACCEPTED, "select-condition-batch"),
    _slices("whole_slice_joined", "CONCATENATION", REFUSED),
    _slices("whole_slice_added", "ADD", REFUSED),
    _slices("whole_strided_slice_added", "ADD", REFUSED, slices="STRIDED_SLICE"),
    _slices("whole_slice_and_other", "ADD", ACCEPTED, other=True),
    _sliced_output("whole_slice_output", WRONG, "TANH"),
    _sliced_output("whole_slice_of_part", WRONG, "SPLIT"),
    _sliced_output("whole_slice_read", ACCEPTED, "TANH", then="COS"),
    _sliced_output("whole_slice_of_last_part", ACCEPTED, "SPLIT", 1),
    _sliced_output("whole_slice_of_part_read", ACCEPTED, "SPLIT", then="COS"),
)  # fmt: skip
