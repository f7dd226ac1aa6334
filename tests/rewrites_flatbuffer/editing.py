"""Small files to edit, and running them before and after."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from detr2litert.host_runtime.tflite.graph import Graph, read_graph
from detr2litert.verify.delegate.adapters import Driver
from detr2litert.verify.delegate.run import DelegateRun, run_model

Arrays = dict[str, NDArray[Any]]


def kinds(path: Path) -> list[str]:
    """The operators of a file, in order."""
    return [op.name for op in read_graph(path).ops]


def readers(graph: Graph, name: str) -> list[str]:
    """The operators that read a signature output."""
    index = graph.signature_outputs[name]
    return [op.name for op in graph.ops if index in op.inputs]


def outputs(path: Path, inputs: Arrays, driver: Driver | None = None) -> Arrays:
    """A file's outputs, on the CPU, or on the GPU delegate alone if a driver is given."""
    run: DelegateRun = run_model(path, [inputs], accelerator="gpu" if driver else "cpu", driver=driver, enforce_f32=True)
    assert run.ok, run.error
    assert not run.error_lines
    return run.outputs[0]


def values(seed: int, *shape: int) -> NDArray[np.float32]:
    """Seeded normal values."""
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)
