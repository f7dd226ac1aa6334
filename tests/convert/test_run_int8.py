"""Runs in other precisions than fp16."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from detr2litert.convert.demo.scenes import HELD_OUT_START, render
from detr2litert.convert.int8.blocks import STATIC_OPERATORS
from detr2litert.convert.notes import METADATA, read_notes
from detr2litert.host_runtime.bundle import load_bundle
from detr2litert.host_runtime.errors import UserError
from detr2litert.host_runtime.tflite.container import parse_model, text
from detr2litert.host_runtime.tflite.graph import read_graph
from detr2litert.verify.precision import Precision, is_static, precision_of
from tests.conversions import converted
from tests.convert.command import DEMO_PASSED, gate_of, verdicts

NOTES = '{"batch": "Frühling", "runs": [1, 2.5, null, true]}'
TINY = ("--variant", "tiny", "--target", "pixel")


def notes_of(file: Path) -> Any:
    """What the metadata of a .tflite file holds under the name of notes."""
    model = parse_model(file.read_bytes())
    (entry,) = (entry for entry in model.metadata if text(entry.name) == METADATA)
    return json.loads(bytes(model.buffers[entry.buffer].data))


@pytest.mark.ci
def test_int8_halves_fp16_and_the_bundle_says_so() -> None:
    made = converted(*TINY, "--precision", "int8", "--no-gpu", "--no-native", "--dataset", "none", "--notes", NOTES, out="int8")
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
    assert manifest.notes == json.loads(NOTES)
    assert [notes_of(made.bundle / f"graph_{letter}.tflite") for letter in "ab"] == [manifest.notes] * 2
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


@pytest.mark.slow
@pytest.mark.gpu
def test_static_int8_passes_every_gate_and_records_how_it_was_made(tmp_path: Path) -> None:
    """Calibrated on scenes that neither the training nor the gates have; the same pictures give the same files."""
    scenes = np.stack([np.asarray(render(HELD_OUT_START + 10_000 + number, 160).image) for number in range(24)])
    np.save(tmp_path / "scenes.npy", scenes)
    arguments = (*TINY, "--precision", "int8", "--calibration", "scenes.npy")
    made = converted(*arguments, "--json", out="static", files={"scenes.npy": tmp_path / "scenes.npy"})
    report = made.outcome.json
    assert verdicts(report["gates"]) == DEMO_PASSED
    rows = {row["side"]: row for row in gate_of(report, "accuracy")["data"]["average_precision"]}
    assert abs(rows["CPU"]["difference"]) < 0.02 and rows["CPU"]["pictures"] == 200
    with load_bundle(made.bundle) as bundle:
        manifest, graphs = (
            bundle.manifest,
            {name: read_graph(bundle.root / name) for name in ("graph_a.tflite", "graph_b.tflite")},
        )
        native = read_graph(bundle.root / "graph_b.native.tflite")
    assert is_static(manifest) and str(manifest.settings["calibration"].value).startswith("24 pictures, sha256 ")
    sweeps = {found["graph"]: found for found in report["static_int8"]}
    for name, graph in graphs.items():
        found = sweeps[name.removesuffix(".tflite")]
        operators = sum(block["operators"] for block in found["blocks"] if block["static"])
        assert found["agreement"] >= found["bound"] >= 0.995 and operators > 10
        made_int8 = [op for op in graph.ops if op.name in STATIC_OPERATORS and graph.tensors[op.inputs[0]].dtype == "int8"]
        assert len(made_int8) == operators
    # Only the GPU's delegate runs the native form, and it would round activations in floats for nothing.
    assert not {"QUANTIZE", "DEQUANTIZE"} & {op.name for op in native.ops}
    assert 1.6e6 < manifest.files["graph_a.tflite"].bytes < 2.1e6
    assert "Static int8 of" in (made.bundle / "report.html").read_text()


def test_notes_are_json_text_or_a_file_of_it(tmp_path: Path) -> None:
    file = tmp_path / "notes.json"
    file.write_text('["a file"]')
    assert read_notes(str(file)) == ["a file"]
    assert read_notes('"text"') == "text" and read_notes("7") == 7 and read_notes("[" + "1," * 9000 + "1]")[0] == 1


@pytest.mark.parametrize(
    ("given", "match"),
    [("spring", "no file and not JSON"), ("NaN", "finite"),
     ("[" * 30 + "]" * 30, "nested deeper"), ('{"a": 1, "a": 2}', "twice"),
     ('"\\u001b[31m"', "unprintable")],
)  # fmt: skip
def test_other_notes_are_refused(given: str, match: str) -> None:
    with pytest.raises(UserError, match=match):
        read_notes(given)


def test_a_file_that_is_not_json_is_named(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("hello")
    with pytest.raises(UserError, match=r"notes\.txt: not valid JSON"):
        read_notes(str(tmp_path / "notes.txt"))
