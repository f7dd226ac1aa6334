"""Counts of operators, arithmetic and memory, compared with what the runtime computes and with figures by hand."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from detr2litert.host_runtime.tflite.graph import Graph, read_graph
from detr2litert.host_runtime.tflite.writer import ModelWriter
from detr2litert.verify.cost.counts import UNNAMED, Cost, cost_of
from detr2litert.verify.delegate.run import run_model

VALID = 1  # schema.Padding
Build = Callable[[ModelWriter], str]


def ones(w: ModelWriter, name: str, *shape: int) -> str:
    return w.constant(name, np.ones(shape, np.float32))


def conv(w: ModelWriter) -> str:
    inputs = [w.input("x", (2, 7, 9, 6)), ones(w, "w", 5, 3, 2, 6), w.constant("b", np.zeros(5, np.float32))]
    return w.op("CONV_2D", inputs, {"y": (2, 3, 8, 5)}, strideH=2, strideW=1, padding=VALID)


def grouped_conv(w: ModelWriter) -> str:
    inputs = [w.input("x", (1, 4, 4, 8)), ones(w, "w", 6, 1, 1, 4), w.constant("b", np.zeros(6, np.float32))]
    return w.op("CONV_2D", inputs, {"y": (1, 4, 4, 6)}, strideH=1, strideW=1, padding=VALID)


def depthwise(w: ModelWriter) -> str:
    inputs = [w.input("x", (1, 5, 6, 3)), ones(w, "w", 1, 2, 3, 6), w.constant("b", np.zeros(6, np.float32))]
    return w.op("DEPTHWISE_CONV_2D", inputs, {"y": (1, 4, 4, 6)}, strideH=1, strideW=1, depthMultiplier=2, padding=VALID)


def transposed(w: ModelWriter) -> str:
    shape = w.constant("shape", np.array([1, 9, 7, 4], np.int32))
    inputs = [shape, ones(w, "w", 4, 3, 3, 2), w.input("x", (1, 4, 3, 2))]
    return w.op("TRANSPOSE_CONV", inputs, {"y": (1, 9, 7, 4)}, strideH=2, strideW=2, padding=VALID)


def conv_3d(w: ModelWriter) -> str:
    inputs = [w.input("x", (1, 3, 4, 5, 2)), ones(w, "w", 2, 2, 3, 2, 3), w.constant("b", np.zeros(3, np.float32))]
    strides = {"strideD": 1, "strideH": 1, "strideW": 1, "dilationDFactor": 1, "dilationHFactor": 1, "dilationWFactor": 1}
    return w.op("CONV_3D", inputs, {"y": (1, 2, 3, 3, 3)}, padding=VALID, **strides)


def linear(w: ModelWriter) -> str:
    inputs = [w.input("x", (2, 3, 7)), ones(w, "w", 5, 7), None]
    return w.op("FULLY_CONNECTED", inputs, {"y": (2, 3, 5)}, keepNumDims=True)


def matmul(w: ModelWriter) -> str:
    return w.op("BATCH_MATMUL", [w.input("x", (2, 3, 4)), w.input("z", (2, 4, 5))], {"y": (2, 3, 5)})


def matmul_transposed(w: ModelWriter) -> str:
    operands = [w.input("x", (2, 4, 3)), w.input("z", (2, 5, 4))]
    return w.op("BATCH_MATMUL", operands, {"y": (2, 3, 5)}, adjX=True, adjY=True)


@pytest.mark.parametrize(
    "build", [conv, grouped_conv, depthwise, transposed, conv_3d, linear, matmul, matmul_transposed], ids=lambda b: b.__name__
)
def test_macs_are_the_products_that_the_runtime_adds_up(tmp_path: Path, build: Build) -> None:
    """On ones each product is one, so the sum of the outputs is the number of products."""
    w = ModelWriter()
    path = w.write(tmp_path / "ones.tflite", [build(w)])
    graph = read_graph(path)
    given = {name: np.ones(graph.tensors[index].shape, np.float32) for name, index in graph.signature_inputs.items()}
    run = run_model(path, [given], accelerator="cpu")
    assert run.ok, run.error
    assert cost_of(graph).total.macs == run.outputs[0]["y"].sum() > 0


def layers(path: Path) -> Graph:
    """Two layers that share a constant, one weight in fp16, and an output without a module."""
    w = ModelWriter()
    x = w.input("x", (1, 4, 8))
    half = w.op("DEQUANTIZE", [w.constant("half", np.ones((8, 8), np.float16))], {"full": (8, 8)})
    shared = ones(w, "shared", 1, 4, 8)
    one = w.op("FULLY_CONNECTED", [x, half, None], {"net.layers.0.fc|lower|_linear;1": (1, 4, 8)}, keepNumDims=True)
    two = w.op("ADD", [one, shared], {"net.layers.0||_add;2": (1, 4, 8)})
    three = w.op("ADD", [two, shared], {"net.layers.1.act||_add_1;3": (1, 4, 8)})
    custom = w.op("CUSTOM:Other", [three], {"net.head||_other;4": (1, 4, 8)})
    w.op("ABS", [custom], {"out": (1, 4, 8)})
    return read_graph(w.write(path, ["out"]))


def test_each_module_has_its_own_operators_weights_and_tensors(tmp_path: Path) -> None:
    cost = cost_of(layers(tmp_path / "layers.tflite"))
    written = 4 * 8 * 4
    assert dict(cost.modules) == {
        "net.layers.0.fc": Cost(1, 4 * 8 * 8, 8 * 8 * 2, written),
        "net.layers.0": Cost(1, 0, written, written),
        "net.layers.1.act": Cost(1, 0, 0, written),  # the constant was read before
        "net.head": Cost(1, 0, 0, written),
        UNNAMED: Cost(1, 0, 0, written),
    }
    assert cost.dequantized == 1 and cost.opaque == {"CUSTOM:Other": 1}
    assert cost.total == Cost(5, 256, 128 + written, 5 * written)


def test_modules_inside_a_layer_are_added_to_it(tmp_path: Path) -> None:
    cost = cost_of(layers(tmp_path / "layers.tflite"))
    rows = cost.by_layer()
    assert list(rows) == ["net.layers.0", "net.layers.1", "net.head", UNNAMED]
    assert rows["net.layers.0"] == cost.modules["net.layers.0"] + cost.modules["net.layers.0.fc"]
    assert sum(rows.values(), Cost()) == cost.total
