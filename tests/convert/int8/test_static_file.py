"""A small network in static int8: the file, its float forms, and its agreement with float32."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from torch import fx

from detr2litert.convert.int8.blocks import find_blocks
from detr2litert.convert.int8.ranges import RangeRecorder, without_range
from detr2litert.convert.int8.static_graphs import Calibration, agreement, recipe, static_graph
from detr2litert.convert.int8.static_range import store_static
from detr2litert.graphs.partition import Part
from detr2litert.host_runtime.tflite.graph import read_graph
from detr2litert.verify.delegate.adapters import Driver
from detr2litert.verify.gates import Verdict, unheard
from detr2litert.verify.parity.float_twin import write_float_twin
from detr2litert.verify.parity.int8_weights import largest_rounding
from detr2litert.verify.parity.metrics import difference
from detr2litert.verify.parity.numerics import GraphCase, check_numerics
from detr2litert.verify.parity.numerics_names import NATIVE
from tests.verify.parity.numerics_models import Arrays, image, reference, trace, write_net

PART = Part(fx.GraphModule({}, fx.Graph()), ("x",), ("boxes", "memory"))
PICTURES = tuple({**image(seed), **reference(image(seed))[0]} for seed in range(8))


@pytest.fixture
def float32(tmp_path: Path) -> Path:
    return write_net(tmp_path / "float32.tflite")


@pytest.fixture
def calibration(float32: Path) -> Calibration:
    recorder = RangeRecorder(float32)
    for values in PICTURES:
        recorder.record(values)
    return Calibration({"graph_a": recorder.ranges}, PICTURES[:3])


def int8_activations(file: Path) -> set[str]:
    return {tensor.name for tensor in read_graph(file).tensors if not tensor.constant and tensor.dtype == "int8"}


def test_ranges_are_the_extremes_of_all_pictures(calibration: Calibration) -> None:
    ranges = calibration.ranges["graph_a"]
    hidden = np.stack([reference(values)[1]["linear"] for values in PICTURES])
    assert ranges["net.fc1||_linear;1"] == pytest.approx((hidden.min(), hidden.max()), rel=1e-5)
    assert without_range(ranges, ["x", "boxes"]) == [] and without_range(ranges, ["none"]) == ["none"]
    assert without_range({"a": (0.0, float("inf"))}, ["a"]) == ["a"]


def test_blocks_are_found_by_the_modules_in_the_names(float32: Path) -> None:
    assert [block.name for block in find_blocks(float32)] == ["net.fc1", "net.fc2", "(root)"]
    assert [block.name for block in find_blocks(float32, 1)] == ["(root)"]


def test_only_the_chosen_operators_have_int8_activations(tmp_path: Path, float32: Path, calibration: Calibration) -> None:
    ranges, name = calibration.ranges["graph_a"], "net.fc2||_linear_1;"
    store_static(float32, tmp_path / "one.tflite", ranges, [name], others=False)
    graph = read_graph(tmp_path / "one.tflite")
    assert sum(tensor.constant and tensor.dtype == "int8" for tensor in graph.tensors) == 1
    assert sorted(op.name for op in graph.ops if "QUANTIZE" in op.name) == ["DEQUANTIZE", "QUANTIZE"]
    store_static(float32, tmp_path / "rest.tflite", ranges, [name])
    graph = read_graph(tmp_path / "rest.tflite")
    assert sum(tensor.constant and tensor.dtype == "int8" for tensor in graph.tensors) == 3
    assert len(int8_activations(tmp_path / "rest.tflite")) == 2
    assert largest_rounding(tmp_path / "rest.tflite", float32)[0] <= 0.501


def test_the_graph_is_static_but_for_blocks_that_lose_too_much(tmp_path: Path, float32: Path, calibration: Calibration) -> None:
    found = static_graph("graph_a", float32, tmp_path / "int8.tflite", PART, calibration, unheard)
    assert found.floats == () and len(int8_activations(tmp_path / "int8.tflite")) == 6
    assert 0.995 < found.agreement < 0.99999 and found.agreement == agreement(tmp_path / "int8.tflite", PART, PICTURES[:3])
    assert recipe([found]).startswith("CONV_2D, DEPTHWISE_CONV_2D, FULLY_CONNECTED in static int8 (3 of 3)")
    assert all(block.loss is not None and 0 < block.loss < 0.005 for block in found.blocks)
    # A range a thousand times too wide leaves a step or two of that layer's values.
    wide = {**calibration.ranges["graph_a"], "net.fc2||_linear_1;": (-4000.0, 4000.0)}
    found = static_graph(
        "graph_a", float32, tmp_path / "wide.tflite", PART, Calibration({"graph_a": wide}, PICTURES[:3]), unheard
    )
    assert found.floats == ("net.fc2",) and found.agreement > 0.995
    assert not any("fc2" in name for name in int8_activations(tmp_path / "wide.tflite"))


def test_a_block_without_a_range_stays_in_floats(tmp_path: Path, float32: Path, calibration: Calibration) -> None:
    ranges = {name: span for name, span in calibration.ranges["graph_a"].items() if "fc1" not in name}
    found = static_graph(
        "graph_a", float32, tmp_path / "int8.tflite", PART, Calibration({"graph_a": ranges}, PICTURES[:3]), unheard
    )
    assert found.floats == ("net.fc1",)


def test_agreement_is_nan_or_low_where_outputs_differ(float32: Path) -> None:
    changed: list[Arrays] = [{**PICTURES[0], "boxes": 2 * PICTURES[0]["boxes"]}]
    assert agreement(float32, PART, PICTURES[:1]) > 0.999999
    assert agreement(float32, PART, changed) < 0.9
    assert np.isnan(agreement(float32, PART, [{**PICTURES[0], "boxes": np.full((6, 4), np.nan, np.float32)}]))


def test_the_exact_float_form_rounds_no_activation(tmp_path: Path, float32: Path, calibration: Calibration) -> None:
    """So it is what a native twin with float activations computes."""
    names = [name for block in find_blocks(float32) for name in block.operators]
    store_static(float32, tmp_path / "static.tflite", calibration.ranges["graph_a"], names)
    store_static(float32, tmp_path / "dynamic.tflite", {}, [])
    static = write_float_twin(tmp_path / "static.tflite", tmp_path / "twin.tflite")
    dynamic = write_float_twin(tmp_path / "dynamic.tflite", tmp_path / "other.tflite")
    assert static is not None and dynamic is not None and static.steps and not dynamic.steps
    assert "FAKE_QUANT" in {op.name for op in read_graph(static.path).ops}
    assert not {"FAKE_QUANT", "QUANTIZE", "DEQUANTIZE"} & {op.name for op in read_graph(static.exact).ops}
    assert agreement(static.path, PART, PICTURES[:1]) < agreement(static.exact, PART, PICTURES[:1])


@pytest.mark.gpu
def test_the_gates_find_it_right_on_the_delegate(
    tmp_path: Path, float32: Path, calibration: Calibration, driver: Driver
) -> None:
    """And a native twin, whose activations are floats, keeps the delegate's own limit."""
    static_graph("graph_a", float32, tmp_path / "int8.tflite", PART, calibration, unheard)
    store_static(float32, tmp_path / "native.tflite", {}, [])
    given, expected = (image(0), image(1)), (reference(image(0))[0], reference(image(1))[0])
    case = GraphCase("graph_a", float32, tmp_path / "int8.tflite", given, expected, trace)
    native = GraphCase("graph_a.native", None, tmp_path / "native.tflite", given, expected, twin="graph_a")
    result = check_numerics([case, native], gpu=driver)
    assert result.verdict is Verdict.PASSED, result.summary
    errors = {m.subject: m.value for m in result.measurements if m.metric == "relative_error"}
    assert errors[f"graph_a.native / boxes: {NATIVE}"] < 1e-3


def test_difference_and_agreement_have_one_limit() -> None:
    values = np.random.default_rng(0).standard_normal(100)
    for share in (0.01, 0.05, 0.1, 0.2):
        found = difference(values * (1 + share), values)
        by_error = (1 - found.relative_error**2) ** 0.5
        for limit in (0.98, 0.99, 0.995, 0.9999):
            assert found.within(limit) == (min(found.correlation, by_error) >= limit)
