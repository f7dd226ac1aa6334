"""``convert explore`` on bundles and on single files."""

from __future__ import annotations

import json
from importlib.util import find_spec
from pathlib import Path

import pytest

from detr2litert.host_runtime.manifest import NativeFiles
from detr2litert.host_runtime.tflite.writer import ModelWriter
from detr2litert.verify.delegate.adapters import Driver
from tests.convert.command import assert_refused, invoke
from tests.host_runtime.tiny_bundle import graph_a, write_bundle
from tests.verify.explore.test_operators import write_net


def test_a_bundle_gets_a_folder_beside_it_with_every_graph(tmp_path: Path) -> None:
    write_bundle(tmp_path / "cells", {"native.tflite": graph_a()}, native=NativeFiles("native.tflite", "graph_b.tflite"))
    outcome = invoke("explore", tmp_path / "cells", "--no-gpu")
    assert outcome.code == 0
    folder = tmp_path / "cells-explore"
    assert f"folder   {folder}" in outcome.stdout
    assert {path.name for path in folder.iterdir()} == {
        *(f"{graph}.{end}" for graph in ("graph_a", "graph_b", "graph_a.native") for end in ("tflite", "magnitude.json"))
    }
    assert (folder / "graph_a.tflite").read_bytes() == (tmp_path / "cells" / "graph_a.tflite").read_bytes()


@pytest.mark.gpu
def test_a_file_with_its_errors(tmp_path: Path, driver: Driver, fp16_driver: Driver) -> None:
    outcome = invoke("explore", write_net(tmp_path / "net.tflite"), "--out", tmp_path / "data")
    assert outcome.code == 0
    errors = {
        precision: json.loads((tmp_path / "data" / f"net.error-{precision}.json").read_text())["results"]
        for precision in ("fp32", "fp16")
    }
    for found in errors.values():
        assert max(found, key=lambda name: found[name]["value"]) == "net.steep||_leaky;"
    assert (tmp_path / "data" / "net.dispatches.json").exists()


def test_bad_input_is_refused_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "text.tflite").write_text("no model")
    assert_refused(invoke("explore", tmp_path / "none"), "no file at", "bundle's folder")
    assert_refused(invoke("explore", tmp_path / "text.tflite"), "not a LiteRT model")
    path = write_net(tmp_path / "net.tflite")
    assert_refused(invoke("explore", path, "--no-gpu", "--out", tmp_path / "text.tflite"), "text.tflite", "--out")
    assert not (tmp_path / "net-explore").exists()


def test_an_input_without_possible_values_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    w = ModelWriter()
    w.op("CAST", [w.input("x", (1, 4), dtype="resource")], {"y": (1, 4)})
    assert_refused(invoke("explore", w.write(tmp_path / "odd.tflite", ["y"]), "--no-gpu"), "odd: no values can be made")
    assert not (tmp_path / "odd-explore").exists()


@pytest.mark.skipif(find_spec("model_explorer") is not None, reason="Model Explorer is installed")
def test_open_says_what_it_needs_before_anything_runs(tmp_path: Path) -> None:
    path = write_net(tmp_path / "net.tflite")
    assert_refused(invoke("explore", path, "--open"), "pip install ai-edge-model-explorer")
    assert not (tmp_path / "net-explore").exists()
