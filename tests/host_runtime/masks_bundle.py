"""A hand-made bundle with masks: the one graph of ``one_graph_bundle``, and a graph of the masks of two queries at a time.

The logit of a cell of a mask is the product of its colour with the query's, less one half.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import tiny_bundle
from one_graph_bundle import OUTPUTS, whole_graph
from tiny_bundle import QUERIES, SIDE

from detr2litert.host_runtime.manifest import (
    MASKS_VERSION,
    Graphs,
    GraphSpec,
    HostProgram,
    Manifest,
    Masks,
    Postprocess,
    TensorSpec,
)
from detr2litert.host_runtime.tflite.writer import ModelWriter

ROOM = 2
BIAS = -0.5
EMBEDDINGS = (TensorSpec("mask_queries", (1, QUERIES, 3)), TensorSpec("mask_cells", (1, 4, 4, 3)))
GRAPHS = Graphs(
    GraphSpec("graph_a.tflite", (TensorSpec("image", (1, 3, SIDE, SIDE)),), (*OUTPUTS, *EMBEDDINGS)),
    m=GraphSpec("graph_m.tflite", (*EMBEDDINGS, TensorSpec("kept", (ROOM,), "int32")), (TensorSpec("masks", (1, 4, 4, ROOM)),)),
)


def graph_m() -> bytes:
    """The product of the cells' colours with those of the kept queries."""
    w = ModelWriter()

    def reshaped(x: str, name: str, shape: tuple[int, ...]) -> str:
        return w.op("RESHAPE", [x, w.constant(f"{name}_shape", np.array(shape, np.int32))], {name: shape}, newShape=list(shape))

    table = reshaped(w.input("mask_queries", (1, QUERIES, 3)), "table", (QUERIES, 3))
    cells = reshaped(w.input("mask_cells", (1, 4, 4, 3)), "rows", (16, 3))
    kept = w.op("GATHER", [table, w.input("kept", (ROOM,), "int32")], {"colours": (ROOM, 3)}, axis=0)
    product = w.op("BATCH_MATMUL", [cells, kept], {"product": (16, ROOM)}, adjY=True)
    less = w.op("ADD", [product, w.constant("bias", np.full((1,), BIAS, np.float32))], {"less": (16, ROOM)})
    with tempfile.TemporaryDirectory() as folder:
        return w.write(Path(folder) / "graph_m.tflite", [reshaped(less, "masks", (1, 4, 4, ROOM))]).read_bytes()


def write_bundle(root: Path, *, recorded: bool = False, **changed: Any) -> Manifest:
    """Writes the bundle; ``changed`` replaces fields of the manifest.

    If ``recorded``, with golden vectors and detections of running it on the CPU.
    """
    files: dict[str, bytes | None] = {
        "graph_a.tflite": whole_graph(embeddings=True),
        "graph_b.tflite": None,
        "graph_m.tflite": graph_m(),
        "host_params.safetensors": None,
    }
    post = tiny_bundle.write_bundle(root / "plain").postprocess
    fields = {
        "variant": "cells_with_masks",
        "graphs": GRAPHS,
        "host_step": HostProgram((), (), ()),
        "schema_version": MASKS_VERSION,
        "postprocess": Postprocess(post.num_select, ignored_classes=post.ignored_classes, masks=Masks()),
    }
    write = tiny_bundle.write_recorded_bundle if recorded else tiny_bundle.write_bundle
    return write(root, files, **{**fields, **changed})
