"""Composites (STABLEHLO_COMPOSITE): operators with a decomposition. None can be used with the delegate of LiteRT 2.3.0.

Its parser knows odml.rms_norm, group_norm, scaled_dot_product_attention, sdpa_transposed, runtime_bmm, cache_update, rope,
qkv_norm_rope, swiglu and short_conv_step, and gated_delta_update. Where it accepts name and operands, the process ends with
SIGSEGV at compile time, whatever the attributes: measured for the first four, rope and swiglu; the others were not tried with
operands that it accepts. In a debugger, the delegate looks up the decomposition's subgraph, index 1, in a vector that is null.
With a decomposition of index 0 or -1 the runtime's own preparation of the composite fails instead (a cycle, or "subgraph_index
< subgraphs->size() was not true"). Every other name is refused, custom codes such as custom_call.LayerNorm among them; those
work as custom operators (``native``).
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import numpy as np

from detr2litert.host_runtime.tflite.writer import ModelWriter
from detr2litert.verify.probe.build import ACCEPTED, DIED, REFUSED, X3, X4, data, ints
from detr2litert.verify.probe.probe import Probe

_RULE = "composite"
_HEADS = (1, 4, 6, 8)  # batch, heads, tokens, channels


def _rms_body(w: ModelWriter) -> Sequence[str]:
    x, weight = w.input("x", X3), w.input("w", (8,))
    squares = w.op("MUL", [x, x], {"q": X3})
    mean = w.op("MEAN", [squares, w.constant("axes", ints(2))], {"m": (1, 6, 1)}, keepDims=True)
    shifted = w.op("ADD", [mean, w.constant("eps", np.array(1e-6, np.float32))], {"e": (1, 6, 1)})
    scaled = w.op("MUL", [x, w.op("RSQRT", [shifted], {"r": (1, 6, 1)})], {"n": X3})
    return [w.op("MUL", [scaled, weight], {"y": X3})]


def _norm_body(w: ModelWriter, affine: bool = True) -> Sequence[str]:
    """Layer norm as litert-torch writes it: a mean with keepdims, and the squared difference."""
    x = w.input("x", X3)
    operands = [w.input("g", (8,)), w.input("b", (8,))] if affine else []
    axes, mean = w.constant("axes", ints(2)), (1, 6, 1)
    average = w.op("MEAN", [x, axes], {"m": mean}, keepDims=True)
    squares = w.op("SQUARED_DIFFERENCE", [x, average], {"q": X3})
    variance = w.op("MEAN", [squares, axes], {"v": mean}, keepDims=True)
    shifted = w.op("ADD", [variance, w.constant("eps", np.array(1e-5, np.float32))], {"e": mean})
    centred = w.op("SUB", [x, average], {"c": X3})
    result = w.op("MUL", [centred, w.op("RSQRT", [shifted], {"r": mean})], {"n": X3})
    if operands:
        result = w.op("MUL", [result, operands[0]], {"s": X3})
        result = w.op("ADD", [result, operands[1]], {"y": X3})
    return [result]


def _group_body(w: ModelWriter) -> Sequence[str]:
    x, weight, bias = w.input("x", X4), w.input("g", (8,)), w.input("b", (8,))
    axes, mean = w.constant("axes", ints(1, 2, 3)), (1, 1, 1, 1)
    average = w.op("MEAN", [x, axes], {"m": mean}, keepDims=True)
    squares = w.op("SQUARED_DIFFERENCE", [x, average], {"q": X4})
    variance = w.op("MEAN", [squares, axes], {"v": mean}, keepDims=True)
    shifted = w.op("ADD", [variance, w.constant("eps", np.array(1e-5, np.float32))], {"e": mean})
    centred = w.op("SUB", [x, average], {"c": X4})
    result = w.op("MUL", [centred, w.op("RSQRT", [shifted], {"r": mean})], {"n": X4})
    return [w.op("ADD", [w.op("MUL", [result, weight], {"s": X4}), bias], {"y": X4})]


def _attention_body(w: ModelWriter) -> Sequence[str]:
    q, k, v = (w.input(name, _HEADS) for name in "qkv")
    scores = w.op("BATCH_MATMUL", [q, k], {"s": (1, 4, 6, 6)}, adjY=True)
    scaled = w.op("MUL", [scores, w.constant("scale", np.array(8**-0.5, np.float32))], {"d": (1, 4, 6, 6)})
    weights = w.op("SOFTMAX", [scaled], {"p": (1, 4, 6, 6)}, beta=1.0)
    return [w.op("BATCH_MATMUL", [weights, v], {"y": _HEADS})]


def _rms(w: ModelWriter, constant: bool) -> Sequence[str]:
    x = w.input("x", X3)
    weight = w.constant("w", data(8)) if constant else w.input("w", (8,))
    return [w.composite("odml.rms_norm", [x, weight], {"y": X3}, _rms_body, epsilon=1e-6)]


def _layer_norm(w: ModelWriter, name: str) -> Sequence[str]:
    operands = [w.input("x", X3), w.constant("g", data(8)), w.constant("b", data(8, seed=1))]
    return [w.composite(name, operands, {"y": X3}, _norm_body, epsilon=1e-5)]


def _group_norm(w: ModelWriter) -> Sequence[str]:
    operands = [w.input("x", X4), w.constant("g", data(8)), w.constant("b", data(8, seed=1))]
    return [w.composite("odml.group_norm", operands, {"y": X4}, _group_body, epsilon=1e-5, num_groups=1, channel_axis=3)]


def _attention(w: ModelWriter) -> Sequence[str]:
    heads = [w.input(name, _HEADS) for name in "qkv"]
    return [w.composite("odml.scaled_dot_product_attention", heads, {"y": _HEADS}, _attention_body, scale=8**-0.5)]


PROBES: tuple[Probe, ...] = (
    Probe("composite_rms_norm", "odml.rms_norm", DIED, partial(_rms, constant=True), triggers=_RULE),
    Probe(
        "composite_rms_runtime", "odml.rms_norm, weights at run time", REFUSED, partial(_rms, constant=False), triggers=_RULE
    ),
    Probe("composite_layer_norm", "odml.layer_norm", REFUSED, partial(_layer_norm, name="odml.layer_norm"), triggers=_RULE),
    Probe("composite_own", "a composite with a custom name", REFUSED, partial(_layer_norm, name="my.norm"), triggers=_RULE),
    Probe("composite_group_norm", "odml.group_norm", DIED, _group_norm, triggers=_RULE),
    Probe("composite_attention", "odml.scaled_dot_product_attention", DIED, _attention, triggers=_RULE),
    Probe(
        "layer_norm",
        "layer norm as litert-torch writes it",
        ACCEPTED,
        partial(_norm_body, affine=False),
        must_not_trigger=(_RULE,),
    ),
    Probe("attention", "attention as primitive operators", ACCEPTED, _attention_body, must_not_trigger=(_RULE,)),
    Probe("rms_norm", "RMS norm as primitive operators, weights at run time", ACCEPTED, _rms_body, must_not_trigger=(_RULE,)),
)
