"""A bundle of one graph: manifest and runner."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import one_graph_bundle
import pytest
import tiny_bundle

from detr2litert.host_runtime.errors import UserError
from detr2litert.host_runtime.manifest import HostOp, HostProgram, Manifest, NativeFiles, TensorSpec
from detr2litert.host_runtime.preprocess import preprocess
from detr2litert.host_runtime.runner import Runner


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("one") / "bundle"
    one_graph_bundle.write_bundle(root)
    return root


@pytest.fixture(scope="module")
def one(root: Path) -> Manifest:
    return Manifest.from_json((root / "manifest.json").read_text())


def test_the_manifest_has_graph_a_only_and_a_version_that_older_runtimes_refuse(one: Manifest) -> None:
    data = json.loads(one.to_json())
    assert (data["schema_version"], list(data["graphs"]), data["host_step"]["ops"]) == (3, ["a"], [])
    assert one.graphs.b is None and one.graphs.last is one.graphs.a
    assert list(one.graphs_by_name) == ["graph_a"]
    assert Manifest.from_json(one.to_json()) == one


def test_it_may_have_a_native_form(one: Manifest) -> None:
    files = {**one.files, "graph_a.native.tflite": one.files["graph_a.tflite"]}
    both = dataclasses.replace(one, native=NativeFiles("graph_a.native.tflite"), files=files)
    assert both.to_dict()["native"] == {"a": "graph_a.native.tflite"}
    assert Manifest.from_json(both.to_json()) == both
    assert list(both.graphs_by_name) == ["graph_a", "graph_a.native"]
    assert both.native_graphs is not None and both.native_graphs.b is None


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"schema_version": 2}, "graph b is missing, which a bundle of schema version 2 has"),
        ({"host_step": HostProgram(("indices",), (), ())}, "a host step after graph a and no graph b to read it"),
        (
            {"host_step": HostProgram((), (HostOp("topk", ("indices",), "x", {"k": 1, "axis": 0}),), ())},
            "a host step after graph a",
        ),
        ({"native": NativeFiles(*["graph_a.tflite"] * 2)}, "the native form has two graphs and the portable one not"),
    ],
)
def test_what_does_not_fit_one_graph_is_refused(one: Manifest, fields: dict[str, Any], words: str) -> None:
    with pytest.raises(UserError, match=words):
        Manifest.from_json(dataclasses.replace(one, **fields).to_json())


def test_boxes_and_logits_must_be_graph_a_s(one: Manifest) -> None:
    graphs = dataclasses.replace(one.graphs, a=dataclasses.replace(one.graphs.a, outputs=one.graphs.a.outputs[:1]))
    with pytest.raises(UserError, match="graph a does not give 'logits'"):
        Manifest.from_json(dataclasses.replace(one, graphs=graphs).to_json())


def test_it_runs_and_selects_ties_by_the_lower_index(root: Path) -> None:
    with Runner(root) as runner:
        outputs = runner.run(preprocess(tiny_bundle.picture(), runner.bundle.manifest.preprocess))
        assert (outputs.host_step, outputs.graph_b) == ({}, None) and outputs.last is outputs.graph_a
        np.testing.assert_array_equal(outputs.graph_a["indices"], [6, 12, 0, 1])
        np.testing.assert_array_equal(outputs.graph_a["boxes"], tiny_bundle.cell_grid()[:, [6, 12, 0, 1]])
        assert list(outputs.milliseconds) == ["graph_a"]
        assert set(outputs.tensors()) == {"boxes", "logits", "indices"}


def test_it_detects_like_the_bundle_of_two_graphs(root: Path, tmp_path: Path) -> None:
    tiny_bundle.write_bundle(tmp_path / "two")
    with Runner(root) as one, Runner(tmp_path / "two") as two:
        assert one.detect(tiny_bundle.picture()) == two.detect(tiny_bundle.picture())


def test_detecting_reads_only_what_is_decoded(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[Any] = []
    with Runner(root) as runner:
        original = runner.graph_a.read
        monkeypatch.setattr(runner.graph_a, "read", lambda names: read.append(names) or original(names))
        runner.detect(tiny_bundle.picture())
    assert read == [("boxes", "logits")]


def test_an_output_of_another_shape_is_refused(root: Path, tmp_path: Path) -> None:
    outputs = (*one_graph_bundle.OUTPUTS[:2], TensorSpec("indices", (9,), "int32"))
    graphs = dataclasses.replace(one_graph_bundle.GRAPHS, a=dataclasses.replace(one_graph_bundle.GRAPHS.a, outputs=outputs))
    files: dict[str, bytes | None] = {"graph_a.tflite": one_graph_bundle.whole_graph(), "graph_b.tflite": None}
    tiny_bundle.write_bundle(tmp_path, files, graphs=graphs, host_step=HostProgram((), (), ()), schema_version=3)
    with pytest.raises(UserError, match="the output 'indices'"):
        Runner(tmp_path)
