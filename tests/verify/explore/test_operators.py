"""What is measured of each operator by itself, and the node data that is written of it."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest

from detr2litert.host_runtime.tflite.graph import read_graph
from detr2litert.host_runtime.tflite.writer import ModelWriter
from detr2litert.verify.cost.measure import random_inputs
from detr2litert.verify.delegate.adapters import Driver
from detr2litert.verify.delegate.dispatches import Counter, find_counter
from detr2litert.verify.explore.node_data import node_data
from detr2litert.verify.explore.operators import OperatorData, measure_operators

SHAPE = (1, 6, 8)


def write_net(path: Path) -> Path:
    """TANH, a LEAKY_RELU whose slope above one the delegate computes wrongly, and ABS; of a module and its rewrites."""
    w = ModelWriter()
    flat = w.op("TANH", [w.input("x", SHAPE)], {"net.act|lower_max+reduce_rank|_tanh;": SHAPE})
    steep = w.op("LEAKY_RELU", [flat], {"net.steep||_leaky;": SHAPE}, alpha=2.0)
    return w.write(path, [w.op("ABS", [steep], {"y": SHAPE})])


def operator(index: int = 0, **changed: object) -> OperatorData:
    fields: dict[str, object] = {
        "index": index, "name": "ABS", "outputs": (f"t{index}",), "module": "", "rewrites": (), "magnitude": None,
        "errors": {}, "dispatches": None,
    }  # fmt: skip
    return OperatorData(**{**fields, **changed})  # type: ignore[arg-type]


def test_origins_and_ranges_without_a_gpu(tmp_path: Path) -> None:
    path = write_net(tmp_path / "net.tflite")
    x = np.linspace(-2, 1, 48, dtype=np.float32).reshape(SHAPE)
    measured = measure_operators(path, {"x": x}, {})
    assert measured.missing == ""
    tanh, leaky, absolute = measured.operators
    assert (tanh.module, tanh.rewrites) == ("net.act", ("lower_max", "reduce_rank"))
    assert (leaky.module, leaky.rewrites) == ("net.steep", ())
    assert (absolute.module, absolute.outputs) == ("", ("y",))
    assert tanh.magnitude == pytest.approx(math.tanh(2), rel=1e-5)
    assert leaky.magnitude == absolute.magnitude == pytest.approx(2 * math.tanh(2), rel=1e-5)
    assert not tanh.errors and tanh.dispatches is None


@pytest.mark.gpu
def test_only_the_operator_that_is_wrong_has_an_error(tmp_path: Path, driver: Driver) -> None:
    path = write_net(tmp_path / "net.tflite")
    counter = find_counter(driver)
    assert isinstance(counter, Counter)
    measured = measure_operators(path, random_inputs(read_graph(path)), {"fp32": driver}, counter)
    tanh, leaky, absolute = measured.operators
    assert leaky.errors["fp32"] > 0.1
    assert tanh.errors["fp32"] < 1e-4 and absolute.errors["fp32"] == 0
    assert [one.dispatches for one in measured.operators] == [1, 1, 1]


def test_a_graph_that_the_cpu_cannot_run_has_origins_alone(tmp_path: Path) -> None:
    w = ModelWriter()
    foreign = w.op("CUSTOM:Foreign", [w.input("x", SHAPE)], {"net.own||_own;": SHAPE})
    path = w.write(tmp_path / "net.tflite", [w.op("ABS", [foreign], {"y": SHAPE})])
    measured = measure_operators(path, random_inputs(read_graph(path)), {})
    assert "Foreign" in measured.missing
    assert [(one.name, one.module) for one in measured.operators] == [("CUSTOM:Foreign", "net.own"), ("ABS", "")]
    assert {one.magnitude for one in measured.operators} == {None}


def test_node_data_has_the_quantities_that_are_known() -> None:
    files = node_data([operator(0, module="net", magnitude=2.5), operator(1, rewrites=("a", "b"), magnitude=0.5)])
    assert list(files) == ["module", "rewrite", "magnitude"]
    magnitude = json.loads(files["magnitude"])
    assert magnitude["results"] == {"t0": {"value": 2.5}, "t1": {"value": 0.5}}
    assert [stop["stop"] for stop in magnitude["gradient"]] == [0, 1]
    assert json.loads(files["module"])["results"] == {"t0": {"value": "net"}}
    assert json.loads(files["rewrite"])["results"] == {"t1": {"value": "a + b"}}
    assert "gradient" not in json.loads(files["module"])


def test_an_infinite_error_is_a_number_in_json() -> None:
    (text,) = node_data([operator(errors={"fp16": math.inf})]).values()
    assert json.loads(text)["results"]["t0"]["value"] >= 1e30
