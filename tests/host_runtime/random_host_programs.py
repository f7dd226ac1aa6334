"""Seeded random host programs with what the NumPy runtime makes of them: values, or a refusal.

The Kotlin and the JavaScript runtime get the same cases (``tests/android/make_goldens.py`` writes them) and must give the same
values or refuse at the same time: ``made``, before the program runs, or ``run``, where the fault depends on values.

Three of five programs are of the kind that the compiler emits: a selection with gathers, then a tail of random ops. The table
gives the tail's ops, their inputs and their attributes (`host_ops.json`), the tests' list the inputs that are clamped first
(`host_cases.LIMITS`). The other programs end in one op that the compiler does not emit, or have one fault (``OUTSIDE``).

Badly conditioned programs are drawn again: float32 must agree with float64 to a quarter of the tolerance of the other runtimes.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import jsonschema
import numpy as np
from host_cases import LIMITS
from numpy.typing import NDArray
from outside_programs import OUTSIDE

from detr2litert.host_runtime.errors import UserError
from detr2litert.host_runtime.host_kernels import KERNELS
from detr2litert.host_runtime.host_program import HostProgram
from detr2litert.host_runtime.host_step import HostStep
from detr2litert.host_runtime.host_table import OpRule, host_table
from detr2litert.host_runtime.manifest import load_schema
from detr2litert.host_runtime.tensor_spec import TensorSpec

Array = NDArray[Any]
COUNT, SEED = 300, 20261127
_LARGEST = 1e4
"""Programs with a value above it are drawn again: their sums would cancel."""


def tolerance_of(op: str) -> float:
    """The table's; 0 for an op that the table lacks."""
    rule = host_table().ops.get(op)
    return rule.tolerance if rule else 0.0


@dataclass
class Draft:
    """A program in the manifest's JSON layout, with its tensors. ``exact`` names those that are equal in every runtime."""

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
        return self._known(name, shape, tolerance_of(op) == 0 and self.exact.issuperset(inputs))

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
        rule = d.pick(host_table().ops.values())
        _BY_SHAPE[rule.shape](d, rule, d.pick(name for name in d.shapes if name.startswith("t") and name != "t0"))
    d.outputs = [str(name) for name in d.rng.permutation([op["output"] for op in d.ops])[: d.pick([1, 2, 3])]]
    if d.ops[-1]["output"] not in d.outputs:
        d.outputs.append(d.ops[-1]["output"])
    if d.chance(0.1):
        d.outputs.append("scores")
    return d


def _inputs(d: Draft, rule: OpRule, names: list[str]) -> list[str]:
    """The inputs, clamped first where `host_cases.LIMITS` has bounds for the op."""
    limits = LIMITS.get(rule.name, {})
    given = [(name, limits.get(item.name)) for name, item in zip(names, rule.inputs, strict=True)]
    return [name if bounds is None else d.op("clamp", [name], d.shapes[name], **bounds) for name, bounds in given]


def _attributes(d: Draft, rule: OpRule) -> dict[str, Any]:
    """Attributes of small values, optional ones half of the time."""
    chosen: dict[str, Any] = {}
    for name, item in rule.attributes.items():
        if item.optional and d.chance(0.5):
            continue
        low, high = (max(item.minimum, min(limit, item.maximum)) for limit in (-1.0, 1.0))
        if item.type == "text":
            chosen[name] = d.pick(item.values)
        elif item.type == "number":
            chosen[name] = float(d.rng.uniform(low, high))
        else:
            raise NotImplementedError(f"{rule.name}: a shape rule of its own must draw the attribute {name}")
    return chosen


def _same(d: Draft, rule: OpRule, x: str) -> str:
    return d.op(rule.name, _inputs(d, rule, [x]), d.shapes[x], **_attributes(d, rule))


def _clamp(d: Draft, rule: OpRule, x: str, low: float = -0.75, high: float = 0.5) -> str:
    limits = d.pick([{"min": low}, {"max": high}, {"min": low, "max": high}, {"min": -1, "max": 1}])
    return d.op(rule.name, [x], d.shapes[x], **limits)


def _broadcast(d: Draft, rule: OpRule, x: str) -> str:
    shape, names = d.shapes[x], [x]
    alike = [name for name in d.shapes if name.startswith("t") and name != "t0" and d.shapes[name] == shape]
    for _ in rule.inputs[1:]:
        narrow = tuple(1 if d.chance(0.4) else extent for extent in shape[int(d.rng.integers(len(shape) + 1)) :])
        names.append(d.pick(alike) if d.chance(0.4) else d.constant(d.normal(*narrow)))
    order = names if d.chance(0.5) else names[::-1]
    return d.op(rule.name, _inputs(d, rule, order), shape, **_attributes(d, rule))


def _linear(d: Draft, rule: OpRule, x: str) -> str:
    if not d.shapes[x]:
        return x
    outputs = int(d.rng.integers(1, 8))
    weight = d.constant(d.normal(outputs, d.shapes[x][-1]) / 2)
    bias = [d.constant(d.normal(outputs))] if d.chance(0.7) else []
    return d.op(rule.name, [x, weight, *bias], (*d.shapes[x][:-1], outputs))


def _layer_norm(d: Draft, rule: OpRule, x: str) -> str:
    if not d.shapes[x]:
        return x
    scales = [d.constant(d.normal(d.shapes[x][-1])) for _ in range(d.pick([0, 1, 2, 2]))]
    return d.op(rule.name, [x, *scales], d.shapes[x], eps=d.pick([1e-3, 1e-5]))


def _slice(d: Draft, rule: OpRule, x: str) -> str:
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
    return d.op(rule.name, [x], shape, axis=axis, start=start, end=extent + 7 if end == extent and d.chance(0.3) else end)


def _concat(d: Draft, rule: OpRule, x: str) -> str:
    if not d.shapes[x]:
        return x
    axis, shape = int(d.rng.integers(len(d.shapes[x]))), d.shapes[x]
    others = [
        d.constant(d.normal(*shape[:axis], int(d.rng.integers(1, 4)), *shape[axis + 1 :])) for _ in range(d.pick([0, 1, 2]))
    ]
    total = sum(d.shapes[name][axis] for name in [x, *others])
    return d.op(rule.name, [x, *others], (*shape[:axis], total, *shape[axis + 1 :]), axis=axis - d.pick([0, len(shape)]))


def _reshape(d: Draft, rule: OpRule, x: str) -> str:
    size = int(np.prod(d.shapes[x]))
    first = d.pick([n for n in range(1, size + 1) if size % n == 0])
    shape = d.pick([(size,), (first, size // first), (1, first, size // first), (first, 1, size // first, 1)])
    free = int(d.rng.integers(len(shape)))
    written = [-1 if index == free and d.chance(0.3) else extent for index, extent in enumerate(shape)]
    return d.op(rule.name, [x], shape, shape=written)


def _gather(d: Draft, rule: OpRule, x: str) -> str:
    if not d.shapes[x]:
        return x
    axis, count = int(d.rng.integers(len(d.shapes[x]))), int(d.rng.integers(1, 6))
    indices = d.constant(d.rng.integers(0, d.shapes[x][axis], count).astype(np.int32))
    return d.op(rule.name, [x, indices], (*d.shapes[x][:axis], count, *d.shapes[x][axis + 1 :]), axis=axis)


def _topk(d: Draft, rule: OpRule, x: str) -> str:
    if not d.shapes[x] or x not in d.exact:
        return x
    axis = int(d.rng.integers(len(d.shapes[x])))
    k = int(d.rng.integers(1, d.shapes[x][axis] + 1))
    d.op(rule.name, [x], (*d.shapes[x][:axis], k, *d.shapes[x][axis + 1 :]), k=k, axis=axis)
    name = d.ops[-1]["output"]
    d.shapes.pop(name)  # indices: no op of the tail reads them
    return name


_BY_SHAPE: dict[str, Callable[[Draft, OpRule, str], str]] = {
    "same": _same,
    "broadcast": _broadcast,
    "clamp": _clamp,
    "linear": _linear,
    "layer_norm": _layer_norm,
    "slice": _slice,
    "concat": _concat,
    "reshape": _reshape,
    "gather": _gather,
    "topk": _topk,
}
"""How an op is drawn, by its shape rule: an op with one of these is drawn without an entry of its own."""


def _judged(name: str, d: Draft) -> Case:
    """The case with NumPy's answer; anything but values, a ``UserError`` or a ``ValueError`` of the host step's is a fault."""
    program: dict[str, Any] = json.loads(json.dumps(d.program(), allow_nan=False))
    specs = [{"name": key, "shape": list(value.shape), "dtype": str(value.dtype)} for key, value in d.tensors.items()]
    tolerance = sum(tolerance_of(op["op"]) for op in d.ops)
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
