"""Inputs to compare on: random ones of several magnitudes, and the user's own from an .npz file."""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from detr2litert.host_runtime.errors import UserError
from detr2litert.host_runtime.tflite.graph import Graph, Tensor
from detr2litert.verify.arrays import Arrays

GIVEN = "the given inputs"
_MOVED = 1e-6  # a few roundings of float32


def random_inputs(graph: Graph, seed: int = 0) -> dict[str, Arrays]:
    """Draws input sets by description: normal numbers of two magnitudes, small non-negative ones, and negative ones.

    Whole numbers are 0 or 1, valid indices of every table and axis that has two entries.
    """
    rng = np.random.default_rng(seed)
    sets: dict[str, Arrays] = {}
    draws: dict[str, Callable[[tuple[int, ...]], NDArray[np.float64]]] = {
        "normal, magnitude 1": lambda shape: np.asarray(rng.standard_normal(shape)),
        "uniform from 0 to 0.1": lambda shape: np.asarray(rng.uniform(0.0, 0.1, shape)),
        "normal, magnitude 8": lambda shape: np.asarray(8.0 * rng.standard_normal(shape)),
        "uniform from -2 to -0.1": lambda shape: np.asarray(rng.uniform(-2.0, -0.1, shape)),
    }
    for about, draw in draws.items():
        values: dict[str, NDArray[Any]] = {}
        for name, index in graph.signature_inputs.items():
            tensor = graph.tensors[index]
            if tensor.dtype.startswith("float"):
                values[name] = draw(tensor.shape).astype(tensor.dtype)
            elif tensor.dtype == "bool":
                values[name] = rng.random(tensor.shape) < 0.5
            else:
                values[name] = rng.integers(0, 2, tensor.shape).astype(tensor.dtype)
        sets[about] = values
    if all(not graph.tensors[i].dtype.startswith("float") for i in graph.signature_inputs.values()):
        return dict(list(sets.items())[:1])
    return sets


def moved(values: Arrays, seed: int = 1) -> Arrays:
    """Returns the inputs with every float moved by a few roundings: the CPU's own answer to it shows how much those can do."""
    rng = np.random.default_rng(seed)
    return {
        name: (value * (1 + _MOVED * rng.choice((-1.0, 1.0), value.shape))).astype(value.dtype)
        if value.dtype.kind == "f"
        else value
        for name, value in values.items()
    }


def read_inputs(path: Path, graph: Graph) -> Arrays:
    """Reads an .npz file of arrays by signature name.

    Raises:
        UserError: it cannot be read, or its arrays are not the graph's inputs.
    """
    try:
        with np.load(path, allow_pickle=False) as archive:
            given = {name: archive[name] for name in archive.files}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, AttributeError) as error:
        raise UserError(f"{path}: not an .npz file of arrays; write one with numpy.savez({path.name!r}, name=array)") from error
    wanted = {name: graph.tensors[index] for name, index in graph.signature_inputs.items()}
    if set(given) != set(wanted):
        raise UserError(f"{path}: its arrays are {_names(given)}, the inputs of {graph.name} are {_names(wanted)}")
    for name, tensor in wanted.items():
        if given[name].dtype != np.dtype(tensor.dtype) or not _fits(given[name].shape, tensor):
            raise UserError(
                f"{path}: {name} is {given[name].dtype}{list(given[name].shape)}, but {graph.name} takes "
                f"{tensor.dtype}{list(tensor.shape)}; convert the array"
            )
    return given


def _fits(shape: tuple[int, ...], tensor: Tensor) -> bool:
    return shape == tensor.shape or (tensor.dynamic and len(shape) == tensor.rank)


def _names(values: object) -> str:
    return ", ".join(sorted(values)) or "none"  # type: ignore[call-overload]
