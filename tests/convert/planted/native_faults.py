"""Faults in the rewrites to the delegate's own operators, and in what graph B gathers by index."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
from torch import fx

from detr2litert.convert import compiler
from detr2litert.graphs.native_ops import GATHER_ROWS, RESAMPLE
from detr2litert.graphs.pixel_input import PixelScale, take_pixels
from detr2litert.graphs.toolbox import Emitter, aten, calls, constant_of, value_of
from detr2litert.rewrites import join_levels, use_layer_norm, use_resampler
from detr2litert.rewrites.layer_norm import LayerNorm, layer_norms
from tests.convert.planted.fault import Fault, Plant, after

_PIXELS = use_resampler._pixels
_MOVED = join_levels._moved


def _points(wrong: Callable[[Emitter, object, tuple[int, int], bool], fx.Node]) -> Plant:
    """The resampler's points computed in another way."""
    return lambda patch: patch.setattr(use_resampler, "_pixels", wrong)


def _swapped(emit: Emitter, grid: object, size: tuple[int, int], align_corners: bool) -> fx.Node:
    points = _PIXELS(emit, grid, size, align_corners)
    x, y = (emit(aten.slice.Tensor, points, 3, start, start + 1) for start in (0, 1))
    return emit(aten.cat.default, [y, x], -1)


def _half_a_pixel_off(emit: Emitter, grid: object, size: tuple[int, int], align_corners: bool) -> fx.Node:
    return emit(aten.add.Tensor, _PIXELS(emit, grid, size, align_corners), 0.5)


def _other_corners(emit: Emitter, grid: object, size: tuple[int, int], align_corners: bool) -> fx.Node:
    return _PIXELS(emit, grid, size, not align_corners)


def _norms(**changed: Any) -> Plant:
    """Native norms with other parameters; the portable ones are not affected."""

    def norms(graph_module: fx.GraphModule) -> Iterator[LayerNorm]:
        return (replace(norm, **changed) for norm in layer_norms(graph_module))

    def plant(patch: pytest.MonkeyPatch) -> None:
        patch.setattr(use_layer_norm, "layer_norms", norms)

    return plant


def _a_column_off(emit: Emitter, levels: Any, layout: Any) -> fx.Node:
    """The points of every level are moved to a place one column beside it."""
    return _MOVED(emit, levels, replace(layout, places=tuple((top, left + 1) for top, left in layout.places)))


def _not_clamped(graph_module: fx.GraphModule) -> int:
    """Points beyond a level reach its neighbours on the map of all levels."""
    changed = 0
    for node in calls(graph_module, RESAMPLE):
        bounds = node.all_input_nodes[1]
        while bounds.target not in (aten.maximum.default, aten.add.Tensor):
            bounds = bounds.all_input_nodes[0]
        if bounds.target is aten.maximum.default:
            (upper,) = bounds.users
            upper.replace_all_uses_with(bounds.all_input_nodes[0])
            changed += 1
    return changed


def _next_row(graph_module: fx.GraphModule) -> int:
    """Every gather by index selects the row after the right one, the last excepted."""
    gathers = calls(graph_module, GATHER_ROWS)
    for node in gathers:
        table, indices = node.all_input_nodes
        emit = Emitter(graph_module, node)
        following = emit(aten.add.Tensor, indices, 1)
        node.update_arg(1, emit(aten.clamp.default, following, 0, int(value_of(table).shape[0]) - 1))
    return len(gathers)


def _rolled_tables(graph_module: fx.GraphModule) -> int:
    """Every constant that is gathered from, the anchors, begins with its last row."""
    changed = 0
    for node in calls(graph_module, GATHER_ROWS):
        table, constant = node.all_input_nodes[0], constant_of(graph_module, node.all_input_nodes[0])
        if constant is not None:
            setattr(graph_module, str(table.target), constant.roll(1, 0))
            changed += 1
    return changed


def scaled_attention_if_native(graph_module: fx.GraphModule) -> int:
    """The queries of graph B's native form alone are half as large."""
    changed = 0
    for node in calls(graph_module, aten.mul.Tensor) if calls(graph_module, RESAMPLE) else ():
        if isinstance(node.args[1], float) and any(user.target is aten.matmul.default for user in node.users):
            node.update_arg(1, node.args[1] / 2)
            changed += 1
    return changed


def _phases_swapped(graph_module: fx.GraphModule) -> int:
    """Sines where cosines belong, and the reverse: the shifts of 0 and pi / 2 change places."""
    changed = 0
    for node in calls(graph_module, aten.sin.default):
        (layer,) = node.all_input_nodes
        if layer.target is aten.linear.default:
            bias = layer.all_input_nodes[2]
            phases = getattr(graph_module, str(bias.target))
            setattr(graph_module, str(bias.target), math.pi / 2 - phases)
            changed += 1
    return changed


def _pixels_of(**changed: Any) -> Plant:
    """Pixels scaled in another way."""

    def taken(graph_module: fx.GraphModule, scale: PixelScale) -> None:
        take_pixels(graph_module, replace(scale, **changed))

    return lambda patch: patch.setattr(compiler, "take_pixels", taken)


def _turned(graph_module: fx.GraphModule, scale: PixelScale) -> None:
    """Rows and columns of the pixels exchanged."""
    take_pixels(graph_module, scale)
    permute = next(node for node in graph_module.graph.nodes if node.target is aten.permute.default)
    permute.update_arg(1, [0, 3, 2, 1])


_PIXELS_IN = "the input of pixels"
_RESAMPLER = r"rewrite use_resampler of graph_b\.native"
_LEVELS = r"rewrite join_levels of graph_b\.native"
_NORM = r"rewrite use_layer_norm of graph_[ab]\.native"

NATIVE_FAULTS = (
    Fault("x and y swapped in the resampler", _points(_swapped), _RESAMPLER, native=True),
    Fault("resampler half a pixel off", _points(_half_a_pixel_off), _RESAMPLER, native=True),
    Fault("resampler with the scale of align_corners", _points(_other_corners), _RESAMPLER, native=True),
    Fault(
        "points a column beside their level",
        lambda p: p.setattr(join_levels, "_moved", _a_column_off),
        _LEVELS,
        ("dfine-tiny",),
        native=True,
    ),
    Fault("points not clamped to their level", after("join_levels", _not_clamped), _LEVELS, ("dfine-tiny",), native=True),
    Fault(
        "rows and columns of the pixels exchanged",
        lambda p: p.setattr(compiler, "take_pixels", _turned),
        _PIXELS_IN,
        ("dfine-tiny",),
        native=True,
    ),
    Fault("pixels divided by 256", _pixels_of(factor=(1 / 256,) * 3), _PIXELS_IN, ("dfine-tiny",), native=True),
    # dfine-tiny's norms have variances around one: there only a larger change is above rounding (1e-5).
    Fault("native norm without eps", _norms(eps=0.0), _NORM, ("tiny",), native=True),
    Fault("native norm with another eps", _norms(eps=1e-2), _NORM, native=True),
    Fault("native norm without bias", _norms(bias=None), _NORM, native=True),
    Fault("gather by index off by one", after("lift_tokens", _next_row), r"rewrite lift_tokens of graph_b"),
    Fault("gathered constant rolled by one", after("lift_tokens", _rolled_tables), r"rewrite lift_tokens of graph_b"),
    Fault(
        "native attention of another scale",
        after("use_resampler", scaled_attention_if_native),
        _RESAMPLER,
        native=True,
    ),
    Fault(
        "phases of sine and cosine swapped",
        after("fold_sinusoids", _phases_swapped),
        r"rewrite fold_sinusoids of graph_b",
        ("tiny",),
    ),
)
