"""Shared by the operators of random graphs: what an operator is, and how operands are drawn."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from detr2litert.verify.fuzz.spec import IllFormedError, Operand, Shape

Rng = np.random.Generator
Drawn = tuple[tuple[Operand, ...], dict[str, Any]]


class Writer:
    """What an operator needs to write itself; ``build.py`` implements it."""

    def shape(self, operand: Operand) -> Shape:
        raise NotImplementedError

    def whole(self, *values: Any, scalar: bool = False) -> str:
        raise NotImplementedError

    def number(self, value: float) -> str:
        raise NotImplementedError

    def op(self, kind: str, operands: Sequence[Operand | None], shapes: Sequence[Shape], **options: Any) -> None:
        raise NotImplementedError


@dataclass(frozen=True)
class Operator:
    """One kind.

    Attributes:
        draw: operands and attributes for some values by name, or None if none of them fits.
        write: writes it.
    """

    draw: Callable[[Rng, Mapping[str, Shape]], Drawn | None]
    write: Callable[[Writer, str, tuple[Operand, ...], Mapping[str, Any]], None]


def pick(rng: Rng, values: Mapping[str, Shape], fits: Callable[[Shape], bool] = lambda shape: True) -> str | None:
    """Returns a value that fits, preferably a late one."""
    names = [name for name, shape in values.items() if fits(shape)]
    if not names:
        return None
    weights = np.arange(1, len(names) + 1) ** 1.5
    return str(rng.choice(names, p=weights / weights.sum()))


def new_seed(rng: Rng) -> int:
    return int(rng.integers(1 << 30))


def new_style(rng: Rng) -> str:
    return str(rng.choice(("float", "half", "int8"), p=(0.7, 0.2, 0.1)))


def need(condition: bool) -> None:
    if not condition:
        raise IllFormedError


def one_value(
    write: Callable[[Writer, str, Operand, Mapping[str, Any]], None],
    draw: Callable[[Rng, Shape], dict[str, Any] | None],
    fits: Callable[[Shape], bool] = lambda shape: True,
) -> Operator:
    """An operator of one value, whose attributes are drawn from its shape."""

    def drawn(rng: Rng, values: Mapping[str, Shape]) -> Drawn | None:
        name = pick(rng, values, fits)
        attributes = draw(rng, values[name]) if name is not None else None
        return None if name is None or attributes is None else ((name,), attributes)

    return Operator(drawn, lambda w, kind, operands, attributes: write(w, kind, operands[0], attributes))


def unary(**options: Any) -> Operator:
    return one_value(lambda w, kind, x, a: w.op(kind, [x], [w.shape(x)], **options), lambda rng, shape: {})


def broadcast(first: Shape, second: Shape) -> Shape:
    try:
        return tuple(int(d) for d in np.broadcast_shapes(first, second))
    except ValueError as error:
        raise IllFormedError from error
