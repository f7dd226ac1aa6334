"""Fold multiplications by constants into the linear layer before them, and a norm's affine part into the layers after it.

Hazard: each is an elementwise pass over a token tensor. Layer scale alone is two per block; the scale of attention is one per
head tensor; gamma and beta of a norm are two.

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

A number is also carried back through views between the layer and the multiplication. Does not fire when the layer's result has
another reader, or a norm's result any reader that is not a linear layer. Exact up to the rounding of the folded weights
(1e-6 relative).
"""

from __future__ import annotations

import torch
from torch import Tensor, fx

from detr2litert.rewrites.base import (
    Emitter,
    Site,
    argument,
    aten,
    calls,
    constant_of,
    has_constant_parameters,
    is_call,
    module_of,
    only_user,
    remove_dead_code,
    replace,
    value_of,
)
from detr2litert.rewrites.profile import Profile

VIEWS = (
    aten.expand.default,
    aten.permute.default,
    aten.reshape.default,
    aten.select.int,
    aten.slice.Tensor,
    aten.transpose.int,
    aten.unsqueeze.default,
)
"""Ops that move values without changing them: a number commutes with them."""


def fold_scales(graph_module: fx.GraphModule, profile: Profile) -> list[Site]:
    fired = [*_fold_norms(graph_module), *_fold_factors(graph_module)]
    remove_dead_code(graph_module)
    return fired


def _fold_factors(graph_module: fx.GraphModule) -> list[Site]:
    fired = []
    for node in calls(graph_module, aten.mul.Tensor, aten.div.Tensor):
        x, factor = _factor(graph_module, node)
        if x is None or factor is None or value_of(node).shape != value_of(x).shape:
            continue
        layer = _layer_behind(x, through_views=factor.numel() == 1)
        if layer is None or not has_constant_parameters(graph_module, layer):
            continue
        if factor.numel() != 1 and factor.shape[-1] != factor.numel():
            continue
        weight, bias = (constant_of(graph_module, argument(layer, i, "", None)) for i in (1, 2))
        assert weight is not None
        scale = factor.reshape(-1)
        emit = Emitter(graph_module, layer, "fold_scales")
        parameters = [emit.constant(weight * scale[:, None], "scaled_weight")]
        if bias is not None:
            parameters.append(emit.constant(bias * scale, "scaled_bias"))
        scaled = emit(aten.linear.default, layer.args[0], *parameters)
        fired.append(Site(node.name, module_of(node), f"factor into {layer.name}"))
        replace(layer, scaled)
        replace(node, x if x is not layer else scaled)
    return fired


def _factor(graph_module: fx.GraphModule, node: fx.Node) -> tuple[fx.Node | None, Tensor | None]:
    """The scaled operand and the constant factor of a multiplication or division by a constant."""
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


def _layer_behind(x: fx.Node, through_views: bool) -> fx.Node | None:
    """The linear layer that makes ``x``, alone or behind views, if nothing else reads its result."""
    while through_views and is_call(x, *VIEWS) and only_user(x) is not None:
        x = x.all_input_nodes[0]
    return x if is_call(x, aten.linear.default) and only_user(x) is not None else None


def _fold_norms(graph_module: fx.GraphModule) -> list[Site]:
    fired = []
    for norm in calls(graph_module, aten.layer_norm.default):
        gamma, beta = (constant_of(graph_module, argument(norm, i, "", None)) for i in (2, 3))
        readers = list(norm.users)
        if gamma is None or not readers or value_of(norm).shape[-1] != gamma.numel():
            continue
        if beta is None and argument(norm, 3, "bias", None) is not None:
            continue
        if not all(_is_layer_over(graph_module, reader, norm) for reader in readers):
            continue
        emit = Emitter(graph_module, norm, "fold_scales")
        bare = emit(norm.target, norm.args[0], norm.args[1], None, None, *norm.args[4:], **norm.kwargs)
        for reader in readers:
            weight, bias = (constant_of(graph_module, argument(reader, i, "", None)) for i in (1, 2))
            assert weight is not None
            at_reader = Emitter(graph_module, reader, "fold_scales")
            parameters = [at_reader.constant(weight * gamma, "scaled_weight")]
            if beta is not None:
                shift = (weight.double() @ beta.double()).float()
                parameters.append(at_reader.constant(shift if bias is None else bias + shift, "scaled_bias"))
            elif bias is not None:
                parameters.append(at_reader.constant(bias, "scaled_bias"))
            replace(reader, at_reader(aten.linear.default, bare, *parameters))
        fired.append(Site(norm.name, module_of(norm), f"gamma and beta into {len(readers)} linear layer(s)"))
    return fired


def _is_layer_over(graph_module: fx.GraphModule, reader: fx.Node, norm: fx.Node) -> bool:
    return is_call(reader, aten.linear.default) and reader.args[0] is norm and has_constant_parameters(graph_module, reader)
