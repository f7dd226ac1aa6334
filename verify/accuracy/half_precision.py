"""Runs a bundle on many pictures on a GPU that computes in fp16, each graph in a child process of its own."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from detr2litert.verify.arrays import Arrays
from detr2litert.verify.delegate.adapters import Driver
from detr2litert.verify.delegate.run import DelegateRun, run_model
from detr2litert.verify.parity.mask_step import MaskStep, add_masks

_CHUNK_BYTES = 256 * 2**20
"""Of input tensors on the disk at a time."""


@dataclass(frozen=True)
class Chain:
    """The graphs' files, the names of graph B's inputs with their types, and the host step between the graphs.

    Where there is one graph, ``graph_b`` is None and the others are not used. ``graph_m`` and ``masks``, which says how it is
    called, are None where no masks are judged.
    """

    graph_a: Path
    graph_b: Path | None
    inputs_b: dict[str, np.dtype[Any]]
    host_step: Callable[[Arrays], Arrays]
    graph_m: Path | None = None
    masks: MaskStep | None = None


@dataclass(frozen=True)
class HalfPrecision:
    """The outputs to decode for the pictures that were run, in order, the adapter, and why there are none, if so."""

    outputs: tuple[dict[str, NDArray[Any]], ...]
    adapter: str = ""
    error: str = ""


def run_half_precision(
    chain: Chain, count: int, picture: Callable[[int], Arrays], driver: Driver, budget: float, timeout: float = 900.0
) -> HalfPrecision:
    """Runs the chain on pictures until all are done or the time is used up; at least one is run.

    Args:
        chain: of the bundle.
        count: number of pictures.
        picture: graph A's inputs for a picture, by its number.
        driver: how to reach the adapter.
        budget: seconds for all of graph A's runs, its compilation not counted.
        timeout: seconds for one picture.
    """
    outputs: list[dict[str, NDArray[Any]]] = []
    adapter, spent, done = "", 0.0, 0
    first = picture(0)
    size = max(1, _CHUNK_BYTES // sum(np.asarray(value).nbytes for value in first.values()))
    while done < count and (not done or spent < budget):
        given = [first if i == 0 else picture(i) for i in range(done, min(done + size, count))]
        start = time.monotonic()
        a = run_model(chain.graph_a, given, driver=driver, budget=budget - spent, timeout=timeout * len(given))
        spent += time.monotonic() - start
        if not a.ok:
            return HalfPrecision((), a.adapter, _failure("graph_a", a))
        last = a
        if chain.graph_b is not None:
            try:
                b_inputs = _inputs_b(chain, a.outputs)
            except ValueError as error:
                return HalfPrecision((), a.adapter, f"the host step cannot read graph A's outputs ({error})")
            last = run_model(chain.graph_b, b_inputs, driver=driver, timeout=timeout * len(b_inputs))
            if not last.ok:
                return HalfPrecision((), a.adapter, _failure("graph_b", last))
        found = last.outputs
        if chain.masks is not None and chain.graph_m is not None:
            graph_m = partial(run_model, chain.graph_m, driver=driver, timeout=timeout * len(given))
            found, m = add_masks(chain.masks, found, graph_m)
            if not m.ok:
                return HalfPrecision((), a.adapter, _failure("graph_m", m))
        outputs += found
        done, adapter = done + len(found), a.adapter
        if len(a.outputs) < len(given):
            break
    return HalfPrecision(tuple(outputs), adapter)


def _inputs_b(chain: Chain, outputs: Sequence[Arrays]) -> list[Arrays]:
    values = [{**one, **chain.host_step(one)} for one in outputs]
    return [{name: np.asarray(one[name], dtype) for name, dtype in chain.inputs_b.items()} for one in values]


def _failure(graph: str, run: DelegateRun) -> str:
    return f"{graph}: {run.outcome}: {run.error or '; '.join(op.reason for op in run.refused)}"
