"""W1: an elementwise operator on a low-rank runtime tensor and a constant."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from detr2litert.host_runtime.tflite.writer import ModelWriter
from detr2litert.verify.probe.build import ACCEPTED, REFUSED, WRONG, X2, X3, X4, Operand, Shape, data, linear, single
from detr2litert.verify.probe.probe import Behaviour, Build, Probe

_RULE = "constant-low-rank"


def _wrong(name: str, about: str, kind: str, operands: Sequence[Operand], out: Shape, **options: Any) -> Probe:
    return single(name, about, WRONG, kind, operands, out, triggers=_RULE, **options)


def _right(name: str, about: str, kind: str, operands: Sequence[Operand], out: Shape) -> Probe:
    return single(name, about, ACCEPTED, kind, operands, out, must_not_trigger=(_RULE,))


def _unpacked(w: ModelWriter) -> Sequence[str]:
    x, half = w.input("x", X2), w.constant("h", data(6, 8).astype(np.float16))
    return [w.op("ADD", [x, w.op("DEQUANTIZE", [half], {"c": X2})], {"y": X2})]


def _position(w: ModelWriter, keep: bool) -> Sequence[str]:
    made = linear(w, w.input("x", X3), X3 if keep else X2, keepNumDims=keep, version=5)
    return [w.op("ADD", [made, w.constant("p", data(1, 6, 8, seed=2))], {"y": X3})]


def _attention_bias(w: ModelWriter, rank: int) -> Sequence[str]:
    lead = (1, 4) if rank == 4 else (4,)
    product = w.op("BATCH_MATMUL", [w.input("q", (*lead, 6, 8)), w.input("k", (*lead, 8, 6))], {"s": (*lead, 6, 6)})
    total = w.op("ADD", [product, w.constant("m", data(1, 4, 6, 6, seed=3))], {"b": (1, 4, 6, 6)})
    return [w.op("SOFTMAX", [total], {"y": (1, 4, 6, 6)}, beta=1.0)]


def _built(name: str, about: str, does: Behaviour, build: Build) -> Probe:
    wrong = does is not ACCEPTED
    return Probe(name, about, does, build, triggers=_RULE if wrong else "", must_not_trigger=() if wrong else (_RULE,))


PROBES: tuple[Probe, ...] = (
    _wrong("const_2d", "[6, 8] plus a constant [6, 8]", "ADD", [X2, data(6, 8)], X2),
    _wrong("const_2d_column", "[6, 8] times a constant column", "MUL", [X2, data(6, 1)], X2),
    _wrong("const_1d", "[16] plus a constant [16]", "ADD", [(16,), data(16)], (16,)),
    _wrong("const_sub_2d", "SUB has the fault too", "SUB", [X2, data(6, 8)], X2),
    _wrong("const_div_2d", "DIV has the fault too", "DIV", [X2, np.abs(data(6, 8)) + 1], X2),
    _wrong("const_maximum_2d", "MAXIMUM has the fault too", "MAXIMUM", [X2, data(6, 8)], X2),
    _wrong("const_minimum_2d", "MINIMUM has the fault too", "MINIMUM", [X2, data(6, 8)], X2),
    _wrong("const_squared_2d", "SQUARED_DIFFERENCE has the fault too", "SQUARED_DIFFERENCE", [X2, data(6, 8)], X2),
    _wrong("const_greater_2d", "comparisons have the fault too", "GREATER", [X2, data(6, 8)], X2, dtype="bool"),
    _right("const_2d_row", "a constant row is right: its first dimension is 1", "ADD", [X2, data(1, 8)], X2),
    _wrong("const_lifted", "[6, 8] plus a constant [1, 6, 8]", "ADD", [X2, data(1, 6, 8)], X3),
    _wrong("const_lifted_scalar", "[6, 8] plus a constant [1, 1, 1]", "ADD", [X2, data(1, 1, 1)], X3),
    _wrong("const_batch_3d", "[4, 6, 8] minus a constant [4, 1, 1]", "SUB", [(4, 6, 8), data(4, 1, 1)], (4, 6, 8)),
    _wrong("const_batch_3d_full", "[4, 6, 8] plus a constant [4, 6, 8]", "ADD", [(4, 6, 8), data(4, 6, 8)], (4, 6, 8)),
    _wrong("const_grows", "[1, 8] plus a constant [6, 8]", "ADD", [(1, 8), data(6, 8)], X2),
    _right("const_first_1", "[1, 6, 8] plus a constant [1, 6, 8]", "ADD", [X3, data(1, 6, 8)], X3),
    _right("const_channels", "[6, 8] plus a constant [8]", "ADD", [X2, data(8)], X2),
    _right("const_number", "[6, 8] times a number", "MUL", [X2, np.array(0.5, np.float32)], X2),
    _right("const_lower", "a constant of lower rank", "ADD", [(4, 6, 8), data(6, 8)], (4, 6, 8)),
    _right("const_4d", "rank 4 on both sides", "ADD", [(2, 6, 8, 4), data(2, 6, 8, 4)], (2, 6, 8, 4)),
    _right("const_4d_lower", "rank 4 with a constant [4, 8]", "MUL", [X4, data(4, 8)], X4),
    _wrong("const_mask_4d", "scores [4, 6, 6] plus a constant mask", "ADD", [(4, 6, 6), data(1, 4, 6, 6)], (1, 4, 6, 6)),
    _right("const_none", "two runtime tensors of different ranks", "ADD", [X2, X3], X3),
    _right("runtime_batch_3d", "[4, 6, 8] plus a runtime [4, 1, 1]", "ADD", [(4, 6, 8), (4, 1, 1)], (4, 6, 8)),
    _built("const_fp16", "the constant is stored in fp16 and unpacked by DEQUANTIZE", WRONG, _unpacked),
    _built(
        "linear_dropped_dims",
        "what litert-torch makes of Linear(x) + position[1, N, C]: the layer drops the batch",
        WRONG,
        lambda w: _position(w, keep=False),
    ),
    _built(
        "linear_kept_dims",
        "the same with keep_num_dims, as restore_rank writes it",
        ACCEPTED,
        lambda w: _position(w, keep=True),
    ),
    _built(
        "attention_bias_3d",
        "what litert-torch makes of attention scores plus a constant bias: scores of rank 3",
        WRONG,
        lambda w: _attention_bias(w, 3),
    ),
    _built("attention_bias_4d", "the same with scores of rank 4", ACCEPTED, lambda w: _attention_bias(w, 4)),
    single(
        "sub_version_3",
        "SUB of version 3",
        REFUSED,
        "SUB",
        [X3, X3],
        X3,
        triggers="op-version",
        version=3,
    ),
    single("sub_version_2", "SUB of version 2", ACCEPTED, "SUB", [X3, X3], X3, must_not_trigger=("op-version",), version=2),
    single("add_version_3", "ADD of version 3", ACCEPTED, "ADD", [X3, X3], X3, must_not_trigger=("op-version",), version=3),
    single("mul_version_3", "MUL of version 3", ACCEPTED, "MUL", [X3, X3], X3, must_not_trigger=("op-version",), version=3),
)
