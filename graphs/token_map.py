"""The four-dimensional map shape of a token tensor."""

from __future__ import annotations

from collections.abc import Sequence
from math import isqrt


def map_shape(shape: Sequence[int]) -> list[int]:
    """Returns the map shape of a token tensor: ``[1, H, W, C]``, H at most W, for ``[1, N, C]``, or ``[1, B, N, C]``."""
    batch, tokens, channels = shape
    if batch > 1:
        return [1, batch, tokens, channels]
    height = next(h for h in range(isqrt(tokens), 0, -1) if tokens % h == 0)
    return [1, height, tokens // height, channels]
