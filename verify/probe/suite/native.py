"""The delegate's own operators, which a file encodes as custom operators (CUSTOM with a custom code).

LiteRT 2.3.0 registers nine custom codes for its accelerators (the list is in the runtime, not in the delegate): a file with any
other is refused by the runtime itself before the delegate sees it ("Encountered unresolved custom op"), although the delegate's
parser knows more. They have no CPU kernel, so every probe has a NumPy reference. "Dispatches" are vkCmdDispatch calls a run,
those that copy inputs and outputs not counted.

======================================  ==================================================  ==========  ==========
code                                    inputs; options                                     behaviour   dispatches
======================================  ==================================================  ==========  ==========
``custom_call.LayerNorm``               x (rank 2 to 4), scale [C], bias [C]; epsilon       right       1
``custom_call.RmsNorm``                 x (rank 2 to 4), scale [C]; epsilon                 right       1
``custom_call.GroupNorm``               x (rank 2 to 4), scale [C], bias [C];               right       1 or 5
                                        num_groups, epsilon
``Resampler``                           image [B, H, W, C], points [B, h, w, 2]; none       right       1
``MaxPoolingWithArgmax2D``              x; TfLitePoolParams; outputs values and indices     right       1
``MaxUnpooling2D``                      values, indices; TfLitePoolParams                   right       1
``Convolution2DTransposeBias``          x, weights [O, kh, kw, I], bias [O];                right       1
                                        TfLiteTransposeConvParams
``custom_call.PixelShuffle``            x; num_groups                                       wrong       1
``moe``                                 a mixture of experts with int8 weights: refused without its options ("moe is missing
                                        custom options."), not measured further
======================================  ==================================================  ==========  ==========

Options are a flexbuffer map, or, for the three that are older than flexbuffers, the C structure that the runtime uses.

**Norms.** The map's ``epsilon`` is 0 if it is missing, and any other key is ignored: the last dimension is normalised, by
GroupNorm in ``num_groups`` consecutive groups of channels with all positions of one batch entry together (of rank 2 every row
is one). Scale and bias are constants of fp32 or fp16 of [C] or [1, .., C]; the bias, or both, may be left out (a shorter input
list; an index of -1 is refused). Channels need not be a multiple of 4, and a batch above 1 is right. A GroupNorm whose groups
have an odd number of channels above 1 costs five dispatches, every other norm one. All sum in fp32 where the delegate computes
in fp16: x of up to 1e4 in magnitude is right to the rounding of the output. LayerNorm and GroupNorm compute the variance as
E[x^2] - E[x]^2: a mean of a hundred deviations costs them three digits, in fp32 as well. An RmsNorm has no such loss. No
fusion with a neighbour was found wrong: 162 graphs of a norm with ADD, MUL, FULLY_CONNECTED, RELU, TANH, MEAN, RESHAPE or
another norm before or after it, with the tensor between them an output or not.

**Resampler.** Points are x, y in pixels, 0 the centre of the first; zeros outside. Both inputs have to be computed at run
time. In fp16 a position has eleven bits: at a width of 80 samples of white noise are wrong by up to 0.16. A coordinate beyond
65504 is infinite in fp16 and gives NaN: bound the coordinates.

**PixelShuffle** writes the first pixel of its output and leaves the rest as zeros, in channels-last and in channels-first
shapes. DEPTH_TO_SPACE is right.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from detr2litert.host_runtime.tflite.writer import ModelWriter
from detr2litert.verify.probe.build import ACCEPTED, DIED, REFUSED, WRONG, X2, X3, X4, Operand, Shape, data, operand_names
from detr2litert.verify.probe.probe import Behaviour, Probe, Values

LAYER, RMS, GROUP = "custom_call.LayerNorm", "custom_call.RmsNorm", "custom_call.GroupNorm"
_OPERANDS, _OPTIONS, _GROUPS, _POINTS = "norm-operands", "custom-options", "group-norm-groups", "resampler-operands"
_PLAIN = "norm-without-scale"
_WEIGHTS, _CODE, _SHUFFLE = "transpose-conv-bias-operands", "unregistered-custom-op", "pixel-shuffle"
_EPSILON = 1e-5
_HALF_LIMIT = 2e-2  # as in ``half``

Options = Mapping[str, Any] | bytes | None
Array = NDArray[Any]


def custom(
    name: str,
    about: str,
    does: Behaviour,
    code: str,
    operands: Sequence[Operand],
    out: Shape | Mapping[str, Shape],
    options: Options = None,
    *,
    reference: Callable[[Values], Values] | None = None,
    triggers: str = "",
    must_not_trigger: tuple[str, ...] = (),
    values: Values | None = None,
    span: tuple[float, float] | None = None,
    limit: float = 1e-3,
) -> Probe:
    """Builds a probe whose model is one custom operator; ``operands`` and ``out`` as for ``build.single``."""

    def build(w: ModelWriter) -> Sequence[str]:
        names = operand_names(w, operands)
        outputs = out if isinstance(out, Mapping) else {"y": out}
        w.custom(code, names, outputs, options)
        return list(outputs)

    return Probe(
        name, about, does, build, triggers, must_not_trigger, span, values=values or {}, reference=reference, limit=limit
    )


def _normalised(values: Values, code: str, scale: Array, bias: Array, epsilon: float, groups: int) -> Values:
    """The norm's definition, with the variance as the mean of the squared differences."""
    x = values["x0"].astype(np.float64)
    rows = x.reshape(x.shape[0], -1, groups, x.shape[-1] // groups) if code == GROUP else x[..., None, :]
    axes = (1, 3) if code == GROUP else (-1,)
    mean = 0.0 if code == RMS else rows.mean(axes, keepdims=True)
    variance = ((rows - mean) ** 2).mean(axes, keepdims=True)
    normed = ((rows - mean) / np.sqrt(variance + epsilon)).reshape(x.shape)
    return {"y": (normed * scale.ravel() + bias.ravel()).astype(np.float32)}


def _norm(
    name: str,
    about: str,
    code: str,
    shape: Shape = X3,
    does: Behaviour = ACCEPTED,
    *,
    groups: int = 2,
    epsilon: float = _EPSILON,
    options: Options | str = "given",
    operands: Sequence[Operand] | None = None,
    scale: Array | None = None,
    bias: Array | None = None,
    **facts: Any,
) -> Probe:
    """Builds a probe of a norm of ``x0``; the reference applies ``scale`` and ``bias``, the file has ``operands``."""
    channels = shape[-1]
    scale = data(channels, seed=1) if scale is None else scale
    bias = (np.zeros(channels, np.float32) if code == RMS else data(channels, seed=2)) if bias is None else bias
    packed: Options = {"epsilon": epsilon, **({"num_groups": groups} if code == GROUP else {})}
    if not isinstance(options, str):
        packed = options
    if operands is None:
        operands = [shape, scale] if code == RMS else [shape, scale, bias]
    reference = None
    if does in (ACCEPTED, WRONG):
        reference = partial(_normalised, code=code, scale=scale, bias=bias, epsilon=epsilon, groups=groups)
    if not facts.get("triggers"):
        facts["must_not_trigger"] = (_OPERANDS, _OPTIONS, _GROUPS, _CODE, _PLAIN)
    return custom(name, about, does, code, operands, shape, packed, reference=reference, **facts)


_ONES, _ZEROS = np.ones(8, np.float32), np.zeros(8, np.float32)
_S, _B = data(8, seed=1), data(8, seed=2)
_OF_CODE = {"layer": LAYER, "rms": RMS, "group": GROUP}

_NORMS = (
    *(_norm(f"native_{kind}_norm_{rank}d", f"{code} of rank {rank}", code, shape)
      for kind, code in _OF_CODE.items() for rank, shape in ((2, X2), (3, X3), (4, X4))),
    *(_norm(f"native_{kind}_norm_batch", f"{code} of a batch of 2", code, (2, 4, 4, 8)) for kind, code in _OF_CODE.items()),
    *(_norm(f"native_{kind}_norm_6", f"{code} of 6 channels", code, (1, 4, 4, 6)) for kind, code in _OF_CODE.items()),
    *(_norm(f"native_{kind}_norm_large", f"{code} of numbers about 1e4", code, span=(-3e4, 3e4))
      for kind, code in _OF_CODE.items()),
    *(_norm(f"native_{kind}_norm_wide", f"{code} of 256 channels", code, (1, 20, 20, 256), groups=32)
      for kind, code in _OF_CODE.items()),
    *(_norm(f"native_{kind}_norm_no_epsilon", f"{code} with an empty map of options has an epsilon of 0", code, epsilon=0.0,
            options={} if code != GROUP else {"num_groups": 2}) for kind, code in _OF_CODE.items()),
    *(_norm(f"native_group_norm_{count}_of_{channels}", f"{channels} channels in {count} groups", GROUP, (1, 4, 4, channels),
            groups=count) for channels, count in ((8, 1), (8, 4), (8, 8), (12, 2), (12, 4), (10, 2), (7, 7))),
    _norm("native_layer_norm_7", "custom_call.LayerNorm of 7 channels", LAYER, (1, 6, 7)),
    _norm("native_layer_norm_offset", "LayerNorm about a mean of 100 deviations: the variance is E[x^2] - E[x]^2", LAYER,
          (1, 6, 64), values={"x0": 100 + data(1, 6, 64)}, limit=2e-2),
    _norm("native_group_norm_offset", "GroupNorm about a mean of 100 deviations", GROUP, (1, 8, 8, 8),
          values={"x0": 100 + data(1, 8, 8, 8)}, limit=2e-2),
    _norm("native_rms_norm_offset", "RmsNorm about a mean of 100 deviations", RMS, (1, 6, 64),
          values={"x0": 100 + data(1, 6, 64)}),
    _norm("native_layer_norm_plain", "LayerNorm without scale and bias", LAYER,
          operands=[X3], scale=_ONES, bias=_ZEROS, triggers=_PLAIN),
    _norm("native_layer_norm_scale", "LayerNorm without bias", LAYER, operands=[X3, _S], bias=_ZEROS),
    _norm("native_rms_norm_plain", "RmsNorm without scale", RMS, operands=[X3], scale=_ONES),
    _norm("native_group_norm_plain", "GroupNorm without scale and bias", GROUP, X4,
          operands=[X4], scale=_ONES, bias=_ZEROS, triggers=_PLAIN),
    _norm("native_group_norm_scale", "GroupNorm without bias", GROUP, X4, operands=[X4, _S], bias=_ZEROS),
    _norm("native_group_norm_4d_scale", "scale and bias of [1, 1, 1, C]", GROUP, X4,
          operands=[X4, _S.reshape(1, 1, 1, 8), _B.reshape(1, 1, 1, 8)]),
    _norm("native_layer_norm_runtime_scale", "a scale computed at run time", LAYER, does=REFUSED, operands=[X3, (8,), _B],
          triggers=_OPERANDS),
    _norm("native_group_norm_runtime_bias", "a bias computed at run time", GROUP, X4, REFUSED, operands=[X4, _S, (8,)],
          triggers=_OPERANDS),
    _norm("native_rms_norm_runtime_scale", "a scale computed at run time", RMS, does=REFUSED, operands=[X3, (8,)],
          triggers=_OPERANDS),
    _norm("native_layer_norm_absent_bias", "a bias of index -1", LAYER, does=REFUSED, operands=[X3, _S, None],
          triggers=_OPERANDS),
    _norm("native_layer_norm_1d", "LayerNorm of rank 1", LAYER, (8,), REFUSED, triggers=_OPERANDS),
    _norm("native_layer_norm_short_scale", "a scale of 4 for 8 channels", LAYER, does=REFUSED,
          operands=[X3, data(4), data(4)], triggers=_OPERANDS),
    _norm("native_layer_norm_constant", "LayerNorm of a constant", LAYER, does=DIED, operands=[data(*X3), _S, _B],
          triggers=_OPERANDS),
    _norm("native_layer_norm_no_options", "LayerNorm without options", LAYER, does=DIED, options=None, triggers=_OPTIONS),
    _norm("native_rms_norm_no_options", "RmsNorm without options", RMS, does=DIED, options=None, triggers=_OPTIONS),
    _norm("native_group_norm_no_options", "GroupNorm without options is all zeros", GROUP, X4, WRONG, options=None,
          triggers=_GROUPS),
    _norm("native_group_norm_no_groups", "GroupNorm without num_groups", GROUP, X4, DIED, options={"epsilon": _EPSILON},
          triggers=_GROUPS),
    _norm("native_group_norm_0_groups", "GroupNorm in 0 groups", GROUP, X4, DIED, options={"num_groups": 0}, triggers=_GROUPS),
    _norm("native_group_norm_3_of_8", "8 channels in 3 groups, judged by two of them", GROUP, X4, WRONG,
          options={"epsilon": _EPSILON, "num_groups": 3}, triggers=_GROUPS),
)  # fmt: skip


def _resampled(values: Values) -> Values:
    """Bilinear samples of ``x0`` at ``x1`` (x, y in pixels), with zeros outside: the four corners, each with its weight."""
    image, points = values["x0"].astype(np.float64), values["x1"].astype(np.float64)
    (batch, height, width, channels), lead = image.shape, points.shape[:-1]
    x, y = (points[..., axis].reshape(batch, -1) for axis in (0, 1))
    left, top = np.floor(x), np.floor(y)
    total = np.zeros((batch, x.shape[1], channels))
    for column, row in ((left, top), (left + 1, top), (left, top + 1), (left + 1, top + 1)):
        weight = (1 - np.abs(x - column)) * (1 - np.abs(y - row))
        weight[(column < 0) | (column >= width) | (row < 0) | (row >= height)] = 0
        corner = np.clip(row, 0, height - 1).astype(int), np.clip(column, 0, width - 1).astype(int)
        total += weight[..., None] * image[np.arange(batch)[:, None], *corner]
    return {"y": total.reshape(*lead, channels).astype(np.float32)}


def _samples(name: str, about: str, image: Shape, points: Shape, does: Behaviour = ACCEPTED, **facts: Any) -> Probe:
    operands = facts.pop("operands", [image, points])
    if "triggers" not in facts:
        facts["must_not_trigger"] = (_POINTS,)
    reference = _resampled if does in (ACCEPTED, WRONG) else None
    out = (*points[:-1], image[-1])
    return custom(name, about, does, "Resampler", operands, out, reference=reference, **facts)


_MAP, _AT = (1, 5, 6, 8), (1, 3, 4, 2)
_PIXELS = (np.random.default_rng(3).uniform(-1, 80, (1, 30, 4, 2))).astype(np.float32)
_RESAMPLERS = (
    *(_samples(f"resampler_{channels}", f"Resampler of {channels} channels", (1, 5, 6, channels), _AT, span=(-1, 6))
      for channels in (1, 3, 6)),
    _samples("resampler_batch", "Resampler of a batch of 2", (2, 5, 6, 8), (2, 3, 4, 2), span=(-1, 6)),
    _samples("resampler_one_pixel", "Resampler of one pixel", (1, 1, 1, 8), _AT, span=(-1, 1)),
    _samples("resampler_outside", "Resampler with most points outside", _MAP, _AT, span=(-30, 30)),
    _samples("resampler_far_outside", "Resampler with all points far outside", _MAP, _AT, span=(-1e5, 1e5)),
    _samples("resampler_80", "Resampler of a map of 80 x 80", (1, 80, 80, 8), (1, 30, 4, 2),
             values={"x0": data(1, 80, 80, 8), "x1": _PIXELS}),
    _samples("resampler_constant_image", "Resampler of a constant image", _MAP, _AT, REFUSED, operands=[data(*_MAP), _AT],
             triggers=_POINTS),
    _samples("resampler_constant_points", "Resampler at constant points", _MAP, _AT, REFUSED, operands=[_MAP, data(*_AT)],
             triggers=_POINTS),
    _samples("resampler_points_3d", "points of rank 3", _MAP, (1, 12, 2), REFUSED, triggers=_POINTS),
    _samples("resampler_batches", "one image, points of a batch of 2", _MAP, (2, 3, 4, 2), REFUSED, triggers=_POINTS),
)  # fmt: skip


def pool_options(padding: int = 2, stride: int = 2, window: int = 2) -> bytes:
    """Packs TfLitePoolParams: padding (1 SAME, 2 VALID), strides, window, no activation, and the padding's computed amounts."""
    return struct.pack("<10i", padding, stride, stride, window, window, 0, 0, 0, 0, 0)


def transpose_conv_options(padding: int = 2, stride: int = 2) -> bytes:
    """Packs TfLiteTransposeConvParams: padding (1 SAME, 2 VALID), strides, no activation, the type of the bias."""
    return struct.pack("<5i", padding, stride, stride, 0, 0)


def _pooled(values: Values) -> Values:
    """Windows of 2 x 2: the largest value, and its place in the window, row by row."""
    batch, height, width, channels = values["x0"].shape
    windows = values["x0"].reshape(batch, height // 2, 2, width // 2, 2, channels).transpose(0, 1, 3, 5, 2, 4)
    windows = windows.reshape(*windows.shape[:4], 4)
    return {"y": windows.max(-1), "i": windows.argmax(-1).astype(np.float32)}


def _unpooled(values: Values) -> Values:
    """Each value at its place in a window of 2 x 2 of zeros."""
    x, place = values["x0"], values["x1"]
    batch, height, width, channels = x.shape
    spread = np.where(np.arange(4) == place[..., None], x[..., None], 0)
    spread = spread.reshape(batch, height, width, channels, 2, 2).transpose(0, 1, 4, 2, 5, 3)
    return {"y": spread.reshape(batch, 2 * height, 2 * width, channels).astype(np.float32)}


def _enlarged(values: Values, weights: Array, bias: Array) -> Values:
    """A transposed convolution of 2 x 2 with stride 2: every pixel becomes four."""
    batch, height, width, _ = values["x0"].shape
    made = np.einsum("bhwi,oyxi->bhywxo", values["x0"], weights)
    return {"y": (made.reshape(batch, 2 * height, 2 * width, -1) + bias).astype(np.float32)}


_PLACES = {"x1": np.random.default_rng(4).integers(0, 4, (1, 2, 2, 8)).astype(np.float32)}
_SMALL, _W = (1, 2, 2, 8), data(8, 2, 2, 8, seed=3)
_POOL, _UNPOOL, _ENLARGE = "MaxPoolingWithArgmax2D", "MaxUnpooling2D", "Convolution2DTransposeBias"
_UP = (1, 8, 8, 8)

_OLDER = (
    custom("argmax_pool", "a max pool of 2 x 2 with the places of the maxima", ACCEPTED, _POOL, [X4],
           {"y": _SMALL, "i": _SMALL}, pool_options(), reference=_pooled, must_not_trigger=(_OPTIONS,)),
    custom("argmax_pool_no_options", "the same without options", REFUSED, _POOL, [X4], {"y": _SMALL, "i": _SMALL},
           triggers=_OPTIONS),
    custom("unpool", "the inverse of the max pool", ACCEPTED, _UNPOOL, [_SMALL, _SMALL], X4, pool_options(),
           reference=_unpooled, values=_PLACES, must_not_trigger=(_OPTIONS,)),
    custom("unpool_no_options", "the same without options", REFUSED, _UNPOOL, [_SMALL, _SMALL], X4, triggers=_OPTIONS),
    custom("transpose_conv_bias", "a transposed convolution with a bias", ACCEPTED, _ENLARGE, [X4, _W, _B], _UP,
           transpose_conv_options(), reference=partial(_enlarged, weights=_W, bias=_B), must_not_trigger=(_OPTIONS, _WEIGHTS)),
    custom("transpose_conv_no_bias", "the same without its bias", ACCEPTED, _ENLARGE, [X4, _W], _UP,
           transpose_conv_options(), reference=partial(_enlarged, weights=_W, bias=_ZEROS), must_not_trigger=(_WEIGHTS,)),
    custom("transpose_conv_bias_no_options", "the same without options", REFUSED, _ENLARGE, [X4, _W, _B], _UP,
           triggers=_OPTIONS),
    custom("transpose_conv_runtime_weights", "weights computed at run time", REFUSED, _ENLARGE, [X4, (8, 2, 2, 8), _B], _UP,
           transpose_conv_options(), triggers=_WEIGHTS),
    custom("transpose_conv_runtime_bias", "a bias computed at run time", DIED, _ENLARGE, [X4, _W, (8,)], _UP,
           transpose_conv_options(), triggers=_WEIGHTS),
)  # fmt: skip


def _shuffled(values: Values) -> Values:
    """Depth to space with a block of 2, as PyTorch orders the channels; of channels-first tensors by their axes."""
    batch, height, width, channels = values["x0"].shape
    parts = values["x0"].reshape(batch, height, width, channels // 4, 2, 2).transpose(0, 1, 4, 2, 5, 3)
    return {"y": parts.reshape(batch, 2 * height, 2 * width, channels // 4)}


_OTHERS = (
    custom("pixel_shuffle", "custom_call.PixelShuffle, of which the first pixel is written", WRONG, "custom_call.PixelShuffle",
           [X4], (1, 8, 8, 2), {"num_groups": 2}, reference=_shuffled, triggers=_SHUFFLE),
    *(custom(f"unregistered_{code.rpartition('.')[2].lower()}", f"the custom code {code}", REFUSED, code, [X3], X3,
             {"epsilon": _EPSILON}, triggers=_CODE)
      for code in ("odml.rms_norm", "odml.scaled_dot_product_attention", "custom_call.pixel_shuffle",
                   "TransformTensorBilinear", "custom_call.rotary_positional_embedding", "my.Norm")),
)  # fmt: skip

PROBES: tuple[Probe, ...] = (*_NORMS, *_RESAMPLERS, *_OLDER, *_OTHERS)


def _in_half(name: str, about: str, does: Behaviour, code: str, x: Array) -> Probe:
    shape = x.shape
    return _norm(name, about, code, shape, does, values={"x0": x.astype(np.float32)}, limit=_HALF_LIMIT)


FP16_PROBES: tuple[Probe, ...] = (
    *(_in_half(f"half_native_{kind}_norm", f"{code} of numbers about 4000: it sums in fp32", ACCEPTED, code,
               4000 * data(1, 6, 64)) for kind, code in _OF_CODE.items()),
    *(_in_half(f"half_native_{kind}_norm_offset", f"{code} about a mean of 100 deviations", does, code, 100 + data(1, 6, 64))
      for (kind, code), does in zip(_OF_CODE.items(), (WRONG, ACCEPTED, WRONG), strict=True)),
    _samples("half_resampler", "Resampler of a small map", _MAP, _AT, span=(-1, 6), limit=_HALF_LIMIT),
    _samples("half_resampler_80", "Resampler of a map of 80 x 80: eleven bits for a position", (1, 80, 80, 8), (1, 30, 4, 2),
             WRONG, values={"x0": data(1, 80, 80, 8), "x1": _PIXELS}, limit=_HALF_LIMIT),
    _samples("half_resampler_infinite", "Resampler at a coordinate of 1e5, infinite in fp16: NaN for 0", _MAP, _AT, WRONG,
             values={"x1": np.full(_AT, 1e5, np.float32)}, limit=_HALF_LIMIT),
)  # fmt: skip
"""What fp16 does to them."""
