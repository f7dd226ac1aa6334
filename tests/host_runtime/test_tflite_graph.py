"""Reading .tflite files, and refusing what is none."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from detr2litert.host_runtime.errors import UserError
from detr2litert.host_runtime.tflite.graph import read_graph
from detr2litert.host_runtime.tflite.writer import ModelWriter


@pytest.fixture
def model(tmp_path: Path) -> Path:
    w = ModelWriter()
    x, half = w.input("x", (1, 6, 8)), w.constant("half", np.full((4, 8), 0.5, np.float16))
    weights = w.op("DEQUANTIZE", [half], {"weights": (4, 8)})
    made = w.op("FULLY_CONNECTED", [x, weights, None], {"made": (1, 6, 4)}, version=5, keepNumDims=True)
    w.op("CUSTOM:Resampler", [made, made], {"y": (1, 6, 4)})
    return w.write(tmp_path / "m.tflite", ["y", "made"])


def test_graph_is_read_whole(model: Path) -> None:
    graph = read_graph(model)
    _, linear, custom = graph.ops
    assert [op.name for op in graph.ops] == ["DEQUANTIZE", "FULLY_CONNECTED", "CUSTOM:Resampler"]
    assert linear.version == 5 and linear.options["keepNumDims"] is True and linear.input(2) == linear.input(7) == -1
    assert graph.signature == "serving_default" and list(graph.signature_outputs) == ["y", "made"]
    made = linear.outputs[0]
    assert graph.tensors[made].shape == (1, 6, 4) and graph.tensors[made].dtype == "float32"
    assert graph.producer(made) is linear and graph.consumers(made) == (custom,) and made in graph.outputs
    assert graph.op_counts() == {"CUSTOM:Resampler": 1, "DEQUANTIZE": 1, "FULLY_CONNECTED": 1}


def test_constants_are_seen_through_dequantize(model: Path) -> None:
    graph = read_graph(model)
    linear = graph.ops[1]
    source = graph.source(linear.inputs[1])
    assert source is not None and source.name == "half" and source.dtype == "float16"
    np.testing.assert_array_equal(source.values(), np.full((4, 8), 0.5, np.float16))
    assert not graph.is_runtime(linear.inputs[1]) and not graph.is_runtime(-1) and graph.is_runtime(linear.inputs[0])
    assert graph.tensors[graph.inputs[0]].values() is None


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 not a model at all", b"\x1c\x00\x00\x00TFL3" + b"\xff" * 40])
def test_what_is_no_model_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "bad.tflite"
    path.write_bytes(content)
    with pytest.raises(UserError, match=r"bad\.tflite"):
        read_graph(path)


def test_truncated_and_missing_files_are_refused(model: Path, tmp_path: Path) -> None:
    (tmp_path / "cut.tflite").write_bytes(model.read_bytes()[:200])
    for name in ("cut.tflite", "none.tflite"):
        with pytest.raises(UserError, match=name):
            read_graph(tmp_path / name)


def test_writer_refuses_a_name_twice() -> None:
    w = ModelWriter()
    w.input("x", (1,))
    with pytest.raises(ValueError, match="twice"):
        w.input("x", (1,))
