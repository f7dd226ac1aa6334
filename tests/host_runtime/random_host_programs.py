"""Seeded random host programs with what the NumPy runtime makes of them: values, or a refusal.

Kotlin and JavaScript get the same cases (``tests/android/make_goldens.py`` writes them) and must give the same values or refuse
at the same moment: ``made``, before anything runs, or ``run``, where only the values show what is wrong.

Three of five programs are of the compiler's kind: a selection with gathers, then a tail of ops as ``graphs.host_step``
emits them. The others end in one op, or have one fault, from beyond that (``OUTSIDE``).

A program whose result says more about its conditioning than about a runtime is drawn again: float32 must agree with float64 to
a quarter of the tolerance that the other runtimes get.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import jsonschema
import numpy as np
from numpy.typing import NDArray
from outside_programs import OUTSIDE

from detr2litert.host_runtime.errors import UserError
from detr2litert.host_runtime.host_kernels import KERNELS
from detr2litert.host_runtime.host_program import HostProgram
from detr2litert.host_runtime.host_step import HostStep
from detr2litert.host_runtime.manifest import load_schema
from detr2litert.host_runtime.tensor_spec import TensorSpec

Array = NDArray[Any]
COUNT, SEED = 300, 20261127
_LARGEST = 1e4
"""Programs with a value above it are drawn again: their sums would cancel."""
TOLERANCES = {"linear": 2e-6, "layer_norm": 2e-6, "silu": 1e-6, "gelu": 1e-6, "sigmoid": 1e-6, "exp": 1e-6, "log": 1e-6}
"""What an op may differ by, per unit of the largest expected value; every other op is exact."""


@dataclass
class Draft:
    """A program in the manifest's JSON layout, with its tensors. ``exact`` names those that every runtime computes alike."""

    rng: np.random.Generator
    ops: list[dict[str, Any]] = field(default_factory=list)
    tensors: dict[str, Array] = field(default_factory=dict)
    constants: dict[str, Array] = field(default_factory=dict)
    outputs: list[str] = field(default_factory=list)
    shapes: dict[str, tuple[int, ...]] = field(default_factory=dict)
    exact: set[str] = field(default_factory=set)

    def normal(self, *shape: int) -> Array:
        return np.asarray(self.rng.standard_normal(shape), np.float32)

    def chance(self, share: float) -> bool:
        return bool(self.rng.random() < share)

    def pick(self, values: Any) -> Any:
        values = list(values)
        return values[int(self.rng.integers(len(values)))]

    def input(self, name: str, value: Array) -> str:
        self.tensors[name] = value
        return self._known(name, value.shape, True)

    def constant(self, value: Array) -> str:
        name = f"constant_{len(self.constants)}"
        self.constants[name] = value
        return self._known(name, value.shape, True)

    def op(self, op: str, inputs: list[str], shape: tuple[int, ...], /, **attributes: Any) -> str:
        name = f"t{len(self.ops)}"
        self.ops.append({"op": op, "inputs": inputs, "output": name, "attributes": attributes})
        return self._known(name, shape, op not in TOLERANCES and self.exact.issuperset(inputs))

    def _known(self, name: str, shape: tuple[int, ...], exact: bool) -> str:
        self.shapes[name] = shape
        if exact:
            self.exact.add(name)
        return name

    def program(self) -> dict[str, Any]:
        constants = [{"name": k, "shape": list(v.shape), "dtype": str(v.dtype)} for k, v in self.constants.items()]
        return {"inputs": list(self.tensors), "constants": constants, "ops": self.ops, "outputs": self.outputs}


@dataclass(frozen=True)
class Case:
    """A program, what goes in, and what comes out: ``outputs``, or ``refused`` at ``made`` or ``run`` with a message."""

    name: str
    program: dict[str, Any]
    specs: list[dict[str, Any]]
    tensors: dict[str, Array]
    constants: dict[str, Array]
    tolerance: float = 0.0
    outputs: dict[str, Array] = field(default_factory=dict)
    refused: str = ""
    message: str = ""


def random_cases(count: int = COUNT, seed: int = SEED) -> Iterator[Case]:
    """``count`` cases, the same for the same seed; two of five are from outside the compiler's domain."""
    names, turn = list(OUTSIDE), itertools.count()
    for number in range(count):
        rng = np.random.default_rng((seed, number))
        if number % 5 in (2, 4):
            fault = names[next(turn) % len(names)]
            draft = _selection(Draft(rng))
            draft.outputs = [draft.ops[-1]["output"]]
            OUTSIDE[fault](draft)
            yield _judged(f"{number:04}_{fault}", draft)
            continue
        while True:
            draft = _tail(_selection(Draft(rng)))
            case = _judged(f"{number:04}", draft)
            assert not case.refused, (case.message, case.program)
            if _is_well_conditioned(case):
                yield case
                break


def _selection(d: Draft) -> Draft:
    """Top-k and the first gathers, as ``graphs.partition`` writes them; a batch of two now and then."""
    batch, tokens, channels = d.pick([1, 1, 1, 2]), int(d.rng.integers(2, 40)), int(d.rng.integers(1, 12))
    k = int(d.rng.integers(1, tokens + 1))
    scores = d.normal(batch, tokens)
    d.input("scores", np.round(scores * 4) / 4 if d.chance(0.5) else scores)
    d.input("memory", d.normal(batch, 1, tokens, channels))
    indices = d.op("topk", ["scores"], (batch, k), k=k, axis=d.pick([1, -1]))
    memory = d.op("reshape", ["memory"], (batch, tokens, channels), shape=[batch, d.pick([-1, tokens]), channels])
    d.op("gather", [memory, indices], (batch, k, channels), axis=1)
    d.op("gather", [d.constant(d.normal(batch, tokens, 4)), indices], (batch, k, 4), axis=d.pick([1, -2]))
    return d


def _tail(d: Draft) -> Draft:
    for _ in range(int(d.rng.integers(1, 12))):
        d.pick(_TAIL)(d, d.pick(name for name in d.shapes if name.startswith("t") and name != "t0"))
    d.outputs = [str(name) for name in d.rng.permutation([op["output"] for op in d.ops])[: d.pick([1, 2, 3])]]
    if d.ops[-1]["output"] not in d.outputs:
        d.outputs.append(d.ops[-1]["output"])
    if d.chance(0.1):
        d.outputs.append("scores")
    return d


def _unary(op: str, **attributes: Any) -> Callable[[Draft, str], str]:
    return lambda d, x: d.op(op, [x], d.shapes[x], **attributes)


def _clamp(d: Draft, x: str, low: float = -0.75, high: float = 0.5) -> str:
    limits = d.pick([{"min": low}, {"max": high}, {"min": low, "max": high}, {"min": -1, "max": 1}])
    return d.op("clamp", [x], d.shapes[x], **limits)


def _exp(d: Draft, x: str) -> str:
    return _unary("exp")(d, d.op("clamp", [x], d.shapes[x], max=2.5))


def _log(d: Draft, x: str) -> str:
    return _unary("log")(d, d.op("clamp", [x], d.shapes[x], min=0.01))


def _linear(d: Draft, x: str) -> str:
    if not d.shapes[x]:
        return x
    outputs = int(d.rng.integers(1, 8))
    weight = d.constant(d.normal(outputs, d.shapes[x][-1]) / 2)
    bias = [d.constant(d.normal(outputs))] if d.chance(0.7) else []
    return d.op("linear", [x, weight, *bias], (*d.shapes[x][:-1], outputs))


def _layer_norm(d: Draft, x: str) -> str:
    if not d.shapes[x]:
        return x
    scales = [d.constant(d.normal(d.shapes[x][-1])) for _ in range(d.pick([0, 1, 2, 2]))]
    return d.op("layer_norm", [x, *scales], d.shapes[x], eps=d.pick([1e-3, 1e-5]))


def _binary(d: Draft, x: str) -> str:
    op, shape = d.pick(["add", "sub", "mul", "div", "maximum", "minimum"]), d.shapes[x]
    alike = [name for name in d.shapes if name.startswith("t") and name != "t0" and d.shapes[name] == shape]
    narrow = tuple(1 if d.chance(0.4) else extent for extent in shape[int(d.rng.integers(len(shape) + 1)) :])
    y = d.pick(alike) if d.chance(0.4) else d.constant(d.normal(*narrow))
    if op == "div":
        y = d.op("clamp", [y], d.shapes[y], min=0.5)
    return d.op(op, [x, y] if op == "div" or d.chance(0.5) else [y, x], shape)


def _slice(d: Draft, x: str) -> str:
    if not d.shapes[x]:
        return x
    axis = int(d.rng.integers(len(d.shapes[x])))
    extent = d.shapes[x][axis]
    start = int(d.rng.integers(extent))
    end = int(d.rng.integers(start + 1, extent + 1))
    shape = (*d.shapes[x][:axis], end - start, *d.shapes[x][axis + 1 :])
    if d.chance(0.3):
        axis -= len(d.shapes[x])
    if d.chance(0.2):
        start -= extent
    return d.op("slice", [x], shape, axis=axis, start=start, end=extent + 7 if end == extent and d.chance(0.3) else end)


def _concat(d: Draft, x: str) -> str:
    if not d.shapes[x]:
        return x
    axis, shape = int(d.rng.integers(len(d.shapes[x]))), d.shapes[x]
    others = [
        d.constant(d.normal(*shape[:axis], int(d.rng.integers(1, 4)), *shape[axis + 1 :])) for _ in range(d.pick([0, 1, 2]))
    ]
    total = sum(d.shapes[name][axis] for name in [x, *others])
    return d.op("concat", [x, *others], (*shape[:axis], total, *shape[axis + 1 :]), axis=axis - d.pick([0, len(shape)]))


def _reshape(d: Draft, x: str) -> str:
    size = int(np.prod(d.shapes[x]))
    first = d.pick([n for n in range(1, size + 1) if size % n == 0])
    shape = d.pick([(size,), (first, size // first), (1, first, size // first), (first, 1, size // first, 1)])
    free = int(d.rng.integers(len(shape)))
    written = [-1 if index == free and d.chance(0.3) else extent for index, extent in enumerate(shape)]
    return d.op("reshape", [x], shape, shape=written)


def _gather(d: Draft, x: str) -> str:
    if not d.shapes[x]:
        return x
    axis, count = int(d.rng.integers(len(d.shapes[x]))), int(d.rng.integers(1, 6))
    indices = d.constant(d.rng.integers(0, d.shapes[x][axis], count).astype(np.int32))
    return d.op("gather", [x, indices], (*d.shapes[x][:axis], count, *d.shapes[x][axis + 1 :]), axis=axis)


def _topk(d: Draft, x: str) -> str:
    if not d.shapes[x] or x not in d.exact:
        return x
    axis = int(d.rng.integers(len(d.shapes[x])))
    k = int(d.rng.integers(1, d.shapes[x][axis] + 1))
    d.op("topk", [x], (*d.shapes[x][:axis], k, *d.shapes[x][axis + 1 :]), k=k, axis=axis)
    name = d.ops[-1]["output"]
    d.shapes.pop(name)  # indices: no op of the tail reads them
    return name


_TAIL = (
    _unary("relu"), _unary("silu"), _unary("sigmoid"), _unary("gelu"), _unary("gelu", approximate="tanh"), _exp, _log, _clamp,
    _linear, _linear, _layer_norm, _binary, _binary, _binary, _slice, _concat, _reshape, _gather, _topk,
)  # fmt: skip


def _judged(name: str, d: Draft) -> Case:
    """The case with NumPy's answer; anything but values, a ``UserError`` or a ``ValueError`` of the host step's is a fault."""
    program: dict[str, Any] = json.loads(json.dumps(d.program(), allow_nan=False))
    specs = [{"name": key, "shape": list(value.shape), "dtype": str(value.dtype)} for key, value in d.tensors.items()]
    tolerance = sum(TOLERANCES.get(op["op"], 0.0) for op in d.ops)
    case = Case(name, program, specs, d.tensors, d.constants, tolerance)
    try:
        _check_by_schema(program, specs)
        inputs = tuple(TensorSpec(spec["name"], tuple(spec["shape"]), spec["dtype"]) for spec in specs)
        step = HostStep(HostProgram.from_dict(program), d.constants, inputs)
    except UserError as error:
        return Case(name, program, specs, {}, {}, refused="made", message=str(error))  # its tensors may be of no known type
    try:
        return Case(**{**case.__dict__, "outputs": step(d.tensors)})
    except ValueError as error:
        assert str(error).startswith("host step op"), error
        return Case(**{**case.__dict__, "refused": "run", "message": str(error)})


def _check_by_schema(program: dict[str, Any], specs: list[dict[str, Any]]) -> None:
    """As reading a manifest does; raises UserError."""
    schema = load_schema()
    whole = {"$defs": schema["$defs"], **schema["properties"]["host_step"]}
    tensors = {"$defs": schema["$defs"], "type": "array", "items": schema["$defs"]["tensor"]}
    for data, rules in ((program, whole), (specs, tensors)):
        problem = jsonschema.exceptions.best_match(jsonschema.Draft202012Validator(rules).iter_errors(data))
        if problem is not None:
            raise UserError(f"at {problem.json_path}: {problem.message[:200]}")


def _is_well_conditioned(case: Case) -> bool:
    known = HostStep(HostProgram.from_dict(case.program), case.constants).trace(case.tensors)
    wide = {name: value.astype(np.float64) if value.dtype == np.float32 else value for name, value in known.items()}
    for op in HostProgram.from_dict(case.program).check().ops:
        # Exact scores give the same indices in every runtime; in float64 they would be other scores.
        if op.rule.name != "topk":
            wide[op.output] = np.asarray(KERNELS[op.rule.name](*(wide[name] for name in op.inputs), **op.attributes))
    if not all(np.isfinite(value).all() and np.abs(value).max() <= _LARGEST for value in known.values()):
        return False
    for name, value in case.outputs.items():
        if np.abs(value - wide[name]).max() > max(case.tolerance, 1e-6) / 4 * max(1.0, float(np.abs(value).max())):
            return False
    return True
