"""Measures each graph of a bundle alone, on the CPU and on the GPU, form by form."""

from __future__ import annotations

from pathlib import Path

from detr2litert.host_runtime.bundle import load_bundle
from detr2litert.verify.cost.measure import Measurements
from detr2litert.verify.cost.measure import measure as measure_files
from detr2litert.verify.delegate.driver import NO_ADAPTER, find_driver

_GRAPH_TIMEOUT = 900.0


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
