"""Tensors that are outputs of the graph and are read inside it: LiteRT #8599 and its family, and the token fan-out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from detr2litert.host_runtime.tflite.writer import ModelWriter
from detr2litert.verify.probe.build import ACCEPTED, STEP, WRONG, X2, X3, X4, Shape, convolution, data, ints, linear
from detr2litert.verify.probe.probe import Behaviour, Build, Probe

_REDUCED = "output-and-reduced"
_FORWARD, _BACKWARD = "output-fused-forward", "output-fused-backward"
_TOKENS = "token-fan-out"
_ROWS = (1, 300, 4)  # many short rows, for faults that affect only some of them


def _sum(w: ModelWriter, kind: str, *, axis: int = 2, output: bool = False, second: bool = False) -> Sequence[str]:
    shape = _ROWS if axis == 2 else (1, 4, 300)
    total = w.op("ADD", [w.input("a", shape), w.input("b", shape)], {"s": shape})
    outputs = [w.op(kind, [total, w.constant("axes", ints(axis))], {"r": (1, 300)})]
    if second:
        outputs.append(w.op("MUL", [total, total], {"q": shape}))
    return [*outputs, total] if output else outputs


def _made_and_reduced(w: ModelWriter, kind: str) -> Sequence[str]:
    made = w.op(kind, [w.input("a", _ROWS), w.input("b", _ROWS)], {"s": _ROWS})
    return [w.op("SUM", [made, w.constant("axes", ints(2))], {"r": (1, 300)}), made]


def _sum_and_read(w: ModelWriter, kind: str) -> Sequence[str]:
    total = w.op("ADD", [w.input("a", X3), w.input("b", X3)], {"s": X3})
    if kind == "FULLY_CONNECTED":
        return [linear(w, total, X3, keepNumDims=True), total]
    return [w.op(kind, [total, w.constant("c", data(8))] if kind == "MUL" else [total], {"r": X3}), total]


def _layer(w: ModelWriter, kind: str, source: str, name: str) -> str:
    """One operator of the chains below: a convolution, a linear layer, or arithmetic with a constant or a number."""
    if kind == "CONV_2D":
        return convolution(w, source, X4, name)
    if kind == "FULLY_CONNECTED":
        return linear(w, source, X4, name, keepNumDims=True)
    if kind == "DEPTHWISE_CONV_2D":
        operands = [source, w.constant(f"{name}_w", data(1, 3, 3, 8)), w.constant(f"{name}_b", data(8))]
        return w.op(kind, operands, {name: X4}, depthMultiplier=1, **STEP)
    operator, _, number = kind.partition(" ")
    value = np.array(2.0, np.float32) if number else data(8, seed=3)
    return w.op(operator, [source, w.constant(f"{name}_c", value)], {name: X4})


def _chain(w: ModelWriter, first: str, then: Sequence[str], output: bool = True) -> Sequence[str]:
    """All of ``then`` read the result of ``first``, which is an output too."""
    made = _layer(w, first, w.input("x", X4), "t0")
    ends = [_layer(w, kind, made, f"t{position}") for position, kind in enumerate(then, 1)]
    return [*ends, made] if output else ends


def _passed_on(w: ModelWriter) -> Sequence[str]:
    x = w.input("x", X4)
    return [w.op("MUL", [x, w.input("z", X4)], {"y": X4}), x]


def _copied(w: ModelWriter) -> Sequence[str]:
    x = w.input("x", X4)
    copy = w.op("RESHAPE", [x, w.constant("s", ints(*X4))], {"copy": X4}, newShape=list(X4))
    return [w.op("MUL", [x, w.input("z", X4)], {"y": X4}), copy]


def _tokens(w: ModelWriter, shape: Shape, uses: str) -> Sequence[str]:
    made = w.op("MUL", [w.input("x", shape), w.input("z", shape)], {"t": shape})
    if uses == "leaf":
        return [made]
    if uses == "one reader, twice":
        return [w.op("MUL", [made, made], {"y": shape})]
    first = w.op("SIN", [made], {"y": shape})
    return {"read and output": [first, made], "one reader": [first]}.get(uses) or [first, w.op("COS", [made], {"u": shape})]


def _input_fans_out(w: ModelWriter) -> Sequence[str]:
    x = w.input("x", X3)
    return [w.op("SIN", [x], {"y": X3}), w.op("COS", [x], {"u": X3})]


def _constant_fans_out(w: ModelWriter) -> Sequence[str]:
    half = w.constant("h", data(1, 6, 8).astype(np.float16))
    unpacked = w.op("DEQUANTIZE", [half], {"c": X3})
    x = w.input("x", X3)
    return [w.op("ADD", [x, unpacked], {"y": X3}), w.op("MUL", [x, unpacked], {"u": X3})]


def _flattened_map(w: ModelWriter) -> Sequence[str]:
    """A convolution's map as tokens, which are an output, feed two linear layers and are reduced."""
    made = convolution(w, w.input("x", X4), X4)
    tokens = w.op("RESHAPE", [made, w.constant("s", ints(1, 16, 8))], {"t": (1, 16, 8)}, newShape=[1, 16, 8])
    first = linear(w, tokens, (1, 16, 4), "a", keepNumDims=True)
    second = linear(w, tokens, (1, 16, 8), "b", keepNumDims=True)
    return [first, second, w.op("REDUCE_MAX", [tokens, w.constant("axes", ints(2))], {"m": (1, 16)}), tokens]


def _probe(name: str, about: str, build: Build, triggers: str = "", must_not_trigger: tuple[str, ...] = ()) -> Probe:
    """A probe that is wrong if it triggers a rule, except for the token fan-out, which this delegate does not have."""
    does = WRONG if triggers and triggers != _TOKENS else ACCEPTED
    return Probe(name, about, Behaviour(does), build, triggers, must_not_trigger)


def _reduced(name: str, about: str, kind: str, rule: str = "", must_not_trigger: tuple[str, ...] = (), **options: Any) -> Probe:
    return _probe(name, about, partial(_sum, kind=kind, **options), rule, must_not_trigger)


def _fused(
    name: str, first: str, *then: str, rule: str = "", must_not_trigger: tuple[str, ...] = (), output: bool = True
) -> Probe:
    about = f"{first} read by {' and '.join(then)}, {'an output' if output else 'no output'}"
    return _probe(name, about, partial(_chain, first=first, then=then, output=output), rule, must_not_trigger)


def _fan_out(name: str, shape: Shape, uses: str, triggers: bool = False) -> Probe:
    about = f"{list(shape)} made in the graph: {uses}"
    return _probe(
        name, about, partial(_tokens, shape=shape, uses=uses), _TOKENS if triggers else "", () if triggers else (_TOKENS,)
    )


_W4 = "add-into-reduce-max"
_INPUT = "input-is-output"
_MAP: Shape = (1, 2, 3, 8)
PROBES: tuple[Probe, ...] = (
    _reduced("add_amax", "the maximum of a sum starts from the second operand", "REDUCE_MAX", _W4),
    _reduced("add_amin", "the minimum of a sum", "REDUCE_MIN", _W4),
    _reduced("add_amax_tokens", "the maximum of a sum over the tokens", "REDUCE_MAX", _W4, axis=1),
    _reduced("add_amax_two_readers", "the sum has a second reader", "REDUCE_MAX", must_not_trigger=(_W4,), second=True),
    _reduced("add_sum", "the sum of a sum", "SUM", must_not_trigger=(_W4, _REDUCED)),
    _reduced("add_sum_output", "a sum that is summed and an output is its first operand", "SUM", _REDUCED, output=True),
    _reduced("add_mean_output", "the same with MEAN", "MEAN", _REDUCED, output=True),
    _reduced("add_max_output", "the same with REDUCE_MAX", "REDUCE_MAX", _REDUCED, output=True),
    _reduced("add_sum_output_axis_1", "the same over the tokens", "SUM", _REDUCED, axis=1, output=True),
    _reduced(
        "add_sum_output_two_readers", "with a second reader", "SUM", must_not_trigger=(_REDUCED,), output=True, second=True
    ),
    _probe(
        "sub_sum_output", "a difference instead of a sum", partial(_made_and_reduced, kind="SUB"), must_not_trigger=(_REDUCED,)
    ),
    _probe(
        "mul_sum_output", "a product instead of a sum", partial(_made_and_reduced, kind="MUL"), must_not_trigger=(_REDUCED,)
    ),
    _probe(
        "add_mul_output",
        "a sum that is an output and multiplied",
        partial(_sum_and_read, kind="MUL"),
        must_not_trigger=(_REDUCED,),
    ),
    _probe(
        "add_sin_output",
        "a sum that is an output and read by SIN",
        partial(_sum_and_read, kind="SIN"),
        must_not_trigger=(_REDUCED,),
    ),
    _probe(
        "add_fc_output",
        "a sum that is an output and read by a linear layer",
        partial(_sum_and_read, kind="FULLY_CONNECTED"),
        must_not_trigger=(_REDUCED, _FORWARD),
    ),
    _fused("add_conv_output", "ADD", "CONV_2D", rule=_FORWARD),
    _fused("mul_conv_output", "MUL", "CONV_2D", rule=_FORWARD),
    _fused("add_fc_const_output", "ADD", "FULLY_CONNECTED", rule=_FORWARD),
    _fused("mul_fc_const_output", "MUL", "FULLY_CONNECTED", rule=_FORWARD),
    _fused("mul_depthwise_output", "MUL", "DEPTHWISE_CONV_2D", rule=_FORWARD),
    _fused("mul_number_conv_output", "MUL number", "CONV_2D", rule=_FORWARD),
    _fused("mul_conv", "MUL", "CONV_2D", must_not_trigger=(_FORWARD,), output=False),
    _fused("mul_two_fc_output", "MUL", "FULLY_CONNECTED", "FULLY_CONNECTED", must_not_trigger=(_FORWARD,)),
    _fused("conv_mul_output", "CONV_2D", "MUL", rule=_BACKWARD),
    _fused("conv_add_output", "CONV_2D", "ADD", rule=_BACKWARD),
    _fused("conv_mul_number_output", "CONV_2D", "MUL number", rule=_BACKWARD),
    _fused("depthwise_mul_output", "DEPTHWISE_CONV_2D", "MUL", rule=_BACKWARD),
    _fused("fc_mul_output", "FULLY_CONNECTED", "MUL", rule=_BACKWARD),
    _fused("conv_mul", "CONV_2D", "MUL", must_not_trigger=(_BACKWARD,), output=False),
    _fused("conv_mul_add_output", "CONV_2D", "MUL", "ADD", must_not_trigger=(_BACKWARD,)),
    # The CPU's outputs are garbage too.
    replace(
        _probe("input_output", "a graph input that is an output", _passed_on, _INPUT),
        reference=lambda values: {"y": values["x"] * values["z"], "x": values["x"]},
    ),
    _probe("input_copied", "a copy of a graph input that is an output", _copied, must_not_trigger=(_INPUT,)),
    _fan_out("tokens_read_and_output", X3, "read and output", triggers=True),
    _fan_out("tokens_two_readers", X3, "two readers", triggers=True),
    _probe("tokens_of_a_map", "a flattened map that is an output, projected twice and reduced", _flattened_map, _TOKENS),
    _fan_out("tokens_leaf", X3, "leaf"),
    _fan_out("tokens_one_reader", X3, "one reader"),
    _fan_out("tokens_one_reader_twice", X3, "one reader, twice"),
    _fan_out("map_read_and_output", _MAP, "read and output"),
    _fan_out("map_two_readers", _MAP, "two readers"),
    _fan_out("rows_two_readers", X2, "two readers"),
    _fan_out("batch_two_readers", (2, 3, 8), "two readers"),
    _fan_out("one_token_two_readers", (1, 1, 8), "two readers"),
    _probe("tokens_input_fans_out", "a graph input with two readers", _input_fans_out, must_not_trigger=(_TOKENS,)),
    _probe(
        "tokens_constant_fans_out", "an unpacked constant with two readers", _constant_fans_out, must_not_trigger=(_TOKENS,)
    ),
)
