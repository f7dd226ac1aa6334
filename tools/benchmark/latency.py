"""Measures the latency of a picture through a bundle on the CPU, stage by stage, and of each graph on the GPU, form by form."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from detr2litert.host_runtime.bundle import load_bundle
from detr2litert.host_runtime.preprocess import load_image
from detr2litert.verify.bench.bundle import BundleContender
from detr2litert.verify.bench.interleave import run_in_turns
from detr2litert.verify.bench.stages import FRAME, GRAPH_A, GRAPH_B, HOST_STEP, POSTPROCESS, PREPROCESS, Summary, summarise
from detr2litert.verify.cost.measure import Measurements
from detr2litert.verify.cost.measure import measure as measure_files
from detr2litert.verify.delegate.driver import NO_ADAPTER, find_driver

PICTURE_SIZE = (640, 480)
"""Width and height of the picture, in pixels; a frequent size of camera previews."""
STAGES = (PREPROCESS, GRAPH_A, HOST_STEP, GRAPH_B, POSTPROCESS, FRAME)
"""Without decoding: the picture is a camera's."""
_GRAPH_TIMEOUT = 900.0


def measure(bundle: Path, runs: int, threads: int) -> Mapping[str, Summary]:
    """Times every stage of ``STAGES`` on the bundle's golden picture, resized to ``PICTURE_SIZE``.

    Args:
        bundle: folder of a bundle of two graphs with golden vectors.
        runs: timed frames, after a few untimed ones.
        threads: of LiteRT's CPU kernels.
    """
    with load_bundle(bundle) as loaded:
        golden = loaded.manifest.golden
        assert golden is not None
        picture = load_image(loaded.path(golden.image)).resize(PICTURE_SIZE)
        contender = BundleContender(loaded.manifest.variant, loaded, threads=threads)
        try:
            (frames,) = run_in_turns([contender], [picture], runs)
        finally:
            contender.close()
    return {stage: summarise(frames.stages[stage]) for stage in STAGES}


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
