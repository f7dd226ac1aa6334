"""Defines what the delegate accepts and computes incorrectly: limits and predicates shared by rewrites, fix-ups, lint and
probes.

Each was measured on the delegate itself (ai-edge-litert 2.3.0); the probe suite measures them again.
"""

from __future__ import annotations

from collections.abc import Sequence

MAX_RANK = 4
"""Dimensions of a tensor: a reshape to more is refused."""
MAX_SIDE = 8192
"""Texels along a side of a texture. A batched matmul whose right side is higher (``batch * K / 4``) is accepted and wrong."""
LANES = 4
"""Channels are stored in fours: a row of another length is filled up, and some operators read what fills it."""

CUSTOM_CODES = frozenset(
    {
        "Convolution2DTransposeBias",
        "MaxPoolingWithArgmax2D",
        "MaxUnpooling2D",
        "Resampler",
        "custom_call.GroupNorm",
        "custom_call.LayerNorm",
        "custom_call.PixelShuffle",
        "custom_call.RmsNorm",
        "moe",
        # Those that have a kernel on the CPU.
        "AudioSpectrogram",
        "Mfcc",
        "NumericVerify",
        "TFLite_Detection_PostProcess",
        "aeq.hadamard_rotation",
    }
)
"""Custom operators that the runtime registers: a file with any other is refused before the delegate sees it."""

LARGEST = 65504.0
"""fp16's largest number (IEEE 754-2019, binary16). Phone GPUs compute in fp16 whatever the file's dtype."""
LARGEST_INTEGER = 2048.0
"""fp16 represents every integer up to this one."""
MIN_HEADROOM = 2.0
"""Powers of two required between a measured value and ``LARGEST``: other images may have larger values."""


def misapplies_constant(runtime: Sequence[int], constant: Sequence[int]) -> bool:
    """Returns whether an elementwise operator of a runtime tensor and a constant of these shapes is accepted and computed
    wrong.

    Rank four is correct. Below, a constant is applied to the wrong elements if its first dimension is above one and it has at
    least the tensor's rank (and is not a scalar), or if the tensor's first dimension is above one and the constant has a higher
    rank.
    """
    if len(runtime) >= MAX_RANK:
        return False
    varies = len(constant) >= max(len(runtime), 1) and constant[0] > 1
    return varies or (len(constant) > len(runtime) > 0 and runtime[0] > 1)
