"""Layers operator by operator as litert-torch 0.10 emits them, beside rewritten and hand-written forms of the same layer."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from detr2litert.host_runtime.tflite.writer import ModelWriter
from detr2litert.verify.probe.build import ACCEPTED, REFUSED, WRONG, X3, X4, convolution, data, ints, linear
from detr2litert.verify.probe.probe import Probe

_ND, _TO, _FORWARD = "gather-nd", "broadcast-to", "output-fused-forward"
_TOKENS = (6,)
_COLUMN = (1, 6, 1)
_MAP = (1, 8, 4, 4)
_GROUPS = (1, 2, 4, 16)  # two groups of four channels
_OF_GROUP = (1, 2, 1, 1)
_POINTS = (1, 4, 3, 2)  # four channels sampled at 3 x 2 points of a 5 x 5 map


def _reshape(w: ModelWriter, source: str, name: str, *shape: int) -> str:
    return w.op("RESHAPE", [source, w.constant(f"{name}_shape", ints(*shape))], {name: shape}, newShape=list(shape))


def _number(w: ModelWriter, name: str, value: float) -> str:
    return w.constant(name, np.array(value, np.float32))


def _layer_norm(w: ModelWriter) -> Sequence[str]:
    """A layer norm that is an output and read by a linear layer, into whose weights the converter folds scale and shift."""
    x, axes = w.input("x", X3), w.constant("axes", ints(0, 2))
    mean = w.op("MEAN", [x, axes], {"m": _TOKENS})
    squares = w.op("SQUARED_DIFFERENCE", [x, _reshape(w, mean, "mc", *_COLUMN)], {"q": X3})
    variance = w.op("MEAN", [squares, axes], {"v": _TOKENS})
    shifted = w.op("ADD", [variance, _number(w, "eps", 1e-5)], {"e": _TOKENS})
    root = w.op("RSQRT", [shifted], {"r": _TOKENS})
    moved = w.op("MUL", [root, mean], {"rm": _TOKENS})
    negative = w.op("SUB", [_number(w, "zero", 0), moved], {"n": _TOKENS})
    scaled = w.op("MUL", [x, _reshape(w, root, "rc", *_COLUMN)], {"s": X3})
    normed = w.op("ADD", [scaled, _reshape(w, negative, "nc", *_COLUMN)], {"t": X3})
    weighted = w.op("MUL", [normed, w.constant("g", data(8))], {"w": X3})
    output = w.op("ADD", [weighted, w.constant("b", data(8, seed=1))], {"y": X3})
    return [output, linear(w, normed, X3, keepNumDims=True)]


def _layer_norm_by_hand(w: ModelWriter) -> Sequence[str]:
    """The same with scale and shift as operators, so that the linear layer reads a sum with a constant."""
    x, axes = w.input("x", X3), w.constant("axes", ints(2))
    mean = w.op("MEAN", [x, axes], {"m": _COLUMN}, keepDims=True)
    centred = w.op("SUB", [x, mean], {"c": X3})
    variance = w.op("MEAN", [w.op("MUL", [centred, centred], {"q": X3}), axes], {"v": _COLUMN}, keepDims=True)
    shifted = w.op("ADD", [variance, _number(w, "eps", 1e-5)], {"e": _COLUMN})
    normed = w.op("MUL", [centred, w.op("RSQRT", [shifted], {"r": _COLUMN})], {"n": X3})
    weighted = w.op("MUL", [normed, w.constant("g", data(8))], {"w": X3})
    output = w.op("ADD", [weighted, w.constant("b", data(8, seed=1))], {"y": X3})
    return [output, linear(w, output, X3, keepNumDims=True)]


def _scaled_and_shifted(w: ModelWriter) -> Sequence[str]:
    scaled = w.op("MUL", [w.input("x", X4), w.constant("g", data(8))], {"s": X4})
    output = w.op("ADD", [scaled, w.constant("b", data(8, seed=1))], {"y": X4})
    return [output, convolution(w, output, X4)]


def _group_statistics(w: ModelWriter, groups: str) -> tuple[str, str]:
    """Mean and reciprocal deviation of each group, ``[1, G, 1, 1]``."""
    axes = w.constant("axes", ints(2, 3))
    mean = w.op("MEAN", [groups, axes], {"m": _OF_GROUP}, keepDims=True)
    centred = w.op("SUB", [groups, mean], {"c": _GROUPS})
    variance = w.op("MEAN", [w.op("MUL", [centred, centred], {"q": _GROUPS}), axes], {"v": (1, 2)})
    shifted = w.op("ADD", [variance, _number(w, "eps", 1e-5)], {"e": (1, 2)})
    return mean, w.op("RSQRT", [_reshape(w, shifted, "ec", *_OF_GROUP)], {"r": _OF_GROUP})


def _group_norm(w: ModelWriter) -> Sequence[str]:
    """A group norm without weights: each group's scale and shift is broadcast to the group's channels."""
    x = w.input("x", _MAP)
    mean, root = _group_statistics(w, _reshape(w, x, "groups", *_GROUPS))
    negative = w.op("MUL", [mean, _number(w, "minus", -1)], {"n": _OF_GROUP})
    shift = w.op("MUL", [negative, root], {"d": _OF_GROUP})
    shape = w.constant("shape", ints(1, 2, 4, 1))
    scales, shifts = (w.op("BROADCAST_TO", [each, shape], {f"{each}_b": (1, 2, 4, 1)}, version=2) for each in (root, shift))
    scaled = w.op("MUL", [x, _reshape(w, scales, "rows", 1, 8, 1, 1)], {"s": _MAP})
    return [w.op("ADD", [scaled, _reshape(w, shifts, "moves", 1, 8, 1, 1)], {"y": _MAP})]


def _group_norm_in_groups(w: ModelWriter) -> Sequence[str]:
    """The same, scaled while each group is a row, so that nothing needs broadcasting."""
    groups = _reshape(w, w.input("x", _MAP), "groups", *_GROUPS)
    mean, root = _group_statistics(w, groups)
    normed = w.op("MUL", [w.op("SUB", [groups, mean], {"z": _GROUPS}), root], {"t": _GROUPS})
    return [_reshape(w, normed, "y", *_MAP)]


def _grid_sample(w: ModelWriter) -> Sequence[str]:
    """One of the four corners of a bilinear grid_sample: the pixels' indices, and the gather."""
    every, last = (*_POINTS, 2), (*_POINTS, 1)
    grid = _reshape(w, w.input("grid", (1, 3, 2, 2)), "g5", 1, 1, 3, 2, 2)
    for_all = w.op("BROADCAST_TO", [grid, w.constant("all", ints(*every))], {"gb": every}, version=2)
    indices = []
    for axis, name in enumerate("xy"):
        start, size = w.constant(f"{name}_from", ints(0, 0, 0, 0, axis)), w.constant(f"{name}_size", ints(*last))
        part = _reshape(w, w.op("SLICE", [for_all, start, size], {f"{name}5": last}), f"{name}4", *_POINTS)
        pixels = w.op("MUL", [part, _number(w, f"{name}_half", 2.5)], {f"{name}m": _POINTS})
        pixels = w.op("ADD", [pixels, _number(w, f"{name}_centre", 2)], {f"{name}p": _POINTS})
        corner = _reshape(w, w.op("FLOOR", [pixels], {f"{name}f": _POINTS}), f"{name}n", *last)
        indices.append(w.op("CAST", [corner], {f"{name}i": last}, dtype="int32"))
    batch = w.constant("batch", np.zeros(last, np.int32))
    channel = w.constant("channel", np.broadcast_to(np.arange(4, dtype=np.int32).reshape(1, 4, 1, 1, 1), last))
    where = w.op("CONCATENATION", [batch, channel, *reversed(indices)], {"at": (*_POINTS, 4)}, dtype="int32", axis=4)
    return [w.op("GATHER_ND", [w.input("x", (1, 4, 5, 5)), where], {"y": _POINTS})]


def _log_of_zero(w: ModelWriter) -> Sequence[str]:
    return [w.op("EXP", [w.op("LOG", [w.input("x", X4)], {"l": X4})], {"y": X4})]


PROBES: tuple[Probe, ...] = (
    Probe("emitted_layer_norm", "a layer norm, an output and read by a linear layer", ACCEPTED, _layer_norm,
          must_not_trigger=(_FORWARD,)),
    Probe("layer_norm_by_hand", "the same as it is written by hand", WRONG, _layer_norm_by_hand, triggers=_FORWARD),
    Probe("scale_shift_conv_output", "scaled and shifted, an output and read by CONV_2D", WRONG, _scaled_and_shifted,
          triggers=_FORWARD),
    Probe("emitted_group_norm", "a group norm", REFUSED, _group_norm, triggers=_TO),
    Probe("group_norm_in_groups", "a group norm scaled within its groups", ACCEPTED, _group_norm_in_groups,
          must_not_trigger=(_TO,)),
    Probe("emitted_grid_sample", "one corner of a grid_sample", REFUSED, _grid_sample, triggers=_ND),
    # LOG of 0 is -88 on SwiftShader and -inf on lavapipe.
    Probe("log_of_zero", "EXP of LOG of 0 is 0, whatever LOG returns", ACCEPTED, _log_of_zero,
          values={"x": np.zeros(X4, np.float32)}),
)  # fmt: skip
