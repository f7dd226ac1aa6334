"""Bootstrap intervals over pictures: how far a figure would move had other pictures been taken.

Pictures are drawn with replacement (Efron 1979); all sides of a comparison are computed on the same draws, so that a difference
has an interval of its own, much narrower than those of the two figures.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

ROUNDS = 300
_LEVEL = 95.0


@dataclass(frozen=True)
class Interval:
    """The central 95 % of a figure's resamples."""

    low: float
    high: float


def draw(pictures: int, rounds: int = ROUNDS, seed: int = 0) -> NDArray[np.int64]:
    """Returns ``[rounds, pictures]``: how often each picture is in each resample."""
    generator = np.random.default_rng(seed)
    return generator.multinomial(pictures, np.full(pictures, 1 / pictures), size=rounds).astype(np.int64)


def interval(values: NDArray[np.float64]) -> Interval:
    """Returns the interval of resampled values; those that are undefined do not count, and NaN if none is defined."""
    defined = values[np.isfinite(values)]
    if not defined.size:
        return Interval(float("nan"), float("nan"))
    low, high = np.percentile(defined, ((100 - _LEVEL) / 2, (100 + _LEVEL) / 2))
    return Interval(float(low), float(high))
