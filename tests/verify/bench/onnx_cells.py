"""The detector of ``tests/host_runtime/tiny_bundle.py`` as an ONNX file and as a PyTorch module: every cell is a query.

All 16 cells are queries, in the order of the cells, so the detections are those of the bundle.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor, nn

from tests.host_runtime.tiny_bundle import CELLS, SIDE, cell_grid, manifest


def metadata(**changed: str | None) -> dict[str, str]:
    """The file's own: pre- and post-processing and classes; None leaves an entry out."""
    own = manifest().to_dict()
    post = {**own["postprocess"], "boxes": "dets", "logits": "labels"}
    entries: dict[str, Any] = {"preprocess": own["preprocess"], "postprocess": post, "classes": list(manifest().classes)}
    texts = {name: json.dumps(value) for name, value in entries.items()} | {"variant": "cells"} | changed
    return {name: text for name, text in texts.items() if text is not None}


def write_onnx(
    path: Path, entries: dict[str, str], batch: int | str = "batch", outputs: tuple[str, str] = ("dets", "labels")
) -> Path:
    """Writes the file with this metadata and batch."""
    dets, labels = outputs
    constants = {
        "flat": np.asarray([0, 3, CELLS], np.int64),
        "twenty": np.asarray(20, np.float32),
        "ten": np.asarray(10, np.float32),
        "zero": np.asarray(0, np.float32),
        "first": np.asarray([0], np.int64),
        "one": np.asarray([1], np.int64),
        "axes": np.asarray([2], np.int64),
        "grid": cell_grid(),
    }
    nodes = [
        helper.make_node("AveragePool", ["input"], ["cells"], kernel_shape=[2, 2], strides=[2, 2]),
        helper.make_node("Reshape", ["cells", "flat"], ["colours"]),
        helper.make_node("Transpose", ["colours"], ["tokens"], perm=[0, 2, 1]),
        helper.make_node("Mul", ["tokens", "twenty"], ["scaled"]),
        helper.make_node("Sub", ["scaled", "ten"], [labels]),
        helper.make_node("Slice", ["tokens", "first", "one", "axes"], ["red"]),
        helper.make_node("Mul", ["red", "zero"], ["zeros"]),
        helper.make_node("Add", ["zeros", "grid"], [dets]),
    ]
    graph = helper.make_graph(
        nodes,
        "cells",
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, [batch, 3, SIDE, SIDE])],
        [
            helper.make_tensor_value_info(dets, TensorProto.FLOAT, [batch, CELLS, 4]),
            helper.make_tensor_value_info(labels, TensorProto.FLOAT, [batch, CELLS, 3]),
        ],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    helper.set_model_props(model, entries)
    onnx.checker.check_model(model)
    path.write_bytes(model.SerializeToString())
    return path


class Cells(nn.Module):
    """The same in PyTorch."""

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        tokens = nn.functional.avg_pool2d(image, 2).flatten(2).transpose(1, 2)
        return torch.from_numpy(cell_grid()), 20 * tokens - 10
