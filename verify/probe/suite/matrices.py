"""Products: BATCH_MATMUL (W5, the texture limit), FULLY_CONNECTED (W7), convolutions (W6)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from detr2litert.graphs.delegate import MAX_SIDE
from detr2litert.verify.probe.build import ACCEPTED, DIED, REFUSED, STEP, WRONG, X2, X3, X4, Operand, Shape, data, single
from detr2litert.verify.probe.probe import Behaviour, Probe, Values

_PIXEL = (1, 4, 4, 12)
_WEIGHTS = data(8, 1, 1, 8)


def _product(name: str, about: str, does: Behaviour, left: Operand, right: Operand, out: Shape, **options: Any) -> Probe:
    return single(name, about, does, "BATCH_MATMUL", [left, right], out, **options)


def _conv(name: str, about: str, does: Behaviour, operands: Sequence[Operand], out: Shape, **options: Any) -> Probe:
    return single(name, about, does, "CONV_2D", operands, out, **STEP, **options)


def _without_bias(values: Values) -> Values:
    return {"y": np.einsum("bhwi,oi->bhwo", values["x0"], _WEIGHTS[:, 0, 0])}


PROBES: tuple[Probe, ...] = (
    _product("matmul_2d", "rank 2", ACCEPTED, X2, (8, 6), (6, 6)),
    _product("matmul_3d", "rank 3, a batch of 4", ACCEPTED, (4, 6, 8), (4, 8, 6), (4, 6, 6)),
    _product("matmul_constant", "a constant on the right", ACCEPTED, X3, data(1, 8, 6), (1, 6, 6)),
    _product("matmul_adj_x", "the left side transposed", ACCEPTED, (1, 4, 8, 6), (1, 4, 8, 6), (1, 4, 6, 6), adjX=True),
    _product("matmul_adj_y", "the right side transposed", ACCEPTED, (1, 4, 6, 8), (1, 4, 6, 8), (1, 4, 6, 6), adjY=True),
    _product("matmul_odd", "sizes that are no multiple of 4", ACCEPTED, (3, 5, 7), (3, 7, 11), (3, 5, 11)),
    _product("matmul_self", "a tensor times itself", DIED, (1, 8, 8), "x0", (1, 8, 8), triggers="same-input-matmul"),
    _product(
        "matmul_two", "two tensors of that shape", ACCEPTED, (1, 8, 8), (1, 8, 8), (1, 8, 8),
        must_not_trigger=("same-input-matmul",)
    ),
    _product(
        "matmul_const_lhs", "a constant on the left", REFUSED, data(1, 4, 6), X3, (1, 4, 8), triggers="matmul-constant-lhs"
    ),
    _product(
        "matmul_const_rhs", "a constant on the right", ACCEPTED, X3, data(1, 8, 4), (1, 6, 4),
        must_not_trigger=("matmul-constant-lhs",)
    ),
    _product(
        "matmul_broadcast",
        "one matrix for four heads",
        WRONG,
        (1, 4, 6, 8),
        (1, 1, 8, 6),
        (1, 4, 6, 6),
        triggers="matmul-broadcast-batch",
    ),
    _product(
        "matmul_broadcast_left",
        "four heads of one matrix",
        WRONG,
        (1, 1, 6, 8),
        (1, 4, 8, 6),
        (1, 4, 6, 6),
        triggers="matmul-broadcast-batch",
    ),
    _product(
        "matmul_broadcast_const",
        "one constant matrix of rank 4 for four heads",
        WRONG,
        (1, 4, 6, 8),
        data(1, 1, 8, 6),
        (1, 4, 6, 6),
        triggers="matmul-broadcast-batch",
    ),
    _product(
        "matmul_broadcast_rank",
        "a runtime matrix of rank 2 for a batch",
        WRONG,
        (4, 6, 8),
        (8, 6),
        (4, 6, 6),
        triggers="matmul-broadcast-batch",
    ),
    _product(
        "matmul_equal", "equal batches", ACCEPTED, (1, 4, 6, 8), (1, 4, 8, 6), (1, 4, 6, 6),
        must_not_trigger=("matmul-broadcast-batch",)
    ),
    _product(
        "matmul_const_2d",
        "a constant of rank 2 for a batch",
        ACCEPTED,
        (4, 6, 8),
        data(8, 6),
        (4, 6, 6),
        must_not_trigger=("matmul-broadcast-batch",),
    ),
    _product(
        "matmul_high",
        "a right side 8200 texels high",
        WRONG,
        (8, 4, 4100),
        (8, 4100, 8),
        (8, 4, 8),
        triggers="matmul-texture-limit",
    ),
    _product(
        "matmul_at_limit",
        f"a right side {MAX_SIDE} texels high",
        ACCEPTED,
        (8, 4, MAX_SIDE // 2),
        (8, MAX_SIDE // 2, 8),
        (8, 4, 8),
        must_not_trigger=("matmul-texture-limit",),
    ),
    _product(
        "matmul_wide",
        "a right side 8194 texels wide",
        WRONG,
        (1, 4, 8),
        (1, 8, 32772),
        (1, 4, 32772),
        triggers="matmul-texture-limit",
    ),
    _product(
        "matmul_small_many",
        "many small products, which take a kernel without a texture",
        ACCEPTED,
        (519, 4, 64),
        (519, 64, 16),
        (519, 4, 16),
        must_not_trigger=("matmul-texture-limit",),
    ),
    _product(
        "matmul_adj_high",
        "the same limit with the right side transposed",
        WRONG,
        (8, 64, 4100),
        (8, 32, 4100),
        (8, 64, 32),
        triggers="matmul-texture-limit",
        adjY=True,
    ),
    single("fc_2d", "a linear layer", ACCEPTED, "FULLY_CONNECTED", [X2, data(4, 8), data(4)], (6, 4)),
    single(
        "fc_4d_kept", "a linear layer on a map", ACCEPTED, "FULLY_CONNECTED", [X4, data(8, 8), data(8)], X4, keepNumDims=True
    ),
    single(
        "fc_relu",
        "with an activation",
        ACCEPTED,
        "FULLY_CONNECTED",
        [X2, data(4, 8), data(4)],
        (6, 4),
        fusedActivationFunction=1,
    ),
    single(
        "fc_runtime_weights",
        "weights computed at run time, a constant bias",
        WRONG,
        "FULLY_CONNECTED",
        [X2, (4, 8), data(4)],
        (6, 4),
        triggers="runtime-weights-bias",
    ),
    single(
        "fc_runtime_no_bias",
        "weights computed at run time, no bias",
        ACCEPTED,
        "FULLY_CONNECTED",
        [X2, (4, 8), None],
        (6, 4),
        must_not_trigger=("runtime-weights-bias", "runtime-bias"),
    ),
    single(
        "fc_runtime_bias",
        "weights and bias computed at run time",
        REFUSED,
        "FULLY_CONNECTED",
        [X2, (4, 8), (4,)],
        (6, 4),
        triggers="runtime-bias",
    ),
    _conv("conv_1x1", "a 1x1 convolution", ACCEPTED, [X4, _WEIGHTS, data(8)], X4,
          must_not_trigger=("runtime-bias", "conv-without-bias")),
    _conv("conv_3x3", "a 3x3 convolution", ACCEPTED, [X4, data(4, 3, 3, 8), data(4)], (1, 4, 4, 4)),
    _conv(
        "conv_dilated",
        "a dilated convolution",
        ACCEPTED,
        [X4, data(4, 3, 3, 8), data(4)],
        (1, 4, 4, 4),
        dilationHFactor=2,
        dilationWFactor=2,
    ),
    single(
        "conv_patches",
        "a 4x4 convolution of stride 4",
        ACCEPTED,
        "CONV_2D",
        [(1, 16, 16, 3), data(8, 4, 4, 3), data(8)],
        X4,
        padding=1,
        strideH=4,
        strideW=4,
    ),
    _conv("conv_batch_2", "a batch of 2", ACCEPTED, [(2, 4, 4, 8), data(4, 3, 3, 8), data(4)], (2, 4, 4, 4)),
    _conv("conv_runtime_weights", "weights computed at run time", ACCEPTED, [X4, (4, 1, 1, 8), data(4)], (1, 4, 4, 4)),
    _conv(
        "conv_runtime_bias",
        "a bias computed at run time",
        DIED,
        [X4, data(4, 1, 1, 8), (4,)],
        (1, 4, 4, 4),
        triggers="runtime-bias",
    ),
    _conv(
        "conv_runtime_both",
        "weights and a bias computed at run time",
        REFUSED,
        [X4, (4, 1, 1, 8), (4,)],
        (1, 4, 4, 4),
        triggers="runtime-bias",
    ),
    _conv(
        "conv_without_bias",
        "two operands only, which the CPU kernel refuses as well",
        REFUSED,
        [X4, _WEIGHTS],
        X4,
        triggers="conv-without-bias",
        reference=_without_bias,
    ),
    _conv("conv_groups_of_1", "8 groups of 1 channel, 16 outputs", WRONG, [X4, data(16, 1, 1, 1), data(16)], (1, 4, 4, 16),
          triggers="grouped-conv"),
    _conv("conv_groups_of_2", "4 groups of 2 channels", WRONG, [X4, data(8, 1, 1, 2), data(8)], X4, triggers="grouped-conv"),
    _conv("conv_groups_of_3", "4 groups of 3 channels", WRONG, [_PIXEL, data(12, 3, 3, 3), data(12)], _PIXEL,
          triggers="grouped-conv"),
    _conv("conv_groups_of_4", "2 groups of 4 channels", ACCEPTED, [X4, data(8, 1, 1, 4), data(8)], X4,
          must_not_trigger=("grouped-conv",)),
    _conv("conv_groups_of_6", "2 groups of 6 channels", DIED, [_PIXEL, data(12, 3, 3, 6), data(12)], _PIXEL,
          triggers="grouped-conv"),
    _conv("conv_groups_of_4_to_3", "2 groups of 4 channels, 3 outputs each", WRONG, [X4, data(6, 1, 1, 4), data(6)],
          (1, 4, 4, 6), triggers="grouped-conv"),
    _conv("conv_groups_of_8_to_3", "2 groups of 8 channels, 3 outputs each", DIED, [(1, 4, 4, 16), data(6, 1, 1, 8), data(6)],
          (1, 4, 4, 6), triggers="grouped-conv"),
    _conv("conv_groups_of_4_to_8", "2 groups of 4 channels, 8 outputs each", ACCEPTED, [X4, data(16, 1, 1, 4), data(16)],
          (1, 4, 4, 16), must_not_trigger=("grouped-conv",)),
    single("depthwise", "a depthwise convolution", ACCEPTED, "DEPTHWISE_CONV_2D", [X4, data(1, 3, 3, 8), data(8)], X4,
           must_not_trigger=("grouped-conv",), depthMultiplier=1, **STEP),
    single("depthwise_twice", "two outputs a channel", ACCEPTED, "DEPTHWISE_CONV_2D", [X4, data(1, 3, 3, 16), data(16)],
           (1, 4, 4, 16), depthMultiplier=2, **STEP),
)  # fmt: skip
