"""Programs that the compiler does not emit, one builder each: it appends an op, or plants a fault, in a valid draft.

Most must be refused; some are valid and only unusual (an integer written as 3.0), and then all runtimes give the values.
A draft (``random_host_programs.Draft``) has the inputs ``scores [B, N]`` and ``memory [B, 1, N, C]``, and the ops t0 (indices
``[B, K]``, int32), t1 (tokens ``[B, N, C]``), t2 ``[B, K, C]`` and t3 ``[B, K, 4]`` (gathers).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

Change = Callable[[Any], None]


def _ends_in(op: str, *inputs: Any, **attributes: Any) -> Change:
    """Append an op whose result is an output; an input that is not a name is a constant."""

    def change(d: Any) -> None:
        names = [item if isinstance(item, str) else d.constant(np.asarray(item)) for item in inputs]
        d.outputs = [*d.outputs, d.op(op, names, (), **attributes)]

    return change


def _scalar() -> Any:
    return np.asarray(0.5, np.float32)


def _ones(*shape: int, dtype: str = "float32") -> Any:
    return np.ones(shape, dtype)


def _index_beyond(d: Any) -> None:
    indices = np.asarray([0, d.shapes["t1"][1]], np.int32)
    d.outputs.append(d.op("gather", ["t1", d.constant(indices)], (), axis=1))


def _k_beyond(d: Any) -> None:
    d.ops[0]["attributes"]["k"] = d.shapes["scores"][1] + 1


def _attribute(index: int, name: str, value: Any) -> Change:
    def change(d: Any) -> None:
        d.ops[index]["attributes"][name] = value

    return change


def _without(index: int, name: str) -> Change:
    def change(d: Any) -> None:
        del d.ops[index]["attributes"][name]

    return change


def _whole_floats(d: Any) -> None:
    attributes = d.ops[0]["attributes"]
    d.ops[0]["attributes"] = {name: float(value) for name, value in attributes.items()}


def _reads_later(d: Any) -> None:
    d.ops[0], d.ops[2] = d.ops[2], d.ops[0]


def _assigns_twice(d: Any) -> None:
    d.ops[3]["output"] = d.ops[2]["output"]


def _assigns_input(d: Any) -> None:
    d.ops[3]["output"] = "scores"


def _constant_is_input(d: Any) -> None:
    d.constants["scores"] = _ones(*d.tensors["scores"].shape)


def _output(*names: str) -> Change:
    def change(d: Any) -> None:
        d.outputs = list(names)

    return change


def _input_as(dtype: str) -> Change:
    def change(d: Any) -> None:
        d.tensors["scores"] = d.tensors["scores"].astype(dtype)

    return change


def _rank_five(d: Any) -> None:
    d.tensors["memory"] = d.tensors["memory"][None]


_FAR, _NEAR = 2**31, -(2**31)

OUTSIDE: dict[str, Change] = {
    # Ops that do not exist.
    "where": _ends_in("where", "t2", "t2", "t2"),
    "reduce_max": _ends_in("reduce_max", "t2", axis=1),
    "to_string": _ends_in("toString", "t2"),
    "fft": _ends_in("fft", "t2"),
    # The number of inputs.
    "relu_of_two": _ends_in("relu", "t2", "t2"),
    "add_of_one": _ends_in("add", "t2"),
    "linear_of_four": _ends_in("linear", "t3", _ones(3, 4), _ones(3), _ones(3)),
    "concat_of_none": _ends_in("concat", axis=1),
    "concat_of_65": _ends_in("concat", *["t2"] * 65, axis=1),
    "concat_of_64": _ends_in("concat", *["t2"] * 64, axis=1),
    # Scalars, and other ranks.
    "layer_norm_of_scalar": _ends_in("layer_norm", _scalar(), eps=1e-5),
    "gather_on_scalar": _ends_in("gather", _scalar(), _ones(1, dtype="int32"), axis=0),
    "gather_by_scalar": _ends_in("gather", "t1", np.asarray(1, np.int32), axis=1),
    "gather_by_rank_3": _ends_in("gather", "t1", _ones(1, 1, 1, dtype="int32"), axis=1),
    "topk_of_scalar": _ends_in("topk", _scalar(), k=1, axis=0),
    "slice_of_scalar": _ends_in("slice", _scalar(), axis=0, start=0, end=1),
    "concat_of_scalars": _ends_in("concat", _scalar(), _scalar(), axis=0),
    "linear_of_scalar": _ends_in("linear", _scalar(), _ones(3, 1)),
    "linear_by_rank_3": _ends_in("linear", "t3", _ones(1, 3, 4)),
    "linear_by_bias_of_rank_2": _ends_in("linear", "t3", _ones(3, 4), _ones(1, 3)),
    "norm_by_rank_2": _ends_in("layer_norm", "t3", _ones(1, 4), eps=1e-5),
    "scalars_add": _ends_in("add", _scalar(), _scalar()),
    "scalar_gelu": _ends_in("gelu", _scalar()),
    "reshape_to_scalar": _ends_in("reshape", _ones(1, 1), shape=[]),
    "rank_five": _ends_in("reshape", "t2", shape=[1, 1, 1, 1, -1]),
    "input_of_rank_five": _rank_five,
    # Types.
    "int_add": _ends_in("add", "t0", "t0"),
    "int_div": _ends_in("div", "t0", "t0"),
    "int_and_float": _ends_in("mul", "t0", _scalar()),
    "int_relu": _ends_in("relu", "t0"),
    "int_clamp": _ends_in("clamp", "t0", min=0),
    "int_topk": _ends_in("topk", "t0", k=1, axis=1),
    "int_concat": _ends_in("concat", "t0", "t0", axis=0),
    "int_reshape": _ends_in("reshape", "t0", shape=[-1]),
    "int_slice": _ends_in("slice", "t0", axis=1, start=0, end=1),
    "int_gather": _ends_in("gather", "t0", _ones(1, dtype="int32"), axis=1),
    "float_indices": _ends_in("gather", "t1", _ones(1), axis=1),
    "int64_indices": _ends_in("gather", "t1", _ones(1, dtype="int64"), axis=1),
    "bool_constant": _ends_in("add", "t2", _ones(1, dtype="bool")),
    "float64_constant": _ends_in("add", "t2", _ones(1, dtype="float64")),
    "int64_input": _input_as("int64"),
    "bool_input": _input_as("bool"),
    "int32_scores": _input_as("int32"),
    # Attributes: present, of their type, within bounds.
    "without_k": _without(0, "k"),
    "without_axis": _without(2, "axis"),
    "unknown_attribute": _attribute(2, "batch_dims", 1),
    "k_zero": _attribute(0, "k", 0),
    "k_negative": _attribute(0, "k", -1),
    "k_beyond": _k_beyond,
    "k_fraction": _attribute(0, "k", 1.5),
    "k_true": _attribute(0, "k", True),
    "k_text": _attribute(0, "k", "1"),
    "k_null": _attribute(0, "k", None),
    "k_list": _attribute(0, "k", [1]),
    "k_far": _attribute(0, "k", _FAR),
    "whole_floats": _whole_floats,
    "axis_beyond": _attribute(2, "axis", 3),
    "axis_far": _attribute(2, "axis", 4),
    "axis_before": _attribute(2, "axis", -4),
    "axis_far_before": _attribute(2, "axis", -5),
    "axis_zero_batched": _attribute(2, "axis", 0),
    "axis_two_batched": _attribute(2, "axis", 2),
    "eps_zero": _ends_in("layer_norm", "t3", eps=0),
    "eps_negative": _ends_in("layer_norm", "t3", eps=-1e-5),
    "eps_large": _ends_in("layer_norm", "t3", eps=2),
    "eps_text": _ends_in("layer_norm", "t3", eps="1e-5"),
    "eps_one": _ends_in("layer_norm", "t3", eps=1),
    "gelu_erf": _ends_in("gelu", "t3", approximate="erf"),
    "gelu_null": _ends_in("gelu", "t3", approximate=None),
    "gelu_number": _ends_in("gelu", "t3", approximate=0),
    "gelu_none": _ends_in("gelu", "t3", approximate="none"),
    "clamp_by_nothing": _ends_in("clamp", "t3"),
    "clamp_null": _ends_in("clamp", "t3", min=0, max=None),
    "clamp_far": _ends_in("clamp", "t3", max=1e39),
    "clamp_largest": _ends_in("clamp", "t3", min=-3.4028234663852886e38),
    "clamp_crossed": _ends_in("clamp", "t3", min=0.5, max=-0.5),
    "clamp_true": _ends_in("clamp", "t3", min=False),
    # Shapes.
    "slice_nothing": _ends_in("slice", "t3", axis=2, start=2, end=2),
    "slice_backwards": _ends_in("slice", "t3", axis=2, start=3, end=1),
    "slice_beyond": _ends_in("slice", "t3", axis=2, start=4, end=9),
    "slice_far": _ends_in("slice", "t3", axis=2, start=0, end=_FAR),
    "slice_all": _ends_in("slice", "t3", axis=2, start=_NEAR, end=_FAR - 1),
    "reshape_zero": _ends_in("reshape", "t3", shape=[0, -1]),
    "reshape_all_zero": _ends_in("reshape", "t3", shape=[0]),
    "reshape_two_free": _ends_in("reshape", "t3", shape=[-1, -1, 4]),
    "reshape_other_size": _ends_in("reshape", "t3", shape=[3, 5, 7, 11]),
    "reshape_negative": _ends_in("reshape", "t3", shape=[-2, 2]),
    "reshape_far": _ends_in("reshape", "t3", shape=[65536, 65536, 65536, 65536]),
    "reshape_number": _ends_in("reshape", "t3", shape=4),
    "reshape_text": _ends_in("reshape", "t3", shape="4"),
    "reshape_fractions": _ends_in("reshape", "t3", shape=[-1, 0.5]),
    "reshape_floats": _ends_in("reshape", "t3", shape=[-1.0, 2.0]),
    "reshape_nested": _ends_in("reshape", "t3", shape=[[4], -1]),
    "no_broadcast": _ends_in("add", "t3", _ones(3)),
    "outer_sum": _ends_in("add", _ones(3, 1, 2), _ones(4, 1)),
    "too_large": _ends_in("add", _ones(8192, 1), _ones(8193)),
    "concat_of_others": _ends_in("concat", "t3", _ones(1, 1, 3), axis=1),
    "concat_of_ranks": _ends_in("concat", "t3", _ones(1, 4), axis=1),
    "linear_of_others": _ends_in("linear", "t3", _ones(3, 5)),
    "bias_of_others": _ends_in("linear", "t3", _ones(3, 4), _ones(4)),
    "norm_by_others": _ends_in("layer_norm", "t3", _ones(1), eps=1e-5),
    "gather_of_other_batch": _ends_in("gather", "t1", _ones(3, 1, dtype="int32"), axis=1),
    # Indices, which depend on values.
    "index_beyond": _index_beyond,
    "index_negative": _ends_in("gather", "t1", np.asarray([0, -1], np.int32), axis=1),
    "index_far": _ends_in("gather", "t1", np.asarray([2**31 - 1], np.int32), axis=0),
    # Names.
    "reads_later": _reads_later,
    "reads_nothing": _ends_in("relu", "nowhere"),
    "reads_a_property": _ends_in("relu", "constructor"),
    "assigns_twice": _assigns_twice,
    "assigns_input": _assigns_input,
    "constant_is_input": _constant_is_input,
    "output_unknown": _output("nowhere"),
    "output_twice": _output("t2", "t2"),
    "output_is_constant": _output("constant_0", "scores", "t0"),
}
"""By name; at most 120, so that 300 cases contain each at least once."""
