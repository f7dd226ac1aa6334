"""The table of host ops: `host_ops.json` beside this file, as typed rules that a program is checked by.

The JSON is the only table. This module and `web_demo/src/host/table.js` read it, the compiler reads it through this module, and
tests compare Kotlin's `HostOps` with it. An op has

- inputs: the dtype, the lowest and the highest rank of each. Inputs at the end may be optional; the last may repeat;
- attributes: the type, the bounds or the values of each, and whether it is optional. No other attribute is accepted;
- an output: its dtype, and the name of the shape rule in `host_shapes`;
- aten: the ATen overloads that become this op by name: their tensors are its inputs, in order, their other arguments its
  attributes. An op without any is emitted by code of `graphs.host_step`;
- tolerance: how much two runtimes may differ, as a multiple of the largest expected value (at least 1). Without it, they must
  be equal.

Beside the ops it has the limits of a program, which `HostProgram.check` applies before anything runs:

- max_rank, max_elements, dtypes: of every tensor. All tensors of a manifest together, and all values of a program together, may
  also have max_elements at most (256 MiB of float32);
- max_ops: ops in a program. The compiler emits up to 19 (RF-DETR Nano with ``--layout tail``);
- max_growth: a program selects from what graph A gives, so all values that it computes together may have max_growth times the
  elements of its inputs and constants. The compiler's need up to twice as many. free_elements (4 MiB) are always allowed, since
  programs over small tensors grow more;
- max_work: multiply-adds. The compiler's need up to 6e7, the limit is a second or two on one core.

A rule refuses with a ValueError whose text continues a sentence that begins with the op.
"""

from __future__ import annotations

import importlib.resources
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from math import prod
from typing import Any

from detr2litert.host_runtime.host_shapes import SHAPES, Attributes, AttributeValue
from detr2litert.host_runtime.tensor_spec import Shape

_KINDS = {"float32": "float32", "int32": "integers (int32)"}


@dataclass(frozen=True)
class InputRule:
    """One input: its name in messages, its dtype, its lowest and highest rank, and how often it may occur at most."""

    name: str
    dtype: str
    ranks: tuple[int, int]
    optional: bool = False
    repeats: int = 1

    def check(self, dtype: str, shape: Shape) -> None:
        """Raises ValueError for another dtype or rank."""
        if dtype != self.dtype:
            raise ValueError(f"input '{self.name}' is {dtype}, not {_KINDS[self.dtype]}")
        least, most = self.ranks
        if not least <= len(shape) <= most:
            raise ValueError(
                f"input '{self.name}' has rank {len(shape)}, not {least}" + (f" to {most}" if most > least else "")
            )


@dataclass(frozen=True)
class AttributeRule:
    """One attribute: `type` is integer, number, text or integers (a list); bounds are inclusive, for each item of a list."""

    type: str
    minimum: float = 0
    maximum: float = 0
    values: tuple[str, ...] = ()
    optional: bool = False

    def read(self, name: str, value: Any) -> AttributeValue:
        """The value in its own type: 3.0, which JSON does not tell from 3, is the integer 3.

        Raises:
            ValueError: of another type, out of bounds, or not one of the values.
        """
        if self.type == "text" and isinstance(value, str) and value in self.values:
            return value
        if self.type == "integers" and isinstance(value, list | tuple) and all(map(self._is_whole, value)):
            return tuple(int(item) for item in value)
        if self.type == "integer" and self._is_whole(value):
            return int(value)
        if self.type == "number" and self._is_number(value):
            return float(value)
        raise ValueError(f"has {name} = {value!r:.60}, not {self._wanted()}")

    def _is_number(self, value: Any) -> bool:
        return isinstance(value, int | float) and not isinstance(value, bool) and self.minimum <= value <= self.maximum

    def _is_whole(self, value: Any) -> bool:
        return self._is_number(value) and value == int(value)

    def _wanted(self) -> str:
        if self.type == "text":
            return " or ".join(map(repr, self.values))
        kind = {"integer": "a whole number", "number": "a number", "integers": "a list of whole numbers"}[self.type]
        return f"{kind} from {self.minimum} to {self.maximum}"


@dataclass(frozen=True)
class OpRule:
    """One op: a row of the table.

    Attributes:
        computes: its meaning.
        verb: what it does with its inputs, for messages.
        dtype: its output's.
        shape: the name of its output's rule in `host_shapes.SHAPES`.
        aten: the ATen overloads that become it by name, the most general one first.
        tolerance: how much two runtimes may differ, as a multiple of the largest expected value (at least 1).
    """

    name: str
    computes: str
    verb: str
    inputs: tuple[InputRule, ...]
    attributes: Mapping[str, AttributeRule]
    dtype: str
    shape: str
    aten: tuple[str, ...] = ()
    tolerance: float = 0.0

    @property
    def arity(self) -> tuple[int, int]:
        """The lowest and the highest number of inputs."""
        return sum(not rule.optional for rule in self.inputs), sum(rule.repeats for rule in self.inputs)

    def read_attributes(self, given: Mapping[str, Any]) -> Attributes:
        """The attributes in their own types.

        Raises:
            ValueError: one is missing, unknown, of another type or out of bounds.
        """
        required = {name for name, rule in self.attributes.items() if not rule.optional}
        wrong = (required - set(given)) | (set(given) - set(self.attributes))
        if wrong:
            raise ValueError(f"lacks or does not know the attribute {', '.join(sorted(wrong))}")
        return {name: self.attributes[name].read(name, value) for name, value in given.items()}

    def result(self, tensors: Sequence[tuple[str, Shape]], attributes: Attributes) -> tuple[str, Shape]:
        """The output's dtype and shape.

        Args:
            tensors: the inputs' dtypes and shapes, as many as `arity` allows.
            attributes: what `read_attributes` gave.

        Raises:
            ValueError: the op cannot take these.
        """
        for index, (dtype, shape) in enumerate(tensors):
            self.inputs[min(index, len(self.inputs) - 1)].check(dtype, shape)
        result = SHAPES[self.shape]([shape for _, shape in tensors], attributes)
        limits = host_table()
        if len(result) > limits.max_rank:
            raise ValueError(f"it gives rank {len(result)}, more than {limits.max_rank}")
        if prod(result) > limits.max_elements:
            raise ValueError(f"it gives {prod(result)} elements, more than {limits.max_elements}")
        return self.dtype, result

    def work(self, tensors: Sequence[tuple[str, Shape]], result: Shape) -> int:
        """About how many multiply-adds it takes: as many for an element as it sums products, one for other ops."""
        return prod(result) * (tensors[0][1][-1] if self.shape == "linear" else 1)


@dataclass(frozen=True)
class HostTable:
    """The whole table: the limits of tensors and programs (see above), and the ops by name."""

    max_rank: int
    max_elements: int
    max_ops: int
    max_growth: int
    free_elements: int
    max_work: int
    dtypes: tuple[str, ...]
    ops: Mapping[str, OpRule]


@cache
def host_table() -> HostTable:
    """The table; the file is read at the first call."""
    data = load_table()
    ops = {name: _op(name, item) for name, item in data["ops"].items()}
    limits = {
        name: int(data[name]) for name in ("max_rank", "max_elements", "max_ops", "max_growth", "free_elements", "max_work")
    }
    return HostTable(**limits, dtypes=tuple(data["dtypes"]), ops=ops)


def load_table() -> dict[str, Any]:
    """`host_ops.json` as parsed JSON."""
    table: dict[str, Any] = json.loads(importlib.resources.files(__package__).joinpath("host_ops.json").read_text("utf-8"))
    return table


def _op(name: str, data: Mapping[str, Any]) -> OpRule:
    inputs = tuple(InputRule(**{**item, "ranks": tuple(item["ranks"])}) for item in data["inputs"])
    attributes = {
        key: AttributeRule(**{**item, "values": tuple(item.get("values", ()))})
        for key, item in data.get("attributes", {}).items()
    }
    output = data["output"]
    return OpRule(
        name,
        data["computes"],
        data["verb"],
        inputs,
        attributes,
        output["dtype"],
        output["shape"],
        tuple(data.get("aten", ())),
        data.get("tolerance", 0.0),
    )
