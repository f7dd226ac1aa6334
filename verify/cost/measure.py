"""Measures the time of .tflite files on the CPU and on the GPU, and counts the dispatches of a GPU run."""

from __future__ import annotations

import re
import statistics
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from detr2litert.host_runtime.tflite.graph import Graph, read_graph
from detr2litert.verify.arrays import Arrays
from detr2litert.verify.delegate.adapters import Driver
from detr2litert.verify.delegate.dispatches import NotCounted, find_counter
from detr2litert.verify.delegate.driver import NO_ADAPTER, NoGpu
from detr2litert.verify.delegate.run import DelegateRun, Job, run_models
from detr2litert.verify.gates import Doing, unheard

_SOFTWARE_RUNS = 1
_UNKNOWN = re.compile(r"Encountered unresolved custom op: (\S+?)\.?$", re.MULTILINE)


@dataclass(frozen=True)
class Time:
    """The time of a graph on one processor.

    Attributes:
        milliseconds: median of the runs after the first, reading of the outputs included; None if it did not run.
        runs: how many that are.
        missing: why it did not run, "" if it did.
    """

    milliseconds: float | None
    runs: int
    missing: str = ""


@dataclass(frozen=True)
class Measured:
    """The measurement of one graph.

    Attributes:
        cpu, gpu: times.
        dispatches: of one GPU run; None if they were not counted.
    """

    cpu: Time
    gpu: Time
    dispatches: int | None


@dataclass(frozen=True)
class Measurements:
    """The measurements of some graphs.

    Attributes:
        graphs: by name.
        adapter: the GPU's name, "" without one.
        software: True if that is a software GPU, whose times are no phone's.
        not_counted: why no dispatches were counted; "" if they were.
        threads: of the CPU runs.
    """

    graphs: Mapping[str, Measured]
    adapter: str
    software: bool
    not_counted: str
    threads: int


def measure(
    graphs: Mapping[str, Path], gpu: Driver | NoGpu, runs: int, threads: int, timeout: float, doing: Doing = unheard
) -> Measurements:
    """Runs each graph's first signature on random inputs: once to warm up, then timed.

    Args:
        graphs: name to file.
        gpu: how to reach it (``driver.find_driver()``), or why there is none. It computes in its default precision.
        runs: timed runs; one on a software GPU, which takes seconds for each.
        threads: of the CPU.
        timeout: seconds for each graph on each processor.
        doing: called with a description of each computation.

    Raises:
        UserError: a file is not a readable LiteRT model.
    """
    driver, no_gpu = (None, gpu) if isinstance(gpu, NoGpu) else (gpu, NO_ADAPTER)
    software = driver is not None and not driver.adapter.hardware
    inputs = {name: _inputs(read_graph(path)) for name, path in graphs.items()}
    doing("the graphs on the CPU")
    cpu = run_models(_jobs(graphs, inputs, runs), accelerator="cpu", threads=threads, timeout=timeout)
    counter = find_counter(driver) if driver is not None else NotCounted(no_gpu.reason)
    if driver is not None:
        doing(f"the graphs on {driver.adapter.name}")
    on_gpu = run_models(
        _jobs(graphs, inputs, _SOFTWARE_RUNS if software else runs), driver=driver, timeout=timeout, counter=counter
    )
    return Measurements(
        {
            name: Measured(_time(one), _time(other, no_gpu.reason if driver is None else ""), other.dispatches)
            for name, one, other in zip(graphs, cpu, on_gpu, strict=True)
        },
        next((run.adapter for run in on_gpu if run.adapter), ""),
        software,
        counter.reason if isinstance(counter, NotCounted) else "",
        threads,
    )


def random_inputs(graph: Graph) -> dict[str, np.ndarray]:
    """Returns inputs by signature name: standard normal numbers, and zeros for other types than floats, as they may be indices.

    Raises:
        TypeError: an input is of a type that NumPy lacks.
    """
    random = np.random.default_rng(0)
    # Without a signature the runtime takes the tensors' names.
    named = graph.signature_inputs or {graph.tensors[index].name: index for index in graph.inputs}
    values = {}
    for name, tensor in ((name, graph.tensors[index]) for name, index in named.items()):
        dtype = np.dtype(tensor.dtype)
        floats = np.issubdtype(dtype, np.floating)
        values[name] = random.standard_normal(tensor.shape).astype(dtype) if floats else np.zeros(tensor.shape, dtype)
    return values


def _inputs(graph: Graph) -> Arrays | None:
    try:
        return random_inputs(graph)
    except TypeError:
        return None


def _jobs(graphs: Mapping[str, Path], inputs: Mapping[str, Arrays | None], runs: int) -> list[Job]:
    """Returns a job for each graph that runs it ``runs + 1`` times, or only compiles it without inputs."""
    return [Job(path, () if (given := inputs[name]) is None else (given,) * (runs + 1)) for name, path in graphs.items()]


def _time(run: DelegateRun, missing: str = "") -> Time:
    timed = run.run_seconds[1:]
    if run.ok and timed:
        return Time(1e3 * statistics.median(timed), len(timed))
    if run.ok:
        missing = "an input is of a type for which no values can be made"
    elif unknown := _UNKNOWN.search(run.log):
        missing = f"there is no kernel for the custom operator {unknown[1]}"
    refused = "; ".join(dict.fromkeys(f"{op.op}: {op.reason}" for op in run.refused))
    return Time(None, 0, missing or f"{run.outcome}: {refused or run.error}")
