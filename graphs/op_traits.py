"""Defines the traits of ATen operators: the sets that rewrites and the cut use are derived from this table.

An operator that is not in the table has no trait, and no rewrite makes an assumption about it.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Flag, auto
from typing import Any

import torch

aten = torch.ops.aten


class Trait(Flag):
    """A property of an operator that is independent of its operands."""

    RESHAPES = auto()
    """The result has the input's values in the same row-major order, in another shape."""
    UNIT_DIMENSIONS = auto()
    """Adds or removes dimensions of one."""
    PERMUTES = auto()
    """The result has each value of the input once, in another order."""
    EXPANDS = auto()
    """The result repeats values of the input along a dimension of stride zero."""
    REPEATS = auto()
    """The result is a concatenation of copies of the input."""
    SELECTS = auto()
    """The result has some of the input's values."""
    UNARY = auto()
    """Elementwise on one tensor; further arguments are numbers."""
    BINARY = auto()
    """Elementwise on two operands that broadcast."""
    REDUCTION = auto()
    """Reduces over the dimensions in its second argument."""
    SCALAR_ARITHMETIC = auto()
    """Computes ``a x + b`` if one operand is a plain number."""


_RESHAPES, _UNIT, _PERMUTES, _SELECTS = Trait.RESHAPES, Trait.UNIT_DIMENSIONS, Trait.PERMUTES, Trait.SELECTS
_UNARY, _BINARY, _SCALAR = Trait.UNARY, Trait.BINARY, Trait.SCALAR_ARITHMETIC

TRAITS: Mapping[Any, Trait] = {
    aten.flatten.using_ints: _RESHAPES,
    aten.reshape.default: _RESHAPES,
    aten.squeeze.default: _UNIT,
    aten.squeeze.dim: _UNIT,
    aten.squeeze.dims: _UNIT,
    aten.unflatten.int: _RESHAPES,
    aten.unsqueeze.default: _UNIT,
    aten.movedim.int: _PERMUTES,
    aten.permute.default: _PERMUTES,
    aten.t.default: _PERMUTES,
    aten.transpose.int: _PERMUTES,
    aten.expand.default: Trait.EXPANDS,
    aten.repeat.default: Trait.REPEATS,
    aten.select.int: _SELECTS,
    aten.slice.Tensor: _SELECTS,
    aten.abs.default: _UNARY,
    aten.clamp.default: _UNARY,
    aten.clamp_max.default: _UNARY,
    aten.clamp_min.default: _UNARY,
    aten.cos.default: _UNARY,
    aten.elu.default: _UNARY,
    aten.exp.default: _UNARY,
    aten.floor.default: _UNARY,
    aten.gelu.default: _UNARY,
    aten.hardsigmoid.default: _UNARY,
    aten.hardswish.default: _UNARY,
    aten.hardtanh.default: _UNARY,
    aten.leaky_relu.default: _UNARY,
    aten.log.default: _UNARY,
    aten.neg.default: _UNARY,
    aten.pow.Tensor_Scalar: _UNARY,
    aten.reciprocal.default: _UNARY,
    aten.relu.default: _UNARY,
    aten.rsqrt.default: _UNARY,
    aten.rsub.Scalar: _UNARY | _SCALAR,
    aten.sigmoid.default: _UNARY,
    aten.sign.default: _UNARY,
    aten.silu.default: _UNARY,
    aten.sin.default: _UNARY,
    aten.softplus.default: _UNARY,
    aten.sqrt.default: _UNARY,
    aten.tanh.default: _UNARY,
    aten.add.Tensor: _BINARY | _SCALAR,
    aten.sub.Tensor: _BINARY | _SCALAR,
    aten.mul.Tensor: _BINARY | _SCALAR,
    aten.div.Tensor: _BINARY | _SCALAR,
    aten.maximum.default: _BINARY,
    aten.minimum.default: _BINARY,
    aten.sum.dim_IntList: Trait.REDUCTION,
    aten.mean.dim: Trait.REDUCTION,
    aten.amax.default: Trait.REDUCTION,
    aten.amin.default: Trait.REDUCTION,
}


def ops_with(traits: Trait) -> tuple[Any, ...]:
    """Returns the operators that have any of the given traits, in the table's order."""
    return tuple(op for op, own in TRAITS.items() if own & traits)


RESHAPES = ops_with(Trait.RESHAPES)
UNIT_VIEWS = ops_with(Trait.UNIT_DIMENSIONS)
STRIDED_VIEWS = ops_with(Trait.UNIT_DIMENSIONS | Trait.PERMUTES | Trait.EXPANDS)
"""Ops that read the same memory with other strides, for any strides of the input."""
REARRANGEMENTS = ops_with(Trait.RESHAPES | Trait.UNIT_DIMENSIONS | Trait.PERMUTES)
"""Ops whose result has each value of the input once, in some order and shape."""
INDEX_VIEWS = ops_with(Trait.RESHAPES | Trait.UNIT_DIMENSIONS | Trait.EXPANDS | Trait.REPEATS)
"""Ops that bring an index tensor to the shape that a gather needs."""
VIEWS = ops_with(Trait.RESHAPES | Trait.UNIT_DIMENSIONS | Trait.PERMUTES | Trait.EXPANDS | Trait.SELECTS)
"""Ops that move values without changing them: a scalar op commutes with them."""
UNARY = ops_with(Trait.UNARY)
BINARY = ops_with(Trait.BINARY)
REDUCTIONS = ops_with(Trait.REDUCTION)
SCALAR_ARITHMETIC = ops_with(Trait.SCALAR_ARITHMETIC)
PER_TOKEN = (aten.linear.default, aten.layer_norm.default, *UNARY)
"""Ops that compute the same for each vector along the last dimension; a layer norm only if it is over that dimension."""
