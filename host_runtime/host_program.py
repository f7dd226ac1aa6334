"""The host step as typed data: the compiler emits it, the manifest contains it and the runtimes execute it.

`HostProgram.check` checks all that does not depend on values: ops, arity, attributes, names, and, where the inputs' shapes are
given, every dtype and shape. A program that passes it with all shapes given can only fail on an index that is out of range.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
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

    def check(self, input_specs: Iterable[TensorSpec] = ()) -> CheckedProgram:
        """Check the program against the table.

        Args:
            input_specs: shapes and dtypes of inputs; those of other tensors are ignored.

        Raises:
            UserError: it cannot run. Programs come from bundles, so the message names the op and the field, and a remedy.
        """
        kinds: dict[str, Kind | None] = {}
        known = {spec.name: (spec.dtype, spec.shape) for spec in input_specs}
        for name in self.inputs:
            _assign(kinds, name, known.get(name), f"the host step's input '{name}'")
        for spec in self.constants:
            _assign(kinds, spec.name, (spec.dtype, spec.shape), f"the host step's constant '{spec.name}'")
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
            ops.append(op)
        for name in self.outputs:
            if name not in kinds:
                raise UserError(f"the host step's output '{name}' is never computed; {REMAKE}")
        if len(set(self.outputs)) != len(self.outputs):
            raise UserError(f"the host step's outputs name a tensor twice ({', '.join(self.outputs)}); {REMAKE}")
        return CheckedProgram(tuple(ops), kinds)


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
