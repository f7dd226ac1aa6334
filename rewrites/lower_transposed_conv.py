"""Lowers a transposed convolution whose window equals its stride to a 1 x 1 convolution and a permute.

Hazard: the converter legalises only some transposed convolutions, and emits a chain of ops for one with a bias.

Identity: if windows do not overlap, every input pixel determines one block of output pixels: a linear map of its channels to
``channels * kh * kw`` values, which are then rearranged in space.

Given::

    %y = aten.conv_transpose2d(%x, %w[64, 32, 2, 2], %b, [2, 2])      # [1, 64, 40, 40] -> [1, 32, 80, 80]

Result::

    %c = aten.conv2d(%x, %w'[128, 64, 1, 1], %b')                     # [1, 128, 40, 40]
    %v = aten.reshape(%c, [1, 32, 2, 2, 40, 40])
    %y = aten.reshape(aten.permute(%v, [0, 1, 4, 2, 5, 3]), [1, 32, 80, 80])

Refuses overlapping windows, padding, dilation, groups, an image without a batch, and weights computed at run time. Exact up
to the order of summation.
"""

from __future__ import annotations

from torch import fx

from detr2litert.graphs.toolbox import (
    Emitter,
    RewriteRefusedError,
    argument,
    aten,
    calls,
    constant_of,
    has_constant_parameters,
    pair,
    replace,
    shape_text,
    sizes,
    value_of,
)
from detr2litert.rewrites.contract import Findings, Miss, Site, fired, rewrite


@rewrite()
def lower_transposed_conv(graph_module: fx.GraphModule) -> Findings:
    found: list[Site | Miss] = []
    for node in calls(graph_module, aten.conv_transpose2d.input):
        x, weight, bias = node.args[0], constant_of(graph_module, node.args[1]), argument(node, 2, "bias", None)
        window, stride = sizes(weight.shape[2:]) if weight is not None else [], pair(argument(node, 3, "stride", 1))
        plain = (
            pair(argument(node, 4, "padding", 0)) == [0, 0]
            and pair(argument(node, 5, "output_padding", 0)) == [0, 0]
            and argument(node, 6, "groups", 1) == 1
            and pair(argument(node, 7, "dilation", 1)) == [1, 1]
        )
        if not has_constant_parameters(graph_module, node):
            raise RewriteRefusedError(node, "weights computed at run time", "upsample, then convolve")
        if value_of(node).dim() != 4:
            raise RewriteRefusedError(node, f"a transposed convolution of {shape_text(node)}", "give the image a batch of one")
        if window != stride or not plain:
            raise RewriteRefusedError(
                node,
                "a transposed convolution with overlapping windows, padding, dilation or groups",
                "upsample, then convolve",
            )
        assert isinstance(x, fx.Node) and weight is not None
        emit = Emitter(graph_module, node)
        (n, _, h, w), (kh, kw), channels = sizes(value_of(x).shape), window, int(weight.shape[1])
        block_weight = weight.flatten(1).t().reshape(channels * kh * kw, -1, 1, 1)
        channel_bias = constant_of(graph_module, bias)
        operands = [emit.constant(block_weight, "weight")]
        if channel_bias is not None:
            operands.append(emit.constant(channel_bias.repeat_interleave(kh * kw), "bias"))
        blocks = emit(aten.reshape.default, emit(aten.conv2d.default, x, *operands), [n, channels, kh, kw, h, w])
        laid_out = emit(aten.permute.default, blocks, [0, 1, 4, 2, 5, 3])
        found.append(fired(node, f"{channels} channels, window and stride {window}"))
        replace(node, emit(aten.reshape.default, laid_out, [n, channels, h * kh, w * kw]))
    return found
