"""Folds multiplications by constants into the preceding linear layer, and a norm's affine part into the layers after it.

Hazard: each is an elementwise op over a token tensor. Layer scale is two per block; the scale of attention is one per head
tensor; gamma and beta of a norm are two.

Identities::

    linear(x, W, b) * s          = linear(x, s W, s b)             s a number, or one value per output channel
    linear(n * g + c, W, b)      = linear(n, W g, b + W c)         for every reader of the norm

Given::

    %n = aten.layer_norm(%x, [C], %g, %c)
    %y = aten.linear(%n, %w, %b)
    %z = aten.mul(%y, %s)

Result::

    %n = aten.layer_norm(%x, [C], None, None)
    %z = aten.linear(%n, %w', %b')

A factor is also folded through views between the layer and the multiplication, if it is the same for all values of a channel.
Does not fire if the layer's result has another
reader, or if a norm's result has a reader that is not a linear layer. Exact up to the rounding of the folded weights (1e-6
relative).
"""

from __future__ import annotations

import torch
from torch import Tensor, fx

from detr2litert.graphs.op_traits import VIEWS
from detr2litert.graphs.toolbox import (
    Emitter,
    argument,
    aten,
    calls,
    constant_of,
    has_constant_parameters,
    is_call,
    only_user,
    replace,
    value_of,
)
from detr2litert.rewrites.contract import Findings, Miss, Site, fired, missed, rewrite


@rewrite(after=("lower_attention", "merge_scalars", "fold_batch_norm"))
def fold_scales(graph_module: fx.GraphModule) -> Findings:
    return [*_fold_norms(graph_module), *_fold_factors(graph_module)]


def _fold_factors(graph_module: fx.GraphModule) -> list[Site | Miss]:
    found: list[Site | Miss] = []
    for node in calls(graph_module, aten.mul.Tensor, aten.div.Tensor):
        x, factor = _factor(graph_module, node)
        if x is None or factor is None or value_of(node).shape != value_of(x).shape:
            continue
        layer, views = _layer_behind(x)
        if layer is None:
            found.append(missed(node, f"{x.name} is not the result of a linear layer with no other reader"))
            continue
        if not has_constant_parameters(graph_module, layer):
            found.append(missed(node, f"{layer.name} has weights computed from the image"))
            continue
        scale = _per_channel(factor, layer, views)
        if scale is None:
            found.append(missed(node, f"its factor {list(factor.shape)} does not vary over channels alone"))
            continue
        weight, bias = (constant_of(graph_module, argument(layer, i, "", None)) for i in (1, 2))
        assert weight is not None
        emit = Emitter(graph_module, layer)
        parameters = [emit.constant(weight * scale[:, None], "scaled_weight")]
        if bias is not None:
            parameters.append(emit.constant(bias * scale, "scaled_bias"))
        scaled = emit(aten.linear.default, layer.args[0], *parameters)
        found.append(fired(node, f"factor into {layer.name}"))
        replace(layer, scaled)
        replace(node, x if x is not layer else scaled)
    return found


def _factor(graph_module: fx.GraphModule, node: fx.Node) -> tuple[fx.Node | None, Tensor | None]:
    """Returns the scaled operand and the constant factor of a multiplication or division by a constant."""
    pairs = [(node.args[0], node.args[1])]
    if node.target is aten.mul.Tensor:
        pairs.append((node.args[1], node.args[0]))
    for x, other in pairs:
        if not isinstance(x, fx.Node) or constant_of(graph_module, x) is not None:
            continue
        factor = constant_of(graph_module, other)
        if factor is None and isinstance(other, int | float):
            factor = torch.tensor([float(other)])
        if factor is not None and factor.is_floating_point():
            return x, factor if node.target is aten.mul.Tensor else 1 / factor
    return None, None


def _layer_behind(x: fx.Node) -> tuple[fx.Node | None, list[fx.Node]]:
    """Returns the linear layer whose result is ``x`` if it has no other reader, and the views between, the first one first."""
    views: list[fx.Node] = []
    while is_call(x, *VIEWS) and only_user(x) is not None:
        views.insert(0, x)
        x = x.all_input_nodes[0]
    return (x if is_call(x, aten.linear.default) and only_user(x) is not None else None), views


def _per_channel(factor: Tensor, layer: fx.Node, views: list[fx.Node]) -> Tensor | None:
    """Returns the factor of each channel of the layer, or None if it also varies over something else."""
    if factor.numel() == 1:
        return factor.reshape(1)
    shape = value_of(layer).shape
    channels = torch.arange(shape[-1]).expand(shape)
    for view in views:
        channels = view.target(channels, *view.args[1:], **view.kwargs)  # type: ignore[operator]
    spread = factor.expand(channels.shape)
    scale = torch.ones(shape[-1])
    scale[channels.reshape(-1)] = spread.reshape(-1)
    return scale if torch.equal(scale[channels], spread) else None


def _fold_norms(graph_module: fx.GraphModule) -> list[Site | Miss]:
    found: list[Site | Miss] = []
    for norm in calls(graph_module, aten.layer_norm.default):
        gamma, beta = (constant_of(graph_module, argument(norm, i, "", None)) for i in (2, 3))
        readers = list(norm.users)
        if gamma is None or not readers or value_of(norm).shape[-1] != gamma.numel():
            continue
        if beta is None and argument(norm, 3, "bias", None) is not None:
            continue
        other = next((reader for reader in readers if not _is_layer_over(graph_module, reader, norm)), None)
        if other is not None:
            found.append(missed(norm, f"{other.name}, which reads it, is not a linear layer with constant weights"))
            continue
        emit = Emitter(graph_module, norm)
        bare = emit(norm.target, norm.args[0], norm.args[1], None, None, *norm.args[4:], **norm.kwargs)
        for reader in readers:
            weight, bias = (constant_of(graph_module, argument(reader, i, "", None)) for i in (1, 2))
            assert weight is not None
            at_reader = Emitter(graph_module, reader)
            parameters = [at_reader.constant(weight * gamma, "scaled_weight")]
            if beta is not None:
                shift = (weight.double() @ beta.double()).float()
                parameters.append(at_reader.constant(shift if bias is None else bias + shift, "scaled_bias"))
            elif bias is not None:
                parameters.append(at_reader.constant(bias, "scaled_bias"))
            replace(reader, at_reader(aten.linear.default, bare, *parameters))
        found.append(fired(norm, f"gamma and beta into {len(readers)} linear layer(s)"))
    return found


def _is_layer_over(graph_module: fx.GraphModule, reader: fx.Node, norm: fx.Node) -> bool:
    return is_call(reader, aten.linear.default) and reader.args[0] is norm and has_constant_parameters(graph_module, reader)
