"""Faults in the rewrites, in the cut, and in the graph before them."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
from torch import Tensor, fx

from detr2litert.graphs import host_step, partition
from detr2litert.graphs.native_ops import GATHER_ROWS, TOP_ROWS
from detr2litert.graphs.partition import Layout
from detr2litert.graphs.toolbox import Emitter, aten, calls, sizes, value_of
from detr2litert.rewrites import iterate_topk, lower_layer_norm, sampling
from detr2litert.rewrites.layer_norm import LayerNorm, layer_norms
from tests.convert.planted.fault import Fault, Plant, after
from tests.convert.planted.native_faults import NATIVE_FAULTS

_SELECT_INSIDE = partition.select_inside
_FROM_CENTRE = sampling._from_centre
_GUARD = -math.log(1e-5)


def _sampled_at(positions: Any) -> Plant:
    """Sampling positions computed in another way."""
    return lambda patch: patch.setattr(sampling, "_from_centre", positions)


def _swapped(emit: Emitter, grid: object, axis: int, size: int, align_corners: bool) -> fx.Node:
    return _FROM_CENTRE(emit, grid, 1 - axis, size, align_corners)


def _other_corners(emit: Emitter, grid: object, axis: int, size: int, align_corners: bool) -> fx.Node:
    return _FROM_CENTRE(emit, grid, axis, size, not align_corners)


def _whole_pixels(emit: Emitter, grid: object, axis: int, size: int, align_corners: bool) -> fx.Node:
    return emit(aten.add.Tensor, _FROM_CENTRE(emit, grid, axis, size, align_corners), 0.5)


def _clamped(emit: Emitter, grid: object, axis: int, size: int, align_corners: bool) -> fx.Node:
    return emit(aten.clamp.default, _FROM_CENTRE(emit, grid, axis, size, align_corners), (1 - size) / 2, (size - 1) / 2)


def _clamped_at_the_last_cell(emit: Emitter, positions: fx.Node, pixels: Tensor) -> fx.Node:
    """A tent that counts points beyond the last row or column as on it; before the first one they are outside."""
    last = emit(aten.clamp.default, positions, -1e4, float(pixels.max()))
    distance = emit(aten.abs.default, emit(aten.sub.Tensor, last, emit.constant(pixels, "pixels")))
    return emit(aten.relu.default, emit(aten.rsub.Scalar, distance, 1.0))


def _half_as_wide(emit: Emitter, positions: fx.Node, pixels: Tensor) -> fx.Node:
    """A tent of half the width: a pixel has weight only within half a pixel of a point."""
    twice = emit(aten.mul.Tensor, emit(aten.sub.Tensor, positions, emit.constant(pixels, "pixels")), 2.0)
    return emit(aten.relu.default, emit(aten.rsub.Scalar, emit(aten.abs.default, twice), 1.0))


def _selects_inside(change: Callable[[fx.GraphModule], None]) -> Plant:
    """One graph whose selection is changed."""

    def wrong(graph_module: fx.GraphModule, *selection: Any) -> None:
        _SELECT_INSIDE(graph_module, *selection)
        change(graph_module)
        graph_module.recompile()

    return lambda patch: patch.setattr(partition, "select_inside", wrong)


def _the_lowest_scores(graph_module: fx.GraphModule) -> None:
    (top,) = calls(graph_module, TOP_ROWS)
    top.args = (Emitter(graph_module, top)(aten.neg.default, top.args[0]), top.args[1])


def _rows_of_another_table(graph_module: fx.GraphModule) -> None:
    """The first table is read a row too high; the last row stays."""
    gather = calls(graph_module, GATHER_ROWS)[0]
    table, emit = gather.args[0], Emitter(graph_module, gather)
    rows = emit(aten.slice.Tensor, table, 0, 1), emit(aten.slice.Tensor, table, 0, -1)
    gather.args = (emit(aten.cat.default, list(rows), 0), gather.args[1])


def _set_argument(target: Any, index: int, old: Any, new: Any) -> Any:
    def mutation(graph_module: fx.GraphModule) -> int:
        changed = [node for node in calls(graph_module, target) if node.args[index] == old]
        for node in changed:
            node.update_arg(index, new)
        return len(changed)

    return mutation


def masks_all_equal_values(emit: Emitter, x: fx.Node, k: int, mask: float) -> fx.Node:
    """As ``iterate_topk._rounds``, but each round masks every value that equals the largest, not only the first."""
    found = []
    for _ in range(k):
        largest = emit(aten.amax.default, x, [-1], True)
        found.append(largest)
        equal = emit(aten.rsub.Scalar, emit(aten.sign.default, emit(aten.sub.Tensor, largest, x)), 1.0)
        x = emit(aten.sub.Tensor, x, emit(aten.mul.Tensor, equal, mask))
    return emit(aten.cat.default, found, -1)


def _logits_clamped_early(graph_module: fx.GraphModule) -> int:
    """The clamp that stands for a guarded logit, at ±11.5, at half of that: the sigmoid saturates at 0.997."""
    changed = [node for node in calls(graph_module, aten.clamp.default) if list(node.args[1:]) == [-_GUARD, _GUARD]]
    for node in changed:
        node.args = (node.args[0], -_GUARD / 2, _GUARD / 2)
    return len(changed)


def _unscaled_queries(graph_module: fx.GraphModule) -> int:
    changed = 0
    for node in calls(graph_module, aten.mul.Tensor):
        if isinstance(node.args[1], float) and any(user.target is aten.matmul.default for user in node.users):
            node.update_arg(1, 1.0)
            changed += 1
    return changed


def _windows_by_columns(graph_module: fx.GraphModule) -> int:
    """The first six-dimensional transpose, which sorts patches into windows, counts the windows column by column."""
    for node in calls(graph_module, aten.transpose.int):
        if value_of(node).dim() == 6:
            node.target = aten.permute.default
            node.args = (node.args[0], [0, 3, 1, 2, 4, 5])
            return 1
    return 0


def _levels_reversed(graph_module: fx.GraphModule) -> int:
    """The concatenation of the levels' tokens, ``[1, N, C]``, in the opposite order."""
    for node in calls(graph_module, aten.cat.default):
        parts, shape = list(node.args[0]), sizes(value_of(node).shape)  # type: ignore[arg-type]
        if len(parts) == 3 and len(shape) == 3 and shape[0] == 1 and len({value_of(p).shape[1] for p in parts}) == 3:
            node.update_arg(0, parts[::-1])
            return 1
    return 0


def _first_points_for_all_layers(graph_module: fx.GraphModule) -> int:
    """Every decoder layer attends around the reference points of the first one, ``[1, Q, 1, 4]``."""
    points = [
        node
        for node in calls(graph_module, aten.unsqueeze.default)
        if value_of(node).dim() == 4 and sizes(value_of(node).shape)[2:] == [1, 4]
    ]
    for node in points[1:]:
        node.update_arg(0, points[0].args[0])
    return len(points) - 1


def _first_bias_lost(graph_module: fx.GraphModule) -> int:
    conv = next(node for node in calls(graph_module, aten.conv2d.default) if len(node.args) > 2 and node.args[2] is not None)
    conv.update_arg(2, None)
    return 1


def _embedding_mirrored(graph_module: fx.GraphModule) -> int:
    """The position embedding, a constant ``[1, N, C]`` that is added to tokens, mirrored."""
    for node in calls(graph_module, aten.add.Tensor):
        for operand in node.all_input_nodes:
            if operand.op == "get_attr" and value_of(operand).dim() == 3 and value_of(operand).shape[1] > 1:
                constant = getattr(graph_module, str(operand.target))
                setattr(graph_module, str(operand.target), constant.flip(1))
                return 1
    return 0


def _scores_all_alike(graph_module: fx.GraphModule) -> int:
    """The scores that queries are selected by become zero, so that the selection is arbitrary."""
    scores = list(calls(graph_module, aten.amax.default))
    for node in scores:
        with graph_module.graph.inserting_after(node):
            zero = graph_module.graph.call_function(aten.mul.Tensor, (node, 0.0))
        zero.meta = dict(node.meta)
        node.replace_all_uses_with(zero, delete_user_cb=lambda user, zero=zero: user is not zero)
    return len(scores)


def _relu_for_gelu(graph_module: fx.GraphModule) -> int:
    for node in calls(graph_module, aten.gelu.default):
        node.target, node.kwargs = aten.relu.default, {}
    return 1


def _without_eps(patch: pytest.MonkeyPatch) -> None:
    def norms(graph_module: fx.GraphModule) -> Iterator[LayerNorm]:
        return (replace(norm, eps=0.0) for norm in layer_norms(graph_module))

    patch.setattr(lower_layer_norm, "layer_norms", norms)


def _tail_without_bias(patch: pytest.MonkeyPatch) -> None:
    patch.setitem(host_step._TRANSLATIONS, aten.linear.default, lambda node: ("linear", list(node.args[:2]), {}))


def _tail_with_wrong_eps(patch: pytest.MonkeyPatch) -> None:
    def wrong(node: fx.Node) -> Any:
        op, operands, _ = host_step._layer_norm(node)
        return op, operands, {"eps": 0.1}

    patch.setitem(host_step._TRANSLATIONS, aten.layer_norm.default, wrong)


_SAMPLING = r"rewrite fold_sampling of graph_b"

COMPILER_FAULTS = (
    Fault("x and y swapped in sampling", _sampled_at(_swapped), _SAMPLING),
    Fault("align_corners flipped", _sampled_at(_other_corners), _SAMPLING),
    Fault("half pixel dropped", _sampled_at(_whole_pixels), _SAMPLING),
    Fault("border padding for zeros", _sampled_at(_clamped), _SAMPLING),
    Fault(
        "tent clamped at the last cell", lambda patch: patch.setattr(sampling, "_tent", _clamped_at_the_last_cell), _SAMPLING
    ),
    Fault("tent of half the width", lambda patch: patch.setattr(sampling, "_tent", _half_as_wide), _SAMPLING),
    Fault(
        "softmax over the wrong axis",
        after("lower_attention", _set_argument(aten.softmax.int, 1, -1, -2)),
        r"lower_attention of graph_[ab]",
    ),
    Fault("queries not scaled", after("lower_attention", _unscaled_queries), r"lower_attention of graph_[ab]"),
    # dfine-tiny's norms have variances around one: there the change is within rounding (1e-5).
    Fault("layer norm without eps", _without_eps, r"lower_layer_norm of graph_[ab]", ("tiny",)),
    Fault("ReLU for GELU", after("remove_identities", _relu_for_gelu), r"remove_identities of detector"),
    Fault(
        "windows in another order", after("remove_identities", _windows_by_columns), r"remove_identities of detector", ("tiny",)
    ),
    Fault(
        "levels in another order",
        after("remove_identities", _levels_reversed),
        r"remove_identities of detector",
        ("dfine-tiny",),
    ),
    Fault(
        "reference points not refined",
        after("fold_batch_norm", _first_points_for_all_layers),
        r"fold_batch_norm of detector",
        ("dfine-tiny",),
    ),
    Fault("scores all alike", after("lower_max", _scores_all_alike), r"lower_max of detector"),
    Fault("bias lost when a batch norm is folded", after("fold_batch_norm", _first_bias_lost), r"fold_batch_norm of detector"),
    Fault("position embedding mirrored", after("evaluate_constants", _embedding_mirrored), r"evaluate_constants of detector"),
    # The two that no picture shows: rare inputs do (convert.proof.rare).
    Fault(
        "top-k that masks all equal values",
        lambda patch: patch.setattr(iterate_topk, "_rounds", masks_all_equal_values),
        r"rewrite iterate_topk of graph_b",
        ("dfine-tiny",),
    ),
    Fault(
        "logits clamped early",
        after("cancel_logit", _logits_clamped_early),
        r"cancel_logit of graph_b",
        ("dfine-tiny",),
        Layout.TAIL,  # the proposals are graph B's inputs and can be saturated
    ),
    Fault("tail on the host without a bias", _tail_without_bias, r"host step op linear", layout=Layout.TAIL),
    Fault("tail on the host with another eps", _tail_with_wrong_eps, r"host step op layer_norm", layout=Layout.TAIL),
    Fault("one graph that selects the worst", _selects_inside(_the_lowest_scores), r"the cut", layout=Layout.SINGLE),
    Fault("one graph that gathers other rows", _selects_inside(_rows_of_another_table), r"the cut", layout=Layout.SINGLE),
    *NATIVE_FAULTS,
)
