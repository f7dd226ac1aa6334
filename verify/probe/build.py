"""Helpers with which the suite's modules write their models."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from detr2litert.host_runtime.tflite.writer import ModelWriter
from detr2litert.verify.probe.probe import Behaviour, Probe, Values

ACCEPTED, REFUSED, WRONG, DIED = Behaviour.ACCEPTED, Behaviour.REFUSED, Behaviour.WRONG, Behaviour.DIED

Shape = tuple[int, ...]
Operand = Shape | str | NDArray[Any] | None
X4, X3, X2 = (1, 4, 4, 8), (1, 6, 8), (6, 8)
"""A map, tokens, and tokens without a batch."""
STEP: Mapping[str, Any] = {"strideH": 1, "strideW": 1}
"""Options of a convolution or pool with stride 1; its padding is the schema's default, SAME."""


def data(*shape: int, seed: int = 0) -> NDArray[np.float32]:
    """Returns a constant of normally distributed numbers."""
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def ints(*values: Any) -> NDArray[np.int32]:
    """Returns a constant of whole numbers: axes, amounts, indices, shapes."""
    return np.array(values, np.int32)


def operand_names(w: ModelWriter, operands: Sequence[Operand], given: str = "float32") -> list[str | None]:
    """Adds the inputs and constants of a probe's one operator to the writer, and returns the operands' names.

    Args:
        w: to extend.
        operands: as for ``single``.
        given: type of the inputs.
    """
    names: list[str | None] = []
    for position, item in enumerate(operands):
        if item is None or isinstance(item, str):
            names.append(item)
        elif isinstance(item, np.ndarray):
            names.append(w.constant(f"c{position}", item))
        else:
            names.append(w.input(f"x{position}", item, given))
    return names


def single(
    name: str,
    about: str,
    does: Behaviour,
    kind: str,
    operands: Sequence[Operand],
    out: Shape | Mapping[str, Shape],
    *,
    triggers: str = "",
    must_not_trigger: tuple[str, ...] = (),
    span: tuple[float, float] | None = None,
    given: str = "float32",
    reference: Callable[[Values], Values] | None = None,
    **options: Any,
) -> Probe:
    """Builds a probe whose model is one operator.

    Args:
        name, about, does, triggers, must_not_trigger, span, reference: of the probe.
        kind: the operator's.
        operands: a shape is an input ``x0``, ``x1`` …, by position; an array a constant ``c0`` …; a string an earlier one
            again; None an operand that is absent.
        out: shape of the output ``y``, or all outputs by name.
        given: type of the inputs.
        options: of the operator, ``dtype`` and ``version`` included.
    """

    def build(w: ModelWriter) -> Sequence[str]:
        names = operand_names(w, operands, given)
        outputs = out if isinstance(out, Mapping) else {"y": out}
        w.op(kind, names, outputs, **options)
        return list(outputs)

    return Probe(name, about, does, build, triggers, must_not_trigger, span, reference=reference)


def linear(w: ModelWriter, source: str, shape: Shape, name: str = "f", inputs: int = 8, **options: Any) -> str:
    """Adds a FULLY_CONNECTED of ``inputs`` channels with constant weights and bias, whose result is ``name`` of ``shape``."""
    weights = w.constant(f"{name}_w", data(shape[-1], inputs, seed=4))
    bias = w.constant(f"{name}_b", data(shape[-1], seed=5))
    return w.op("FULLY_CONNECTED", [source, weights, bias], {name: shape}, **options)


def convolution(w: ModelWriter, source: str, shape: Shape, name: str = "f", inputs: int = 8) -> str:
    """Adds a 1x1 CONV_2D of ``inputs`` channels with constant weights and bias, whose result is ``name`` of ``shape``."""
    weights = w.constant(f"{name}_w", data(shape[-1], 1, 1, inputs, seed=4))
    return w.op("CONV_2D", [source, weights, w.constant(f"{name}_b", data(shape[-1], seed=5))], {name: shape}, **STEP)
