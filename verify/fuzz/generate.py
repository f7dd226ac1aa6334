"""Draws a random graph from a seed and a number: the same two give the same graph."""

from __future__ import annotations

import numpy as np

from detr2litert.verify.fuzz.build import all_values, values_of
from detr2litert.verify.fuzz.operators import OPERATORS
from detr2litert.verify.fuzz.spec import IllFormedError, Node, Shape, Spec

_SIZES = (1, 2, 3, 4, 5, 6, 7, 8, 12, 16, 17)
_TRIES = 12
_KINDS = tuple(OPERATORS)


def generate(seed: int, number: int) -> Spec:
    """Returns graph ``number`` of a seed: 2 to 6 operators on one or two inputs of rank 1 to 4."""
    rng = np.random.default_rng((seed, number))
    inputs: dict[str, Shape] = {"x": _shape(rng)}
    if rng.random() < 0.4:
        inputs["z"] = inputs["x"] if rng.random() < 0.6 else _shape(rng)
    spec = Spec(inputs, (), ())
    wanted = int(rng.integers(2, 7))
    for _ in range(_TRIES * wanted):
        if len(spec.nodes) == wanted:
            break
        kind = str(rng.choice(_KINDS))
        drawn = OPERATORS[kind].draw(rng, values_of(spec))
        if drawn is None:
            continue
        node = Node(kind, drawn[0], f"t{len(spec.nodes)}", drawn[1])
        grown = Spec(spec.inputs, (*spec.nodes, node), ())
        try:
            values_of(grown)
        except IllFormedError:
            continue
        spec = grown
    return Spec(_used(spec), spec.nodes, _outputs(spec, rng))


def _shape(rng: np.random.Generator) -> Shape:
    rank = int(rng.choice((1, 2, 3, 4), p=(0.1, 0.2, 0.3, 0.4)))
    shape = tuple(int(rng.choice(_SIZES)) for _ in range(rank))
    return (1, *shape[1:]) if rank > 2 and rng.random() < 0.6 else shape


def _used(spec: Spec) -> dict[str, Shape]:
    read = {operand for node in spec.nodes for operand in node.operands if isinstance(operand, str)}
    return {name: shape for name, shape in spec.inputs.items() if name in read}


def _outputs(spec: Spec, rng: np.random.Generator) -> tuple[str, ...]:
    """What nothing reads, and now and then a value that is read as well."""
    read = {operand for node in spec.nodes for operand in node.operands if isinstance(operand, str)}
    values = all_values(spec)
    return tuple(name for name in values if name not in read or rng.random() < 0.15)
