"""The hand-made bundle as the converter writes one today, for goldens and browser tests.

It detects the same as `tests/host_runtime/tiny_bundle.py`'s, with another division of labour: the host step gives the indices
of the brightest cells, int32 [4], and graph B gathers. It has a native form: graph A is the same file, and graph B samples the
cells with the GPU delegate's operator Resampler, which no CPU can run.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import tiny_bundle
from tiny_bundle import CELLS, QUERIES

from detr2litert.host_runtime.manifest import Graphs, GraphSpec, HostOp, HostProgram, Manifest, NativeFiles, TensorSpec
from detr2litert.host_runtime.tflite.writer import ModelWriter

NATIVE_B = "graph_b.native.tflite"
SIDE = 4
"""Of the grid of cells."""


def graph_b(*, native: bool = False, steepness: float = 20.0) -> bytes:
    """Graph B in one of its forms; with another `steepness` than the reference's 20, its logits are wrong."""
    w = ModelWriter()
    memory, indices = w.input("memory", (1, CELLS, 3)), w.input("indices", (QUERIES,), "int32")
    cells = _rows(w, "cells", tiny_bundle.cell_grid()[0], indices)
    if native:
        picture = _reshaped(w, memory, "picture", (1, SIDE, SIDE, 3))
        places = _rows(w, "places", np.stack(np.divmod(np.arange(CELLS), SIDE)[::-1], axis=1).astype(np.float32), indices)
        points = _reshaped(w, places, "points", (1, QUERIES, 1, 2))
        sampled = w.op("CUSTOM:Resampler", [picture, points], {"sampled": (1, QUERIES, 1, 3)})
        selected = _reshaped(w, sampled, "selected", (1, QUERIES, 3))
    else:
        rows = w.op("GATHER", [memory, indices], {"selected": (1, QUERIES, 3)}, axis=1)
        selected = rows
    weights = [w.constant("weight", np.eye(3, dtype=np.float32) * np.float32(steepness))]
    weights.append(w.constant("bias", np.full(3, -10.0, np.float32)))
    logits = w.op("FULLY_CONNECTED", [selected, *weights], {"logits": (1, QUERIES, 3)}, keepNumDims=True)
    boxes = _reshaped(w, cells, "boxes", (1, QUERIES, 4))
    with tempfile.TemporaryDirectory() as folder:
        return w.write(Path(folder) / "graph_b.tflite", [boxes, logits]).read_bytes()


def _rows(w: ModelWriter, name: str, table: np.ndarray, indices: str) -> str:
    rows = {f"{name}_rows": (QUERIES, table.shape[1])}
    return w.op("GATHER", [w.constant(f"{name}_table", table), indices], rows, axis=0)


def _reshaped(w: ModelWriter, x: str, name: str, shape: tuple[int, ...]) -> str:
    return w.op("RESHAPE", [x, w.constant(f"{name}_shape", np.array(shape, np.int32))], {name: shape}, newShape=list(shape))


def write_bundle(root: Path, changed: dict[str, bytes | None] | None = None) -> Manifest:
    """Writes the bundle with golden vectors and detections recorded by running it on the CPU.

    `changed` replaces files, or adds some, before they are hashed.
    """
    a = tiny_bundle.manifest().graphs.a
    b = GraphSpec(
        "graph_b.tflite",
        (TensorSpec("memory", (1, CELLS, 3)), TensorSpec("indices", (QUERIES,), "int32")),
        (TensorSpec("boxes", (1, QUERIES, 4)), TensorSpec("logits", (1, QUERIES, 3))),
    )
    host = HostProgram(
        inputs=("enc_scores",),
        constants=(),
        ops=(
            HostOp("reshape", ("enc_scores",), "token_scores", {"shape": [CELLS]}),
            HostOp("topk", ("token_scores",), "indices", {"k": QUERIES, "axis": 0}),
        ),
        outputs=("indices",),
    )
    fields: dict[str, Any] = {
        "variant": "native_cells",
        "graphs": Graphs(a, b),
        "host_step": host,
        "native": NativeFiles(a=a.file, b=NATIVE_B),
    }
    files = {"graph_b.tflite": graph_b(), NATIVE_B: graph_b(native=True), **(changed or {})}
    return tiny_bundle.write_recorded_bundle(root, files, **fields)
