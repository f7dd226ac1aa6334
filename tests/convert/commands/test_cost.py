"""``convert cost`` on bundles and on single files."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from detr2litert.host_runtime.manifest import NativeFiles
from detr2litert.host_runtime.tflite.writer import ModelWriter
from detr2litert.verify.cost import measure
from detr2litert.verify.delegate.adapters import Driver
from detr2litert.verify.delegate.dispatches import NotCounted
from tests.convert.command import assert_refused, invoke
from tests.host_runtime.tiny_bundle import CELLS, QUERIES, SIDE, graph_a, write_bundle

MEMORY = 4 * CELLS * 3
"""Bytes of graph A's memory."""


def write_linear(path: Path, kind: str = "ABS") -> Path:
    """Two operators, the first of 3 × 8 × 5 MACs."""
    w = ModelWriter()
    inputs = [w.input("x", (1, 3, 8)), w.constant("w", np.ones((5, 8), np.float32)), None]
    y = w.op("FULLY_CONNECTED", inputs, {"net.fc||_linear;1": (1, 3, 5)}, keepNumDims=True)
    return w.write(path, [w.op(kind, [y], {"y": (1, 3, 5)})])


def test_a_bundle_without_gpu(tmp_path: Path) -> None:
    write_bundle(tmp_path / "cells")
    found = invoke("cost", tmp_path / "cells", "--no-gpu", "--runs", "2", "--json").json
    assert found["adapter"] == "" and found["not_counted"] == "the GPU was left out"
    assert list(found["graphs"]) == ["graph_a", "graph_b"]
    a, b = found["graphs"].values()
    picture = 4 * SIDE * SIDE * 3
    assert (a["operators"], a["macs"], a["written_bytes"]) == (4, 0, picture + 2 * MEMORY + 4 * CELLS)
    assert (b["operators"], b["macs"], b["weight_bytes"]) == (2, QUERIES * 3 * 3, 4 * (9 + 3 + 1))
    for graph in (a, b):
        assert graph["dispatches"] is None
        assert graph["cpu"]["runs"] == 2 and 0 < graph["cpu"]["milliseconds"] < 1000
        assert graph["gpu"] == {"milliseconds": None, "runs": 0, "missing": "the GPU was left out"}


def test_the_native_form_is_a_graph_of_its_own(tmp_path: Path) -> None:
    write_bundle(tmp_path / "cells", {"native.tflite": graph_a()}, native=NativeFiles("native.tflite", "graph_b.tflite"))
    shutil.make_archive(str(tmp_path / "cells"), "zip", tmp_path / "cells")
    for path in (tmp_path / "cells", tmp_path / "cells.zip"):
        assert list(invoke("cost", path, "--no-gpu", "--json").json["graphs"]) == ["graph_a", "graph_b", "graph_a.native"]


def test_a_single_file_as_text(tmp_path: Path) -> None:
    outcome = invoke("cost", write_linear(tmp_path / "[bold]net.tflite"), "--no-gpu", "--by", "module")
    assert outcome.code == 0 and outcome.stderr == ""
    lines = [line.split() for line in outcome.stdout.splitlines()]
    assert lines[1][:6] == ["[bold]net", "2", "–", "0.00", "0.00", "0.00"] and lines[1][7] == "–"
    assert "dispatches not counted: the GPU was left out" in outcome.stdout
    assert ["net.fc", "1", "0.00", "0.00", "0.00"] in lines and ["(unnamed)", "1", "0.00", "0.00", "0.00"] in lines
    assert "not run on the GPU" not in outcome.stdout


def test_what_cannot_run_has_its_reason_and_is_counted_all_the_same(tmp_path: Path) -> None:
    path = write_linear(tmp_path / "net.tflite", "CUSTOM:Foreign")
    outcome = invoke("cost", path, "--no-gpu")
    assert outcome.code == 0
    assert "net: not run on the CPU: there is no kernel for the custom operator Foreign" in outcome.stdout
    assert "net: without the MACs, if any, inside 1 CUSTOM:Foreign" in outcome.stdout
    (graph,) = invoke("cost", path, "--no-gpu", "--json").json["graphs"].values()
    assert graph["macs"] == 120 and graph["cpu"]["milliseconds"] is None


@pytest.mark.gpu
def test_dispatches_and_time_of_the_gpu(tmp_path: Path, driver: Driver) -> None:
    found = invoke("cost", write_linear(tmp_path / "net.tflite"), "--json").json
    (graph,) = found["graphs"].values()
    assert found["adapter"] and found["not_counted"] == ""
    assert 1 <= graph["dispatches"] <= 6
    assert graph["gpu"]["milliseconds"] > 0 and graph["gpu"]["missing"] == ""


@pytest.mark.gpu
def test_without_a_counter_there_is_a_reason_and_a_time(
    tmp_path: Path, driver: Driver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(measure, "find_counter", lambda driver: NotCounted("there is no C compiler"))
    outcome = invoke("cost", write_linear(tmp_path / "net.tflite"))
    assert "dispatches not counted: there is no C compiler" in outcome.stdout
    row = outcome.stdout.splitlines()[1].split()
    assert row[2] == "–" and float(row[7]) > 0


def test_bad_input_is_refused_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "text.tflite").write_text("no model")
    assert_refused(invoke("cost", tmp_path / "none"), "no file at", "bundle's folder")
    assert_refused(invoke("cost", tmp_path / "empty"), "manifest.json")
    assert_refused(invoke("cost", tmp_path / "text.tflite"), "not a LiteRT model")
    write_bundle(tmp_path / "cells")
    (tmp_path / "cells" / "graph_b.tflite").write_bytes(b"cut")
    assert_refused(invoke("cost", tmp_path / "cells"), "graph_b.tflite", "cut short")
    assert invoke("cost", tmp_path / "text.tflite", "--runs", "0").code == 2


def test_an_input_without_possible_values_is_only_counted(tmp_path: Path) -> None:
    w = ModelWriter()
    w.op("CAST", [w.input("x", (1, 4), dtype="bfloat16")], {"y": (1, 4)})
    (graph,) = invoke("cost", w.write(tmp_path / "odd.tflite", ["y"]), "--no-gpu", "--json").json["graphs"].values()
    assert graph["operators"] == 1 and graph["cpu"]["milliseconds"] is None and graph["cpu"]["missing"]
    json.dumps(graph)
