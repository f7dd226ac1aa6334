"""Measures the latency of one picture through a bundle on the CPU, stage by stage, with ``host_runtime`` alone."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from detr2litert.host_runtime.preprocess import load_image, preprocess
from detr2litert.host_runtime.runner import Runner

PICTURE_SIZE = (640, 480)
"""Width and height of the picture, in pixels; a frequent size of camera previews."""
STAGES = ("pre-processing", "graph A", "host step", "graph B", "post-processing", "whole frame")
_WARM_UP = 3


@dataclass(frozen=True)
class Timing:
    """Milliseconds over a number of runs."""

    median: float
    p95: float
    runs: int


def timing(milliseconds: Sequence[float]) -> Timing:
    """Returns median and 95th percentile, interpolated linearly between the two nearest runs."""
    return Timing(float(np.median(milliseconds)), float(np.percentile(milliseconds, 95)), len(milliseconds))


def measure(bundle: Path, runs: int, threads: int) -> Mapping[str, Timing]:
    """Times every stage of ``STAGES`` on the bundle's golden picture, resized to ``PICTURE_SIZE``.

    Args:
        bundle: folder of a bundle with golden vectors.
        runs: timed frames, after three untimed ones.
        threads: of LiteRT's CPU kernels.
    """
    taken: dict[str, list[float]] = {stage: [] for stage in STAGES}
    with Runner(bundle, "cpu", threads=threads) as runner:
        manifest = runner.bundle.manifest
        golden = manifest.golden
        assert golden is not None
        picture = load_image(runner.bundle.path(golden.image)).resize(PICTURE_SIZE)
        for run in range(_WARM_UP + runs):
            start = time.perf_counter()
            tensor = preprocess(picture, manifest.preprocess)
            ready = time.perf_counter()
            outputs = runner.run(tensor)
            computed = time.perf_counter()
            runner.decode(outputs, picture.size)
            end = time.perf_counter()
            inner = outputs.milliseconds
            frame = (
                (ready - start) * 1e3,
                inner["graph_a"],
                inner["host_step"],
                inner["graph_b"],
                (end - computed) * 1e3,
                (end - start) * 1e3,
            )
            if run >= _WARM_UP:
                for stage, value in zip(STAGES, frame, strict=True):
                    taken[stage].append(value)
    return {stage: timing(values) for stage, values in taken.items()}
