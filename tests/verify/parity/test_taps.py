"""Values inside a file, and taps on the real delegate."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from detr2litert.host_runtime.tflite.graph import read_graph
from detr2litert.verify.delegate.adapters import Driver
from detr2litert.verify.delegate.run import Job, run_models
from detr2litert.verify.parity.taps import (
    preserved_tensors,
    read_tap,
    runtime_ancestors,
    write_tap,
)
from tests.verify.parity.numerics_models import image, reference, tensor_named, trace, write_lost_output, write_net


def test_ancestors_are_runtime_results(tmp_path: Path) -> None:
    path = write_net(tmp_path / "m.tflite", half=True)
    graph = read_graph(path)
    found = {graph.tensors[t].name for t in runtime_ancestors(graph, tensor_named(path, "memory"))}
    assert found == {"net.fc1||_linear;1", "net.act||_relu;", "net.norm|protect_layer_norm+reduce_rank|_mul;3"}


def test_preserved_values_are_the_nodes_values(tmp_path: Path) -> None:
    path = write_net(tmp_path / "m.tflite")
    values = preserved_tensors(path, read_graph(path), image())
    nodes = trace(image())
    for start, node in (("net.fc1|", "linear"), ("net.act|", "relu"), ("net.fc2|", "linear_1")):
        assert np.allclose(values[tensor_named(path, start)], nodes[node], atol=1e-5)


@pytest.mark.parametrize("copy", [True, False])
def test_tap_preserves_the_outputs_and_reads_the_value(tmp_path: Path, copy: bool) -> None:
    path = write_net(tmp_path / "m.tflite", half=True)
    before = path.read_bytes()
    tapped = write_tap(path, tensor_named(path, "net.act|"), tmp_path / "t.tflite", copy=copy)
    run = run_models([Job(tapped, (image(),))], accelerator="cpu")[0]
    assert run.ok, run.error
    outputs, nodes = reference(image())
    assert np.allclose(run.outputs[0]["boxes"], outputs["boxes"], atol=0.05)
    assert np.allclose(read_tap(run.outputs[0], copy=copy), nodes["relu"], atol=0.02)
    assert path.read_bytes() == before


@pytest.mark.gpu
def test_copy_reads_a_value_that_a_plain_output_loses(tmp_path: Path, driver: Driver) -> None:
    """An ADD whose only reader is a SUM: as an output it returns its operand, as a copy the right value."""
    path = write_lost_output(tmp_path / "m.tflite")
    total = tensor_named(path, "total")
    tapped = write_tap(path, total, tmp_path / "t.tflite")
    plain, copied = run_models([Job(path, (image(),)), Job(tapped, (image(),))], driver=driver, enforce_f32=True)
    x = image()["x"]
    assert not np.allclose(plain.outputs[0]["total"], np.sin(x) + np.exp(x), atol=1e-3)
    assert np.allclose(read_tap(copied.outputs[0]), np.sin(x) + np.exp(x), atol=1e-3)
