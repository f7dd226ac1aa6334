"""A hand-made bundle with keypoints: the one graph of ``one_graph_bundle``, whose keypoints are a function of a cell's colour.

Red cells have three keypoints, green ones two, blue ones none. The coordinates lie about the picture's middle, some of them
outside the picture; green comes first in the list, so that the slots are not in the order of the class indices.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import tiny_bundle
from one_graph_bundle import OUTPUTS, whole_graph
from tiny_bundle import QUERIES, SIDE

from detr2litert.host_runtime.manifest import (
    KEYPOINTS_VERSION,
    ClassKeypoints,
    Graphs,
    GraphSpec,
    HostProgram,
    Keypoints,
    Manifest,
    Postprocess,
    TensorSpec,
)

GREEN = ClassKeypoints(1, ("stem", "leaf"), ((0, 1),), (0.05, 0.05))
RED = ClassKeypoints(0, ("tip", "left", "right"), ((0, 1), (0, 2)), (0.026, 0.079, 0.079))
SPEC = Keypoints(0.2, (GREEN, RED))
GRAPHS = Graphs(
    GraphSpec(
        "graph_a.tflite",
        (TensorSpec("image", (1, 3, SIDE, SIDE)),),
        (*OUTPUTS, TensorSpec("keypoints", (1, QUERIES, SPEC.total, 7))),
    )
)


def weights() -> tuple[np.ndarray, np.ndarray]:
    """Weight [7 K, 3] and bias [7 K] of the keypoints."""
    rng = np.random.default_rng(7)
    bias = np.tile(np.array([0.5, 0.5, 0.5, 0, 3.0, 0, 3.0], np.float32), (SPEC.total, 1))
    weight = rng.standard_normal((SPEC.total, 7, 3)) * np.array([0.3, 0.3, 2, 2, 0.5, 5, 0.5])[None, :, None]
    return weight.reshape(-1, 3).astype(np.float32), bias.reshape(-1)


def write_bundle(root: Path, *, recorded: bool = False, **changed: Any) -> Manifest:
    """Writes the bundle; ``changed`` replaces fields of the manifest.

    If ``recorded``, with golden vectors and detections of running it on the CPU.
    """
    files: dict[str, bytes | None] = {
        "graph_a.tflite": whole_graph(keypoints=weights()),
        "graph_b.tflite": None,
        "host_params.safetensors": None,
    }
    fields = {
        "variant": "cells_with_keypoints",
        "graphs": GRAPHS,
        "host_step": HostProgram((), (), ()),
        "schema_version": KEYPOINTS_VERSION,
        "postprocess": Postprocess(QUERIES, keypoints=SPEC),
    }
    write = tiny_bundle.write_recorded_bundle if recorded else tiny_bundle.write_bundle
    return write(root, files, **{**fields, **changed})
