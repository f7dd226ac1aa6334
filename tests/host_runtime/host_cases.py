"""The cases of single host ops, as data: inputs and attributes of each.

`test_host_ops.py` compares NumPy with PyTorch on them, and the compiler's translation; `tests/android/make_goldens.py` writes
them, with NumPy's results, for the Kotlin and the JavaScript runtime. `all_cases` adds special values for elementwise ops.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from detr2litert.host_runtime.host_program import HostOp, HostProgram
from detr2litert.host_runtime.host_step import HostStep
from detr2litert.host_runtime.host_table import OpRule, host_table
from detr2litert.host_runtime.tensor_spec import TensorSpec

Array = NDArray[Any]


@dataclass(frozen=True)
class OpCase:
    """One op with its inputs in order; ``stored`` of them, the last, are constants of the program."""

    name: str
    op: str
    inputs: tuple[Array, ...]
    attributes: Mapping[str, Any]
    stored: int
    tolerance: float

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(f"in{index}" for index in range(len(self.inputs)))

    @property
    def tensors(self) -> dict[str, Array]:
        """The program's inputs by name."""
        return dict(list(zip(self.names, self.inputs, strict=True))[: len(self.inputs) - self.stored])

    @property
    def constants(self) -> dict[str, Array]:
        """The program's constants by name."""
        return dict(list(zip(self.names, self.inputs, strict=True))[len(self.inputs) - self.stored :])

    @property
    def program(self) -> HostProgram:
        op = HostOp(self.op, self.names, "out", self.attributes)
        return HostProgram(tuple(self.tensors), (op,), ("out",), _specs(self.constants))

    def run(self) -> Array:
        """What the NumPy runtime computes."""
        return HostStep(self.program, self.constants, _specs(self.tensors))(self.tensors)["out"]


def _specs(tensors: Mapping[str, Array]) -> tuple[TensorSpec, ...]:
    return tuple(TensorSpec(name, value.shape, str(value.dtype)) for name, value in tensors.items())


def case(op: str, *inputs: Array, note: str = "", stored: int = 0, tolerance: float | None = None, **attributes: Any) -> OpCase:
    """A case named ``op_note``; its tolerance is the op's unless it is given."""
    rule = host_table().ops.get(op)
    default = rule.tolerance if rule else 0.0
    return OpCase(f"{op}_{note}" if note else op, op, inputs, attributes, stored, default if tolerance is None else tolerance)


def normal(*shape: int, seed: int = 0) -> Array:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def whole(high: int, *shape: int) -> Array:
    """int32 from 0 to below ``high``."""
    return np.random.default_rng(high).integers(0, high, shape).astype(np.int32)


X = normal(1, 40, 6) * 3
ROW, COLUMN, PLANES = normal(1, 1, 6, seed=1), normal(3, 1, seed=2), normal(2, 1, 5, seed=3)
CUBE = normal(2, 5, 4, seed=4)
TIES = whole(20, 1, 576).astype(np.float32) / 7
SPECIAL = normal(1, 64, seed=5)
SPECIAL[0, [3, 9, 40, 41]] = np.nan, np.inf, -np.inf, np.nan
SPECIAL[0, [5, 6, 7, 8, 20, 21]] = 0.0, -0.0, 0.0, -0.0, 200.0, -200.0

CASES = [
    case("topk", normal(1, 8400), k=300, axis=1),
    case("topk", TIES, note="ties", k=300, axis=1),
    case("topk", np.zeros((1, 500), np.float32), note="all_equal", k=77, axis=1),
    case("topk", SPECIAL, note="special", k=64, axis=1),
    case("topk", SPECIAL, note="special_few", k=5, axis=-1),
    case("topk", whole(4, 2, 9, 3).astype(np.float32), note="middle_axis", k=4, axis=1),
    case("gather", normal(2, 30, 5), whole(30, 2, 7), note="batched", axis=1),
    case("gather", normal(1, 4, 9), whole(9, 6), note="flat", axis=2),
    case("gather", normal(1, 30), whole(30, 1, 7), note="scalars", axis=1),
    case("gather", normal(1, 8, 2), np.asarray([[7, 0, 3]], np.int32), note="stored", stored=1, axis=1),
    case("linear", normal(1, 300, 96), normal(94, 96, seed=1), normal(94, seed=2), stored=2),
    case("linear", normal(7, 5), normal(3, 5, seed=1), note="no_bias", stored=1),
    case("linear", normal(1, 3, 6), normal(2, 6, seed=1), note="computed"),
    case("layer_norm", normal(1, 40, 96) * 9, normal(96, seed=1), normal(96, seed=2), stored=2, eps=1e-5),
    case("layer_norm", normal(3, 10) + 100, note="plain", tolerance=1e-4, eps=1e-6),
    case("relu", X),
    case("silu", X * 3),
    case("gelu", X),
    case("gelu", X, note="tanh", approximate="tanh"),
    case("sigmoid", X * 13),
    case("exp", X),
    case("log", np.abs(X)),
    case("add", X, ROW),
    case("add", COLUMN, PLANES, note="ranks"),
    case("sub", X, ROW),
    case("sub", COLUMN, PLANES, note="ranks"),
    case("mul", X, ROW),
    case("div", X, ROW),
    case("maximum", X, ROW),
    case("minimum", X, ROW),
    case("clamp", X, note="both", min=-0.5, max=0.25),
    case("clamp", X, note="low", min=0.5),
    case("clamp", X, note="high", max=0.5),
    case("clamp", SPECIAL, note="special", min=0, max=3),
    case("slice", CUBE, axis=1, start=1, end=4),
    case("slice", CUBE, note="negative", axis=-1, start=-3, end=99),
    case("concat", normal(1, 3, 2), normal(1, 3, 4, seed=1), normal(1, 3, 1, seed=2), axis=2),
    case("concat", normal(2, 3), normal(1, 3, seed=1), note="front", axis=0),
    case("reshape", normal(1, 4, 6), shape=[1, -1, 3]),
]
"""At least one of each op, with equal values, NaN, infinities and -0 where they matter; `all_cases` adds elementwise ones."""

LIMITS: dict[str, dict[str, dict[str, float]]] = {
    "exp": {"x": {"max": 2.5}},
    "log": {"x": {"min": 0.01}},
    "div": {"y": {"min": 0.5}},
}
"""By op and input: bounds outside which the op is undefined or badly conditioned; the random programs clamp the input first."""


def all_cases() -> list[OpCase]:
    """`CASES`, and for each elementwise op one with NaN, infinities and -0: of two inputs, each with each."""
    return [*CASES, *(_special(rule) for rule in host_table().ops.values() if is_elementwise(rule))]


def is_elementwise(rule: OpRule) -> bool:
    """Whether the op computes each element alone and needs no attribute."""
    return rule.shape in ("same", "broadcast") and all(item.optional for item in rule.attributes.values())


def _special(rule: OpRule) -> OpCase:
    inputs = [SPECIAL, *(SPECIAL.reshape(64, 1) for _ in rule.inputs[1:])]
    return case(rule.name, *inputs, note="special")
