"""Runs in other precisions than fp16."""

from __future__ import annotations

import json

import pytest

from detr2litert.convert.precision import Precision, precision_of
from detr2litert.host_runtime.bundle import load_bundle
from detr2litert.host_runtime.tflite.graph import read_graph
from tests.conversions import converted
from tests.convert.command import DEMO_PASSED, gate_of, verdicts

TINY = ("--variant", "tiny", "--target", "pixel")


@pytest.mark.ci
def test_int8_halves_fp16_and_the_bundle_says_so() -> None:
    made = converted(*TINY, "--precision", "int8", "--no-gpu", "--no-native", "--dataset", "none", out="int8")
    report = json.loads((made.bundle / "report.json").read_text())
    gates = verdicts(report["gates"])
    assert gates["numerics"] == "not run" and gates["detections"] == gates["host"] == gates["lint"] == "passed"
    for gate in report["gates"]:
        assert all(measurement["passed"] for measurement in gate["measurements"]), gate["gate"]
    rounding = [m for m in gate_of(report, "numerics")["measurements"] if m["metric"] == "steps from float32"]
    assert [0.4 < m["value"] <= 0.501 for m in rounding] == [True, True]
    with load_bundle(made.bundle) as bundle:
        manifest = bundle.manifest
        sizes = [manifest.files[f"graph_{letter}.tflite"].bytes for letter in "ab"]
        types = {tensor.dtype for tensor in read_graph(bundle.root / "graph_a.tflite").tensors if tensor.constant}
    assert precision_of(manifest.settings) is Precision.INT8 and report["settings"]["precision"]["value"] == "int8"
    assert 1.6e6 < sizes[0] < 1.9e6 and 0.35e6 < sizes[1] < 0.45e6  # fp16: 3.1 and 0.65
    assert "int8" in types and "float16" not in types
    assert "int8, dynamic range" in made.outcome.stderr
    assert ">precision<" in (made.bundle / "report.html").read_text()


@pytest.mark.slow
@pytest.mark.gpu
@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_every_gate_passes_in_it(precision: str) -> None:
    made = converted(*TINY, "--precision", precision, "--json", out=precision)
    report = made.outcome.json
    assert verdicts(report["gates"]) == DEMO_PASSED
    rows = {row["side"]: row for row in gate_of(report, "accuracy")["data"]["average_precision"]}
    assert abs(rows["CPU"]["difference"]) < 0.01 and rows["CPU"]["pictures"] == 200
