"""The host step as typed data: the compiler emits it, the manifest contains it and the runtimes execute it.

`HostProgram.check` checks all that does not depend on values: ops, arity, attributes, names, and, where the inputs' shapes are
given, every dtype and shape, and the memory and time that the program takes. A program that passes it with all shapes given can
only fail on an index that is out of range.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from math import prod
from typing import Any

from detr2litert.host_runtime.errors import REMAKE, UserError
from detr2litert.host_runtime.host_shapes import Attributes
from detr2litert.host_runtime.host_table import OpRule, host_table
from detr2litert.host_runtime.tensor_spec import Shape, TensorSpec

Kind = tuple[str, Shape]
"""A tensor's dtype and shape."""


@dataclass(frozen=True)
class HostOp:
    """One op of the host program: `output = op(*inputs, **attributes)`."""

    op: str
    inputs: tuple[str, ...]
    output: str
    attributes: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class CheckedOp:
    """An op that its rule accepts, with its attributes in their own types; `label` names it in messages."""

    label: str
    rule: OpRule
    inputs: tuple[str, ...]
    output: str
    attributes: Attributes

    def result(self, kinds: Sequence[Kind]) -> Kind:
        """The output's dtype and shape, from the inputs'; raises ValueError, naming op and inputs, if the op refuses them."""
        try:
            return self.rule.result(kinds, self.attributes)
        except ValueError as error:
            shapes = ", ".join(f"'{name}' {list(shape)}" for name, (_, shape) in zip(self.inputs, kinds, strict=True))
            raise ValueError(f"host step {self.label} cannot {self.rule.verb} {shapes}: {error}") from error


@dataclass(frozen=True)
class CheckedProgram:
    """Ops in order, and every tensor's dtype and shape by name: None where an input's shape was not given."""

    ops: tuple[CheckedOp, ...]
    kinds: Mapping[str, Kind | None]


@dataclass(frozen=True)
class HostProgram:
    """What runs between the two graphs, as straight-line code in single-assignment form over named tensors.

    Attributes:
        inputs: names of the outputs of graph A that it reads.
        ops: in execution order.
        outputs: names of its tensors that graph B reads.
        constants: tensors that are stored in the bundle's host parameters.
    """

    inputs: tuple[str, ...]
    ops: tuple[HostOp, ...]
    outputs: tuple[str, ...]
    constants: tuple[TensorSpec, ...] = ()

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> HostProgram:
        """From the manifest's JSON, which its schema has accepted."""
        return cls(
            inputs=tuple(data["inputs"]),
            constants=tuple(
                TensorSpec(item["name"], tuple(item["shape"]), item["dtype"]) for item in data.get("constants", [])
            ),
            ops=tuple(
                HostOp(op["op"], tuple(op["inputs"]), op["output"], dict(op.get("attributes", {}))) for op in data["ops"]
            ),
            outputs=tuple(data["outputs"]),
        )

    def check(self, input_specs: Iterable[TensorSpec] = (), output_specs: Iterable[TensorSpec] | None = None) -> CheckedProgram:
        """Check the program against the table, and its size against the table's limits.

        Args:
            input_specs: shapes and dtypes of inputs; those of other tensors are ignored.
            output_specs: what graph B reads: each output must be one of these, with that shape and dtype; by default anything
                may be an output.

        Raises:
            UserError: it cannot run. Programs come from bundles, so the message names the op and the field, and a remedy.
        """
        kinds: dict[str, Kind | None] = {}
        known = {spec.name: (spec.dtype, spec.shape) for spec in input_specs}
        for name in self.inputs:
            _assign(kinds, name, known.get(name), f"the host step's input '{name}'")
        for spec in self.constants:
            _assign(kinds, spec.name, (spec.dtype, spec.shape), f"the host step's constant '{spec.name}'")
        if len(self.ops) > host_table().max_ops:
            raise UserError(f"the host step has {len(self.ops)} ops, more than {host_table().max_ops}; {REMAKE}")
        size = _Size(kinds)
        ops = []
        for number, item in enumerate(self.ops):
            op = _checked(number, item, kinds)
            inputs = [kinds[name] for name in op.inputs]
            given = [kind for kind in inputs if kind is not None]
            try:
                result = op.result(given) if len(given) == len(inputs) else None
            except ValueError as error:
                raise UserError(f"{error}; {REMAKE}") from error
            _assign(kinds, op.output, result, f"host step {op.label}")
            if result is not None:
                size.add(op, given, result)
            ops.append(op)
        for name in self.outputs:
            if name not in kinds:
                raise UserError(f"the host step's output '{name}' is never computed; {REMAKE}")
        if len(set(self.outputs)) != len(self.outputs):
            raise UserError(f"the host step's outputs name a tensor twice ({', '.join(self.outputs)}); {REMAKE}")
        if output_specs is not None:
            _check_outputs({name: kinds[name] for name in self.outputs}, output_specs)
        return CheckedProgram(tuple(ops), kinds)


class _Size:
    """Sums up what a program takes; its limits are the table's.

    Args:
        kinds: its inputs and constants; a limit that depends on one whose shape is not given does not apply.
    """

    def __init__(self, kinds: Mapping[str, Kind | None]) -> None:
        limits = host_table()
        given = sum(prod(kind[1]) for kind in kinds.values() if kind is not None)
        justified = max(limits.free_elements, limits.max_growth * given)
        self._limit = limits.max_elements if None in kinds.values() else min(justified, limits.max_elements)
        self._max_work = limits.max_work
        self._elements = self._work = 0

    def add(self, op: CheckedOp, tensors: Sequence[Kind], result: Kind) -> None:
        """Counts an op; raises UserError at the one that exceeds a limit."""
        self._elements += prod(result[1])
        self._work += op.rule.work(tensors, result[1])
        if self._elements > self._limit:
            raise UserError(
                f"host step {op.label} brings what the host step computes to {self._elements} elements, more than the "
                f"{self._limit} that its inputs and constants justify; {REMAKE}"
            )
        if self._work > self._max_work:
            raise UserError(
                f"host step {op.label} brings the host step to {self._work} multiply-adds, more than {self._max_work}; {REMAKE}"
            )


def _check_outputs(outputs: Mapping[str, Kind | None], specs: Iterable[TensorSpec]) -> None:
    read = {spec.name: (spec.dtype, spec.shape) for spec in specs}
    for name, kind in outputs.items():
        if name not in read:
            raise UserError(f"the host step's output '{name}' is not an input of graph b; {REMAKE}")
        if kind is not None and kind != read[name]:
            given, wanted = (f"{dtype}{list(shape)}" for dtype, shape in (kind, read[name]))
            raise UserError(f"the host step gives '{name}' as {given}, but graph b reads {wanted}; {REMAKE}")


def _assign(kinds: dict[str, Kind | None], name: str, kind: Kind | None, what: str) -> None:
    if name in kinds:
        raise UserError(f"{what} assigns that name a second time; {REMAKE}")
    if kind is not None and not supported(kind):
        raise UserError(f"{what} is {kind[0]}{list(kind[1])}: rank or dtype is not supported; {REMAKE}")
    kinds[name] = kind


def supported(kind: Kind) -> bool:
    """Whether a host program may contain a tensor of this dtype and shape."""
    dtype, shape = kind
    limits = host_table()
    return dtype in limits.dtypes and len(shape) <= limits.max_rank and 0 not in shape


def _checked(number: int, item: HostOp, known: Mapping[str, object]) -> CheckedOp:
    label = f"op {number} '{item.op}' giving '{item.output}'"
    rule = host_table().ops.get(item.op)
    if rule is None:
        raise UserError(f"host step {label} is not an op this runtime knows; upgrade the runtime, or {REMAKE}")
    least, most = rule.arity
    if not least <= len(item.inputs) <= most:
        raise UserError(f"host step {label} has {len(item.inputs)} inputs, not {least} to {most}; {REMAKE}")
    try:
        attributes = rule.read_attributes(item.attributes)
    except ValueError as error:
        raise UserError(f"host step {label} {error}; {REMAKE}") from error
    for name in item.inputs:
        if name not in known:
            raise UserError(f"host step {label} reads '{name}', which is not computed before it; {REMAKE}")
    return CheckedOp(label, rule, item.inputs, item.output, attributes)
