"""Outputs that an operator reads: duplicated, unchanged in value, correct on the delegate."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from editing import kinds, outputs, readers, values

from detr2litert.host_runtime.tflite.editor import FlatbufferEditor
from detr2litert.host_runtime.tflite.graph import read_graph
from detr2litert.host_runtime.tflite.writer import ModelWriter
from detr2litert.rewrites.flatbuffer.isolate_outputs import isolate_outputs
from detr2litert.verify.delegate.adapters import Driver


def fixed(path: Path) -> tuple[Path, int]:
    editor = FlatbufferEditor(path)
    sites = isolate_outputs(editor)
    target = path.with_name("fixed.tflite")
    editor.save(target)
    return target, len(sites)


def memory_and_scores(folder: Path, kind: str = "ADD") -> Path:
    """The end of graph A: the memory is an output, and a reduction reads it as well."""
    writer = ModelWriter()
    writer.input("x", (1, 4, 6, 8))
    operands = ["x", writer.constant("c", values(1, 8))] if kind in ("ADD", "SUB", "MUL", "DIV") else ["x"]
    writer.op(kind, operands, {"memory": (1, 4, 6, 8)})
    writer.op("SUM", ["memory", writer.constant("axes", np.array([3], np.int32))], {"scores": (1, 4, 6)})
    return writer.write(folder / "model.tflite", ["memory", "scores"])


@pytest.mark.parametrize("kind", ["ADD", "SUB", "MUL", "LOGISTIC", "RELU"])
def test_fires_and_computes_the_same(driver: Driver, tmp_path: Path, kind: str) -> None:
    path = memory_and_scores(tmp_path, kind)
    target, fired = fixed(path)
    assert fired == 1
    assert kinds(target) == [kind, kind, "SUM"]
    assert readers(read_graph(path), "memory") == ["SUM"]
    assert readers(read_graph(target), "memory") == []
    inputs = {"x": values(2, 1, 4, 6, 8)}
    expected = outputs(path, inputs)
    for found in (outputs(target, inputs), outputs(target, inputs, driver)):
        assert found.keys() == expected.keys()
        for name, value in expected.items():
            np.testing.assert_allclose(found[name], value, atol=1e-5)


def test_is_idempotent(tmp_path: Path) -> None:
    once, _ = fixed(memory_and_scores(tmp_path))
    assert isolate_outputs(FlatbufferEditor(once)) == []


def test_the_hazard_is_real(driver: Driver, tmp_path: Path) -> None:
    """The delegate returns the ADD's first operand as the output; when this fails, the fix-up can be removed."""
    writer = ModelWriter()
    writer.input("x", (1, 4, 6, 8))
    writer.input("w", (1, 4, 6, 8))
    writer.op("ADD", ["x", "w"], {"memory": (1, 4, 6, 8)})
    writer.op("SUM", ["memory", writer.constant("axes", np.array([3], np.int32))], {"scores": (1, 4, 6)})
    path = writer.write(tmp_path / "model.tflite", ["memory", "scores"])
    inputs = {"x": values(2, 1, 4, 6, 8), "w": values(3, 1, 4, 6, 8)}
    found, expected = outputs(path, inputs, driver), outputs(path, inputs)
    np.testing.assert_array_equal(found["memory"], inputs["x"])
    target, fired = fixed(path)
    assert fired == 1
    np.testing.assert_allclose(outputs(target, inputs, driver)["memory"], expected["memory"], atol=1e-6)


def test_an_output_that_another_output_reads(driver: Driver, tmp_path: Path) -> None:
    writer = ModelWriter()
    writer.input("x", (1, 4, 6, 8))
    writer.op("ADD", ["x", writer.constant("c", values(1, 8))], {"first": (1, 4, 6, 8)})
    writer.op("RELU", ["first"], {"second": (1, 4, 6, 8)})
    writer.op("LOGISTIC", ["second"], {"third": (1, 4, 6, 8)})
    path = writer.write(tmp_path / "model.tflite", ["first", "second", "third"])
    target, fired = fixed(path)
    assert fired == 2
    graph = read_graph(target)
    assert [readers(graph, name) for name in ("first", "second", "third")] == [[], [], []]
    inputs = {"x": values(2, 1, 4, 6, 8)}
    expected = outputs(path, inputs)
    for found in (outputs(target, inputs), outputs(target, inputs, driver)):
        for name, value in expected.items():
            np.testing.assert_allclose(found[name], value, atol=1e-5)


def test_does_not_fire_on_inputs_and_leaves(tmp_path: Path) -> None:
    writer = ModelWriter()
    writer.input("x", (1, 4, 6, 8))
    writer.op("RELU", ["x"], {"y": (1, 4, 6, 8)})
    target, fired = fixed(writer.write(tmp_path / "model.tflite", ["x", "y"]))
    assert fired == 0
    assert kinds(target) == ["RELU"]


def test_an_expensive_op_is_not_computed_twice(tmp_path: Path) -> None:
    writer = ModelWriter()
    writer.input("x", (1, 6, 8))
    writer.op("SUM", ["x", writer.constant("axes", np.array([2], np.int32))], {"sum": (1, 6)})
    writer.op("RELU", ["sum"], {"y": (1, 6)})
    target, fired = fixed(writer.write(tmp_path / "model.tflite", ["sum", "y"]))
    assert fired == 0
    assert kinds(target) == ["SUM", "RELU"]
