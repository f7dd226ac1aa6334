"""What the delegate takes and what it gets wrong, once: limits and predicates that rewrites, fix-ups, lint and probes share.

Each was measured on the delegate itself (ai-edge-litert 2.3.0); the probe suite measures them again.
"""

from __future__ import annotations

from collections.abc import Sequence

MAX_RANK = 4
"""Dimensions of a tensor: a reshape to more is refused."""
MAX_SIDE = 8192
"""Texels along a side of a texture. A batched matmul whose right side is higher (``batch * K / 4``) is taken and is wrong."""

LARGEST = 65504.0
"""fp16's largest number (IEEE 754-2019, binary16). A phone computes in fp16 whatever the file says."""
LARGEST_INTEGER = 2048.0
"""Up to here fp16 holds every integer."""
SPARE = 2.0
"""Powers of two that must be left between what was measured and ``LARGEST``: other pictures have larger values."""


def misapplies_constant(runtime: Sequence[int], constant: Sequence[int]) -> bool:
    """Whether an elementwise operator of a runtime tensor and a constant, of these shapes, is taken and computed wrong.

    It is right at rank four. Below, a constant is applied to other elements than it should be if its first dimension is above
    one and it has at least the tensor's rank (and is no scalar), or if the tensor's is above one and it has a higher rank.
    """
    if len(runtime) >= MAX_RANK:
        return False
    varies = len(constant) >= max(len(runtime), 1) and constant[0] > 1
    return varies or (len(constant) > len(runtime) > 0 and runtime[0] > 1)
