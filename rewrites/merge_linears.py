"""Computes linear layers that follow each other as one.

Hazard: each linear layer is a dispatch, and so is the reshape between two that count channels differently. The distances of a
box are an expectation, sixteen times a layer with one result; they are then reordered, shifted and multiplied by the box's
size, and a third layer makes corners of them.

Identities, with P a layer's weights, ``x * y`` the product of equal channels, and ``rows`` a reshape that joins G rows::

    Q (P x)                 = (Q P) x
    Q (rows (P x))          = (Q diag(P, …, P)) rows(x)
    Q (x * (W y))           = (Q x) * (V y)     if the channels of x that a row of Q adds are multiplied by equal rows of W

Given::

    %d = aten.reshape(aten.linear(%x, %p), [1, 300, 4])            # %x: [1200, 33], %p: [1, 33]
    %s = aten.linear(%d, %o, %b)                                   # %o: [4, 4]
    %y = aten.linear(aten.mul(%s, aten.linear(%box, %w)), %q)      # %w, %q: [4, 4]

Result::

    %s = aten.linear(aten.reshape(%x, [1, 300, 132]), %opq, %bq)
    %y = aten.mul(%s, aten.linear(%box, %v))

Does not fire where something else reads what is between, on parameters computed at run time, nor where the merged layer would
have more weights than both, more than 1024 of them. Exact up to the order of summation (1e-6). Evidence: measured on
SwiftShader, the example with its softmax takes 11 dispatches instead of 13.
"""

from __future__ import annotations

import torch
from torch import Tensor, fx

from detr2litert.graphs.op_traits import RESHAPES, UNIT_VIEWS
from detr2litert.graphs.toolbox import (
    Emitter,
    argument,
    aten,
    calls,
    constant_of,
    has_constant_parameters,
    is_call,
    only_user,
    remove_dead_code,
    replace,
    sizes,
    value_of,
)
from detr2litert.rewrites.contract import Findings, Miss, Site, fired, missed, rewrite

_SMALL = 1024


@rewrite(after=("vectorise_channels", "fold_scales"), before=("split_clamp", "reduce_rank"))
def merge_linears(graph_module: fx.GraphModule) -> Findings:
    found: list[Site | Miss] = []
    for node in calls(graph_module, aten.linear.default):
        if not node.users or not has_constant_parameters(graph_module, node):
            continue
        node, sites = _past_products(graph_module, node)
        found += sites
        found += _merged(graph_module, node)
    return found


def _merged(graph_module: fx.GraphModule, outer: fx.Node) -> list[Site | Miss]:
    """Merges a layer with the one that it reads, perhaps through a reshape that joins rows."""
    between = inner = outer.all_input_nodes[0]
    views = []
    while is_call(inner, *RESHAPES, *UNIT_VIEWS):
        views.append(inner)
        inner = inner.all_input_nodes[0]
    if not is_call(inner, aten.linear.default) or not has_constant_parameters(graph_module, inner):
        return []
    if any(only_user(node) is None for node in (inner, *views)):
        return [missed(outer, f"{inner.name} is read by another operator as well")]
    weight, bias = _parameters(graph_module, outer)
    first, shift = _parameters(graph_module, inner)
    joined, remainder = divmod(weight.shape[1], first.shape[0])
    if remainder or not _joins_rows(inner, between, weight.shape[1]):
        return [missed(outer, f"the reshape after {inner.name} does not join its rows")]
    merged = weight @ torch.kron(torch.eye(joined), first)
    if merged.numel() > max(_SMALL, weight.numel() + first.numel()):
        return [missed(outer, f"merged with {inner.name} it would have {merged.numel()} weights")]
    emit = Emitter(graph_module, outer)
    x = inner.all_input_nodes[0]
    if between is not inner:
        *rows, channels = sizes(value_of(between).shape)
        x = emit(aten.reshape.default, x, [*rows, channels // first.shape[0] * first.shape[1]])
    result = _linear(emit, x, merged, bias + weight @ shift.repeat(joined))
    site = fired(outer, f"with {inner.name}")
    replace(outer, result)
    return [site]


def _joins_rows(inner: fx.Node, between: fx.Node, channels: int) -> bool:
    """Returns True if a row that the outer layer reads is made of whole results of the inner one."""
    results = value_of(inner).numel()
    return value_of(between).shape[-1] == channels and results == value_of(between).numel()


def _past_products(graph_module: fx.GraphModule, outer: fx.Node) -> tuple[fx.Node, list[Site | Miss]]:
    """Moves a layer before the product that it reads, if it can be; returns the layer and what was found."""
    product = outer.all_input_nodes[0]
    if not is_call(product, aten.mul.Tensor) or len(product.all_input_nodes) != 2 or only_user(product) is not outer:
        return outer, []
    weight, bias = _parameters(graph_module, outer)
    if bias.any():
        return outer, []
    for factor in product.all_input_nodes:
        other = next(node for node in product.all_input_nodes if node is not factor)
        if not is_call(factor, aten.linear.default) or only_user(factor) is not product:
            continue
        if value_of(factor).shape != value_of(other).shape or not has_constant_parameters(graph_module, factor):
            continue
        rows = _equal_rows(weight, torch.cat([t.view(weight.shape[1], -1) for t in _parameters(graph_module, factor)], 1))
        if rows is None:
            continue
        emit = Emitter(graph_module, outer)
        moved = _linear(emit, other, weight, bias)
        factors = _linear(emit, factor.all_input_nodes[0], rows[:, :-1], rows[:, -1])
        site = fired(outer, f"before the product with {factor.name}")
        replace(outer, emit(aten.mul.Tensor, moved, factors))
        remove_dead_code(graph_module)  # the old product reads what may be merged next
        return moved, [site]
    return outer, []


def _equal_rows(weight: Tensor, factors: Tensor) -> Tensor | None:
    """Returns for each row of a layer the one row of ``factors`` that multiplies all its channels; None if they differ."""
    found = []
    for row in weight:
        used = factors[row != 0]
        if len(used) == 0 or not torch.equal(used, used[:1].expand_as(used)):
            return None
        found.append(used[0])
    return torch.stack(found)


def _parameters(graph_module: fx.GraphModule, layer: fx.Node) -> tuple[Tensor, Tensor]:
    """Returns a layer's weights, in rows, and its bias, zeros if it has none."""
    weight = constant_of(graph_module, layer.args[1])
    bias = constant_of(graph_module, argument(layer, 2, "bias", None))
    assert weight is not None
    weight = weight.view(-1, weight.shape[-1])  # a vector has one result, without a dimension of its own
    return weight, torch.zeros(weight.shape[0]) if bias is None else bias.view(-1)


def _linear(emit: Emitter, x: fx.Node, weight: Tensor, bias: Tensor) -> fx.Node:
    parameters = [emit.constant(weight, "merged_weight"), *([emit.constant(bias, "merged_bias")] if bias.any() else [])]
    return emit(aten.linear.default, x, *parameters)
