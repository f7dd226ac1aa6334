"""The stages of a frame, and the figures of a stage over many frames."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

DECODE = "decode"
PREPROCESS = "pre-processing"
GRAPH_A = "graph A"
HOST_STEP = "host step"
GRAPH_B = "graph B"
DETECTOR = "detector"
POSTPROCESS = "post-processing"
FRAME = "whole frame"

STAGES = (DECODE, PREPROCESS, GRAPH_A, HOST_STEP, GRAPH_B, DETECTOR, POSTPROCESS)
"""All stages in the order of execution. A bundle has graphs, every other contender a detector as a whole."""
GRAPHS = (GRAPH_A, HOST_STEP, GRAPH_B, DETECTOR)
"""The stages that depend on the detector's size."""


@dataclass(frozen=True)
class Summary:
    """Milliseconds of one stage over a number of frames.

    Attributes:
        median, p95, p99: percentiles, interpolated linearly between the two nearest frames.
        runs: how many frames; p99 of fewer than 100 lies between the two slowest.
    """

    median: float
    p95: float
    p99: float
    runs: int


def summarise(milliseconds: Sequence[float]) -> Summary:
    """Returns the figures of at least one frame."""
    median, p95, p99 = (float(value) for value in np.percentile(milliseconds, (50, 95, 99)))
    return Summary(median, p95, p99, len(milliseconds))
