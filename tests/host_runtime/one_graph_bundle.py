"""The hand-made bundle in one graph, as ``--layout single`` writes it: for the runtimes' tests and the goldens.

It detects the same as ``tiny_bundle``'s: the graph selects the brightest cells itself, by TOPK_V2 and GATHER, and gives boxes,
logits and the selected cells' indices. There is no graph B and no host step.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import tiny_bundle
from tiny_bundle import CELLS, QUERIES, SIDE

from detr2litert.host_runtime.manifest import ONE_GRAPH_VERSION, Graphs, GraphSpec, HostProgram, Manifest, TensorSpec
from detr2litert.host_runtime.tflite.writer import ModelWriter

OUTPUTS = (
    TensorSpec("boxes", (1, QUERIES, 4)),
    TensorSpec("logits", (1, QUERIES, 3)),
    TensorSpec("indices", (QUERIES,), "int32"),
)
GRAPHS = Graphs(GraphSpec("graph_a.tflite", (TensorSpec("image", (1, 3, SIDE, SIDE)),), OUTPUTS))


def whole_graph(embeddings: bool = False, keypoints: tuple[np.ndarray, np.ndarray] | None = None) -> bytes:
    """The graph, with the constants of ``tiny_bundle``'s; with the colours of queries and of cells as outputs if asked for.

    With a weight [7 K, 3] and a bias [7 K], the output ``keypoints`` is a linear function of the queries' colours.
    """
    w = ModelWriter()
    rows = _pooled(w)
    scores = w.op("SUM", [rows, w.constant("axis", np.array([1], np.int32))], {"scores": (CELLS,)})
    chosen = {"best": (QUERIES,), "indices": (QUERIES,)}
    w.op("TOPK_V2", [scores, w.constant("k", np.array(QUERIES, np.int32))], chosen, dtype=("float32", "int32"))
    selected = w.op("GATHER", [rows, "indices"], {"selected": (QUERIES, 3)}, axis=0)
    cells = w.op("GATHER", [w.constant("grid", tiny_bundle.cell_grid()[0]), "indices"], {"cells": (QUERIES, 4)}, axis=0)
    weight, bias = w.constant("weight", np.eye(3, dtype=np.float32) * 20), w.constant("bias", np.full(3, -10.0, np.float32))
    coloured = w.op("FULLY_CONNECTED", [selected, weight, bias], {"coloured": (QUERIES, 3)})
    boxes = _reshaped(w, cells, "boxes", (1, QUERIES, 4))
    logits = _reshaped(w, coloured, "logits", (1, QUERIES, 3))
    outputs = [boxes, logits, "indices"]
    if embeddings:
        outputs += [_reshaped(w, selected, "mask_queries", (1, QUERIES, 3)), _reshaped(w, rows, "mask_cells", (1, 4, 4, 3))]
    if keypoints is not None:
        size = len(keypoints[1])
        constants = [w.constant(f"keypoints_{name}", data) for name, data in zip(("weight", "bias"), keypoints, strict=True)]
        numbers = w.op("FULLY_CONNECTED", [selected, *constants], {"numbers": (QUERIES, size)})
        outputs.append(_reshaped(w, numbers, "keypoints", (1, QUERIES, size // 7, 7)))
    with tempfile.TemporaryDirectory() as folder:
        return w.write(Path(folder) / "graph_a.tflite", outputs).read_bytes()


def _pooled(w: ModelWriter) -> str:
    """The picture's cells, ``[16, 3]``."""
    order = w.constant("order", np.array([0, 2, 3, 1], np.int32))
    picture = w.op("TRANSPOSE", [w.input("image", (1, 3, SIDE, SIDE)), order], {"picture": (1, SIDE, SIDE, 3)})
    sides = {"strideH": 2, "strideW": 2, "filterHeight": 2, "filterWidth": 2}
    pooled = w.op("AVERAGE_POOL_2D", [picture], {"pooled": (1, 4, 4, 3)}, padding=1, **sides)
    return _reshaped(w, pooled, "rows", (CELLS, 3))


def _reshaped(w: ModelWriter, x: str, name: str, shape: tuple[int, ...]) -> str:
    return w.op("RESHAPE", [x, w.constant(f"{name}_shape", np.array(shape, np.int32))], {name: shape}, newShape=list(shape))


def write_bundle(root: Path) -> Manifest:
    """Writes the bundle with golden vectors and detections recorded by running it on the CPU."""
    fields: dict[str, Any] = {
        "variant": "cells_in_one_graph",
        "graphs": GRAPHS,
        "host_step": HostProgram((), (), ()),
        "schema_version": ONE_GRAPH_VERSION,
    }
    files: dict[str, bytes | None] = {
        "graph_a.tflite": whole_graph(),
        "graph_b.tflite": None,
        "host_params.safetensors": None,
    }
    return tiny_bundle.write_recorded_bundle(root, files, **fields)
