"""The limits of the numerics gate."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Limits:
    """Lowest Pearson correlation per output; each is also a limit of sqrt(1 - r²) on the relative error (see ``metrics``).

    Attributes:
        cpu: float32 file on the CPU against PyTorch.
        shipped: shipped file against the float32 file, or against PyTorch where there is none.
        gpu: shipped file on the delegate, computing in fp32, against the CPU, its own or its portable twin's.
        unpacked: int8 against float, on the CPU; the average precision judges what of it matters. Measured at int8 weights:
            tiny 0.9992, dfine-tiny 0.9974. Static int8 may lose twice that on the calibration pictures
            (``convert.int8.sweep.bound_of``) and has the same limit.
        steps: the delegate against the float form where activations are int8 too: near a half step the two may round apart.
        max_taps: GPU runs spent on finding the first tensor that differs, per graph.
    """

    cpu: float = 0.99999
    shipped: float = 0.999
    gpu: float = 0.99999
    unpacked: float = 0.99
    steps: float = 0.99
    max_taps: int = 24
