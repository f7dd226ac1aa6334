"""Padding: what PAD accepts (W2, W10), and what happens to it before a pool or a convolution (W3)."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from detr2litert.host_runtime.tflite.writer import ModelWriter
from detr2litert.verify.probe.build import (
    ACCEPTED,
    DIED,
    REFUSED,
    STEP,
    WRONG,
    X2,
    X3,
    X4,
    convolution,
    data,
    ints,
    linear,
    single,
)
from detr2litert.verify.probe.probe import Behaviour, Probe

_OUTPUT = "output-pad"
_AROUND = ints([0, 0], [1, 1], [1, 1], [0, 0])
_WIDER = (1, 6, 6, 8)


def _padded_reader(w: ModelWriter, kind: str, value: float | None, between: bool = False) -> Sequence[str]:
    x, amounts = w.input("x", X4), w.constant("a", _AROUND)
    extra = [] if value is None else [w.constant("v", np.array([value], np.float32))]
    padded = w.op("PAD" if value is None else "PADV2", [x, amounts, *extra], {"p": _WIDER})
    if between:
        padded = w.op("ADD", [padded, w.constant("zero", np.array(0, np.float32))], {"q": _WIDER})
    if kind.endswith("POOL_2D"):
        return [w.op(kind, [padded], {"y": X4}, padding=1, filterHeight=3, filterWidth=3, **STEP)]
    depthwise = kind == "DEPTHWISE_CONV_2D"
    operands = [padded, w.constant("w", data(*((1, 3, 3, 8) if depthwise else (8, 3, 3, 8)))), w.constant("b", data(8))]
    options: dict[str, Any] = {"depthMultiplier": 1} if depthwise else {}
    return [w.op(kind, operands, {"y": X4}, padding=1, **STEP, **options)]


def _joined_pool(w: ModelWriter, kind: str, value: float) -> Sequence[str]:
    border = w.constant("c", np.full((1, 1, 4, 8), value, np.float32))
    joined = w.op("CONCATENATION", [w.input("x", X4), border], {"j": (1, 5, 4, 8)}, axis=1)
    return [w.op(kind, [joined], {"y": (1, 4, 3, 8)}, padding=1, filterHeight=2, filterWidth=2, **STEP)]


def _into(name: str, about: str, does: Behaviour, kind: str, value: float | None, between: bool = False) -> Probe:
    rule = "pad-into-pool"
    right = does is ACCEPTED
    build = partial(_padded_reader, kind=kind, value=value, between=between)
    return Probe(name, about, does, build, triggers="" if right else rule, must_not_trigger=(rule,) if right else ())


def _joined(name: str, about: str, does: Behaviour, kind: str, value: float) -> Probe:
    rule = "zeros-into-pool"
    right = does is ACCEPTED
    build = partial(_joined_pool, kind=kind, value=value)
    return Probe(name, about, does, build, triggers="" if right else rule, must_not_trigger=(rule,) if right else ())


def _pad_output(w: ModelWriter, reader: str, amounts: NDArray[np.int32]) -> Sequence[str]:
    """A PAD that is an output and is read once."""
    shape = tuple(int(size + sum(pair)) for size, pair in zip(X4, amounts, strict=True))
    padded = w.op("PAD", [w.input("x", X4), w.constant("a", amounts)], {"p": shape})
    if reader == "CONV_2D":
        return [convolution(w, padded, (*shape[:-1], 8), "y", inputs=shape[-1]), padded]
    if reader == "FULLY_CONNECTED":
        return [linear(w, padded, (*shape[:-1], 8), "y", inputs=shape[-1], keepNumDims=True), padded]
    return [w.op(reader, [padded], {"y": shape}), padded]


def _nothing(w: ModelWriter, reader: str, output: bool = False) -> Sequence[str]:
    """A PAD by nothing, whose reader reads the padded tensor itself too, or is a convolution or a pool."""
    x = w.input("x", X4)
    padded = w.op("PAD", [x, w.constant("a", np.zeros((4, 2), np.int32))], {"p": X4})
    if reader == "ADD":
        end = w.op("ADD", [padded, x], {"y": X4})
    elif reader == "CONV_2D":
        end = convolution(w, padded, X4, "y")
    elif reader == "SIN":
        end = w.op("SIN", [padded], {"y": X4})
    else:
        end = w.op(reader, [padded], {"y": X4}, filterHeight=3, filterWidth=3, **STEP)
    return [end, padded] if output else [end]


PROBES: tuple[Probe, ...] = (
    single("pad_rank_1", "PAD of rank 1", REFUSED, "PAD", [(8,), ints([1, 1])], (10,), triggers="pad-rank"),
    single("pad_rank_2", "PAD of rank 2", REFUSED, "PAD", [X2, ints([1, 1], [0, 0])], (8, 8), triggers="pad-rank"),
    single("pad_rank_4", "PAD of rank 4", ACCEPTED, "PAD", [X4, _AROUND], _WIDER, must_not_trigger=("pad-rank", "pad-rank-3")),
    single(
        "pad_channels",
        "PAD of rank 4 along the channels",
        ACCEPTED,
        "PAD",
        [X4, ints([0, 0], [0, 0], [0, 0], [1, 2])],
        (1, 4, 4, 11),
        must_not_trigger=("pad-rank",),
    ),
    single(
        "pad_3d_batch",
        "PAD of [4, 6, 8] along the tokens",
        WRONG,
        "PAD",
        [(4, 6, 8), ints([0, 0], [1, 1], [0, 0])],
        (4, 8, 8),
        triggers="pad-rank-3",
    ),
    single(
        "pad_3d_leading",
        "PAD of [1, 6, 8] along the batch",
        WRONG,
        "PAD",
        [X3, ints([1, 0], [0, 0], [0, 0])],
        (2, 6, 8),
        triggers="pad-rank-3",
    ),
    single(
        "pad_3d",
        "PAD of [1, 6, 8] along the tokens",
        ACCEPTED,
        "PAD",
        [X3, ints([0, 0], [1, 1], [0, 0])],
        (1, 8, 8),
        must_not_trigger=("pad-rank-3", "pad-rank"),
    ),
    single(
        "pad_infinite",
        "a border of -inf that no pool reads",
        WRONG,
        "PADV2",
        [X4, _AROUND, np.array([-np.inf], np.float32)],
        _WIDER,
        triggers="pad-infinite",
    ),
    single(
        "pad_finite",
        "a border of -1e4 that no pool reads",
        ACCEPTED,
        "PADV2",
        [X4, _AROUND, np.array([-1e4], np.float32)],
        _WIDER,
        must_not_trigger=("pad-infinite",),
    ),
    single(
        "mirror_symmetric", "MIRROR_PAD, SYMMETRIC", REFUSED, "MIRROR_PAD", [X4, _AROUND], _WIDER, triggers="mirror-pad", mode=1
    ),
    single(
        "mirror_reflect",
        "MIRROR_PAD, REFLECT",
        ACCEPTED,
        "MIRROR_PAD",
        [X4, _AROUND],
        _WIDER,
        must_not_trigger=("mirror-pad",),
        mode=0,
    ),
    Probe("pad_nothing_add", "x and a pad of x by nothing, added", DIED, partial(_nothing, reader="ADD"), "identity-pad"),
    Probe(
        "pad_nothing",
        "a pad by nothing",
        ACCEPTED,
        partial(_nothing, reader="SIN"),
        must_not_trigger=("identity-pad", _OUTPUT),
    ),
    Probe(
        "pad_nothing_conv",
        "a pad by nothing in front of a convolution",
        ACCEPTED,
        partial(_nothing, reader="CONV_2D"),
        must_not_trigger=("identity-pad", _OUTPUT),
    ),
    Probe(
        "pad_nothing_conv_output", "the same, an output too", WRONG, partial(_nothing, reader="CONV_2D", output=True), _OUTPUT
    ),
    Probe(
        "pad_nothing_pool_output",
        "in front of a pool, an output too",
        WRONG,
        partial(_nothing, reader="MAX_POOL_2D", output=True),
        _OUTPUT,
    ),
    Probe(
        "pad_nothing_sin_output",
        "in front of SIN, an output too",
        ACCEPTED,
        partial(_nothing, reader="SIN", output=True),
        must_not_trigger=(_OUTPUT,),
    ),
    Probe("pad_conv_output", "a border in front of a convolution, an output too", WRONG,
          partial(_pad_output, reader="CONV_2D", amounts=_AROUND), _OUTPUT),
    Probe("pad_fc_output", "a border in front of a linear layer, an output too", WRONG,
          partial(_pad_output, reader="FULLY_CONNECTED", amounts=_AROUND), _OUTPUT),
    Probe("pad_sin_output", "a border in front of SIN, an output too", ACCEPTED,
          partial(_pad_output, reader="SIN", amounts=_AROUND), must_not_trigger=(_OUTPUT,)),
    Probe("pad_channels_output", "channels in front of a convolution, an output too", ACCEPTED,
          partial(_pad_output, reader="CONV_2D", amounts=ints([0, 0], [0, 0], [0, 0], [0, 4])), must_not_trigger=(_OUTPUT,)),
    _into("pad_average", "zeros in front of an average pool", WRONG, "AVERAGE_POOL_2D", None),
    _into("pad_add_average", "the same with an ADD of 0 between", ACCEPTED, "AVERAGE_POOL_2D", None, between=True),
    _into("pad_zero_max", "zeros in front of a max pool become -inf", WRONG, "MAX_POOL_2D", None),
    _into("pad_one_max", "ones in front of a max pool", WRONG, "MAX_POOL_2D", 1.0),
    _into("pad_lowest_max", "-inf in front of a max pool is what it would pad with itself", ACCEPTED, "MAX_POOL_2D", -np.inf),
    _into("pad_one_conv", "ones in front of a convolution become zeros", WRONG, "CONV_2D", 1.0),
    _into("pad_one_depthwise", "ones in front of a depthwise convolution", WRONG, "DEPTHWISE_CONV_2D", 1.0),
    _into("pad_zero_conv", "zeros in front of a convolution", ACCEPTED, "CONV_2D", None),
    _into("pad_zero_depthwise", "zeros in front of a depthwise convolution", ACCEPTED, "DEPTHWISE_CONV_2D", None),
    _joined("join_zeros_max", "zeros joined in front of a max pool", WRONG, "MAX_POOL_2D", 0.0),
    _joined("join_zeros_average", "zeros joined in front of an average pool", WRONG, "AVERAGE_POOL_2D", 0.0),
    _joined("join_halves_max", "halves joined in front of a max pool", ACCEPTED, "MAX_POOL_2D", 0.5),
)  # fmt: skip
