"""Checks of the delegate's own operators, which a file encodes as custom operators (``verify.probe.suite.native``)."""

from __future__ import annotations

import math
import struct
from collections.abc import Iterator, Mapping
from typing import Any

import flatbuffers.flexbuffers

from detr2litert.graphs.delegate import CUSTOM_CODES
from detr2litert.host_runtime.tflite.graph import Graph, Op
from detr2litert.verify.lint.op_support import Rule
from detr2litert.verify.lint.rules.find import Hit, shape_of

_SCALE, _BIAS = 1, 2  # positions among a norm's inputs


def custom_options(op: Op) -> Mapping[str, Any]:
    """Returns the flexbuffer map of a custom operator; an empty one where its options are absent or something else."""
    try:
        found = flatbuffers.flexbuffers.Loads(op.custom_options) if op.custom_options else {}
    except (AssertionError, IndexError, KeyError, OverflowError, TypeError, ValueError, struct.error):
        return {}
    return found if isinstance(found, Mapping) else {}


def unregistered_custom(graph: Graph, op: Op, rule: Rule) -> Iterator[Hit]:
    code = op.name.removeprefix("CUSTOM:")
    if code != op.name and code not in CUSTOM_CODES:
        yield Hit(f"the runtime has no custom operator {code}", op.outputs)


def missing_custom_options(graph: Graph, op: Op, rule: Rule) -> Iterator[Hit]:
    if not op.custom_options:
        yield Hit("no options", op.outputs)


def norm_operands(graph: Graph, op: Op, rule: Rule) -> Iterator[Hit]:
    """Finds what makes a norm's operands unacceptable: an RmsNorm ignores what follows its scale."""
    if not graph.is_runtime(op.inputs[0]):
        yield Hit("normalises a constant", op.inputs[:1])
    shape = shape_of(graph, op.inputs[0])
    if not 2 <= len(shape) <= 4:
        yield Hit(f"normalises a tensor of shape {shape}", op.inputs[:1])
    for position in (_SCALE,) if op.name.endswith(".RmsNorm") else (_SCALE, _BIAS):
        if position >= len(op.inputs):
            return
        name, tensor = ("scale", "bias")[position - _SCALE], op.inputs[position]
        if tensor < 0:
            yield Hit(f"the {name} is an absent input", op.inputs[:1])
        elif graph.is_runtime(tensor):
            yield Hit(f"the {name} is computed at run time", (tensor,))
        elif len(shape) >= 2 and [size for size in shape_of(graph, tensor) if size > 1] != [c for c in shape[-1:] if c > 1]:
            yield Hit(f"the {name} has shape {shape_of(graph, tensor)}, the input {shape}", (tensor,))


def norm_without_scale(graph: Graph, op: Op, rule: Rule) -> Iterator[Hit]:
    if len(op.inputs) <= _SCALE:
        yield Hit("no scale", op.outputs)


def group_norm_groups(graph: Graph, op: Op, rule: Rule) -> Iterator[Hit]:
    groups, channels = custom_options(op).get("num_groups"), graph.tensors[op.inputs[0]].shape[-1]
    if not isinstance(groups, int | float) or not math.isfinite(groups):
        yield Hit("num_groups is missing", op.outputs)
    elif int(groups) < 1 or channels % int(groups):
        yield Hit(f"{channels} channels in {int(groups)} groups", op.inputs[:1])


def resampler_operands(graph: Graph, op: Op, rule: Rule) -> Iterator[Hit]:
    for name, tensor in zip(("image", "points"), op.inputs, strict=True):
        if not graph.is_runtime(tensor):
            yield Hit(f"the {name} is constant", (tensor,))
    image, points = (graph.tensors[tensor].shape for tensor in op.inputs)
    if len(image) != 4 or len(points) != 4 or image[0] != points[0]:
        yield Hit(f"an image of shape {list(image)}, points of shape {list(points)}", op.inputs)


def transpose_conv_bias_operands(graph: Graph, op: Op, rule: Rule) -> Iterator[Hit]:
    for name, tensor in zip(("weights", "bias"), op.inputs[1:3], strict=False):
        if graph.is_runtime(tensor):
            yield Hit(f"{name} computed at run time", (tensor,))
