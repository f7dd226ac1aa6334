"""Measures the latency of a picture through a bundle on the CPU, stage by stage, and of each graph on the GPU, form by form."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from detr2litert.host_runtime.bundle import load_bundle
from detr2litert.host_runtime.preprocess import load_image, preprocess
from detr2litert.host_runtime.runner import Runner
from detr2litert.verify.cost.measure import Measurements
from detr2litert.verify.cost.measure import measure as measure_files
from detr2litert.verify.delegate.driver import NO_ADAPTER, find_driver

PICTURE_SIZE = (640, 480)
"""Width and height of the picture, in pixels; a frequent size of camera previews."""
STAGES = ("pre-processing", "graph A", "host step", "graph B", "post-processing", "whole frame")
_WARM_UP = 3
_GRAPH_TIMEOUT = 900.0


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
                inner.get("host_step", 0.0),  # there is none with one graph
                inner.get("graph_b", 0.0),
                (end - computed) * 1e3,
                (end - start) * 1e3,
            )
            if run >= _WARM_UP:
                for stage, value in zip(STAGES, frame, strict=True):
                    taken[stage].append(value)
    return {stage: timing(values) for stage, values in taken.items()}


def measure_graphs(bundle: Path, runs: int, threads: int) -> Measurements:
    """Counts the dispatches of every graph in every form, and times it alone, on random inputs (``verify.cost.measure``).

    Args:
        bundle: folder.
        runs: timed runs; one on a software GPU.
        threads: of LiteRT's CPU kernels.
    """
    with load_bundle(bundle) as loaded:
        files = {name: loaded.path(spec.file) for name, spec in loaded.manifest.graphs_by_name.items()}
        return measure_files(files, find_driver() or NO_ADAPTER, runs, threads, _GRAPH_TIMEOUT)
