"""The table of host ops: `host_ops.json` beside this file, as typed rules that a program is checked by.

The JSON is the one table. This module and `web_demo/src/host/table.js` read it; a JVM test compares Kotlin's `HostOps` with it;
the manifest's schema names the same ops and dtypes, which a test holds. An op has

- inputs: for each its dtype and its least and greatest rank. The last may be optional, or repeat;
- attributes: for each its type, its bounds or its values, and whether it may be absent. Nothing else is accepted;
- an output: its dtype, and the rule of `host_shapes` that gives its shape.

A rule refuses with a ValueError whose text continues a sentence that begins with the op.
"""

from __future__ import annotations

import importlib.resources
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

from detr2litert.host_runtime.host_shapes import SHAPES, Attributes, AttributeValue
from detr2litert.host_runtime.tensor_spec import Shape

_KINDS = {"float32": "float32", "int32": "integers (int32)"}


@dataclass(frozen=True)
class InputRule:
    """One input: what it is called in messages, its dtype, its least and greatest rank, and up to how often it may occur."""

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
    """One op. `computes` is its meaning in words, `verb` what it does with its inputs, for messages, and `shape` the name of
    its rule in `host_shapes.SHAPES`."""

    name: str
    computes: str
    verb: str
    inputs: tuple[InputRule, ...]
    attributes: Mapping[str, AttributeRule]
    dtype: str
    shape: str

    @property
    def arity(self) -> tuple[int, int]:
        """The least and the greatest number of inputs."""
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
        if len(result) > MAX_RANK:
            raise ValueError(f"it gives rank {len(result)}, more than {MAX_RANK}")
        if prod(result) > MAX_ELEMENTS:
            raise ValueError(f"it gives {prod(result)} elements, more than {MAX_ELEMENTS}")
        return self.dtype, result


def _op(name: str, data: Mapping[str, Any]) -> OpRule:
    inputs = tuple(InputRule(**{**item, "ranks": tuple(item["ranks"])}) for item in data["inputs"])
    attributes = {
        key: AttributeRule(**{**item, "values": tuple(item.get("values", ()))})
        for key, item in data.get("attributes", {}).items()
    }
    output = data["output"]
    return OpRule(name, data["computes"], data["verb"], inputs, attributes, output["dtype"], output["shape"])


def load_table() -> dict[str, Any]:
    """`host_ops.json` as it is."""
    table: dict[str, Any] = json.loads(importlib.resources.files(__package__).joinpath("host_ops.json").read_text("utf-8"))
    return table


_TABLE = load_table()
MAX_RANK: int = _TABLE["max_rank"]
MAX_ELEMENTS: int = _TABLE["max_elements"]
DTYPES: tuple[str, ...] = tuple(_TABLE["dtypes"])
HOST_OPS: Mapping[str, OpRule] = {name: _op(name, data) for name, data in _TABLE["ops"].items()}
"""Every op by its name."""
