"""A random graph as plain data: it can be drawn, changed, and built into a model, or refused as not well-formed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

Shape = tuple[int, ...]
STYLES = ("float", "half", "int8")
"""How a constant is stored: float32, fp16 with a DEQUANTIZE, or int8 that the layer reads."""


class IllFormedError(Exception):
    """The operands do not fit the operator."""


@dataclass(frozen=True)
class Constant:
    """A constant operand of normal numbers.

    Attributes:
        shape: its dimensions.
        seed: of its numbers.
        style: one of ``STYLES``.
    """

    shape: Shape
    seed: int
    style: str = "float"

    def values(self) -> NDArray[np.float32]:
        """Returns the numbers, away from 0."""
        numbers = np.random.default_rng(self.seed).standard_normal(self.shape)
        return (numbers + np.where(numbers < 0, -0.2, 0.2)).astype(np.float32)


Operand = str | Constant


@dataclass(frozen=True)
class Node:
    """One operator.

    Attributes:
        kind: a key of ``operators.OPERATORS``.
        operands: names of values, or constants.
        attributes: whole numbers, truth values, or tuples of whole numbers.
        name: of its first output; further ones are ``NAME_1`` …
    """

    kind: str
    operands: tuple[Operand, ...]
    name: str
    attributes: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Spec:
    """A graph.

    Attributes:
        inputs: name to shape.
        nodes: in order.
        outputs: names of values.
    """

    inputs: Mapping[str, Shape]
    nodes: tuple[Node, ...]
    outputs: tuple[str, ...]

    @property
    def kinds(self) -> tuple[str, ...]:
        return tuple(node.kind for node in self.nodes)
