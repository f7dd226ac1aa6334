"""Judges one run of the delegate by the CPU's: a fault, agreement, or no judgement.

A difference is no fault where the graph itself magnifies roundings (a rank that a tie decides, a quotient near 0): the CPU is
run again on inputs moved by a few roundings, and where its own outputs then differ beyond the limit, that set is not judged.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from detr2litert.verify.parity.metrics import Difference, difference, residual

LIMIT = 0.99999
"""Lowest correlation of an output in fp32, and sqrt(1 - r²) = 0.0045 the largest relative error (``parity.metrics``)."""
LIMIT_FP16 = 0.99
_ROUNDING = 1e-5  # of the largest value: a difference below it is none, however little the reference varies
_ENOUGH = 0.5  # of the reference's elements must be finite

Outputs = Mapping[str, NDArray[Any]]


def compare(outputs: Outputs, reference: Outputs, limit: float) -> dict[str, Difference]:
    """Compares every output, at the elements where the reference is a finite number; an output without enough is left out.

    Where the inputs are outside an operator's domain, the reference has no value to compare with.
    """
    found = {}
    for name, value in reference.items():
        finite = np.isfinite(np.asarray(value, np.float64))
        if value.size and finite.mean() < _ENOUGH:
            continue
        with np.errstate(invalid="ignore", over="ignore"):
            candidate = np.asarray(outputs[name])
            found[name] = difference(candidate[finite], np.asarray(value)[finite], tolerance=residual(limit))
    return found


def failing(found: Mapping[str, Difference], limit: float) -> tuple[str, ...]:
    """Returns the outputs beyond the limit."""
    return tuple(
        name
        for name, result in found.items()
        if not result.within(limit) and result.max_abs_error > _ROUNDING * result.reference_max
    )


def sensitive(reference: Outputs, again: Outputs, limit: float) -> set[str]:
    """Returns the outputs that roundings of the inputs move beyond the limit: ``again`` is the CPU's answer to them."""
    return {name for name, result in compare(again, reference, limit).items() if not result.within(limit)}


def worse(first: Difference | None, second: Difference) -> Difference:
    """Returns the one with the larger error; NaN is the largest."""
    if first is None or _badness(second) > _badness(first):
        return second
    return first


def _badness(found: Difference) -> float:
    return math.inf if math.isnan(found.relative_error) else found.relative_error
