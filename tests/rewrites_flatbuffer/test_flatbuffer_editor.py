"""Reading, editing and writing a file without losses; the fix-ups in order."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema
from editing import kinds, outputs, values

from detr2litert.host_runtime.tflite.editor import FlatbufferEditor
from detr2litert.host_runtime.tflite.graph import read_graph
from detr2litert.host_runtime.tflite.writer import ModelWriter
from detr2litert.rewrites.flatbuffer.pipeline import FIX_UPS, FixUp, fix_up


@pytest.fixture
def path(tmp_path: Path) -> Path:
    writer = ModelWriter()
    writer.input("x", (40, 96))
    writer.constant("c", values(1, 1, 40, 96))
    writer.op("ADD", ["x", "c"], {"y": (1, 40, 96)})
    writer.op("RELU", ["y"], {"z": (1, 40, 96)})
    return writer.write(tmp_path / "model.tflite", ["y", "z"])


def test_saving_unchanged_changes_nothing(path: Path, tmp_path: Path) -> None:
    FlatbufferEditor(path).save(tmp_path / "same.tflite")
    before, after = read_graph(path), read_graph(tmp_path / "same.tflite")
    assert after.tensors == before.tensors
    assert [(op.name, op.inputs, op.outputs) for op in after.ops] == [(op.name, op.inputs, op.outputs) for op in before.ops]
    assert (after.signature_inputs, after.signature_outputs) == (before.signature_inputs, before.signature_outputs)
    FlatbufferEditor(tmp_path / "same.tflite").save(tmp_path / "again.tflite")
    assert (tmp_path / "again.tflite").read_bytes() == (tmp_path / "same.tflite").read_bytes()


def test_shapes_constants_producers_and_consumers(path: Path) -> None:
    editor = FlatbufferEditor(path)
    add, relu = editor.subgraph.operators
    x, c, y, z = range(4)
    assert [editor.shape(t) for t in (x, c, y, z)] == [[40, 96], [1, 40, 96], [1, 40, 96], [1, 40, 96]]
    assert [editor.graph().source(t) is not None for t in (x, c, y, z)] == [False, True, False, False]
    assert (editor.producer(x), editor.producer(y)) == (None, add)
    assert (editor.consumers(y), editor.consumers(z)) == ([relu], [])
    assert editor.opcode(relu) == schema.BuiltinOperator.RELU


def test_an_operator_code_of_an_old_file(path: Path) -> None:
    """It lacks the newer field, which then reads as 0, the code of ADD."""
    editor = FlatbufferEditor(path)
    for code in editor.model.operatorCodes:
        code.builtinCode = 0
    assert editor.opcode(editor.subgraph.operators[1]) == schema.BuiltinOperator.RELU


def test_inserts_reshapes_before_and_after(path: Path, tmp_path: Path) -> None:
    editor = FlatbufferEditor(path)
    add, relu = editor.subgraph.operators
    wide = editor.add_tensor(2, [1, 1, 40, 96], "_wide")
    editor.insert_reshape(2, wide, after=add)
    back = editor.add_tensor(2, [1, 40, 96], "_back")
    editor.insert_reshape(wide, back, before=relu)
    relu.inputs = np.asarray([back], np.int32)
    editor.save(tmp_path / "changed.tflite")
    assert kinds(tmp_path / "changed.tflite") == ["ADD", "RESHAPE", "RESHAPE", "RELU"]
    inputs = {"x": values(2, 40, 96)}
    np.testing.assert_array_equal(outputs(tmp_path / "changed.tflite", inputs)["z"], outputs(path, inputs)["z"])


def test_the_fix_ups_report_what_they_did(path: Path, tmp_path: Path) -> None:
    reports = fix_up(path, tmp_path / "fixed.tflite")
    assert [report.name for report in reports] == [step.name for step in FIX_UPS] == ["restore_rank", "isolate_outputs"]
    assert [len(report.fired) for report in reports] == [1, 1]
    assert reports[0].ops_before == 2
    assert reports[-1].ops_after == len(kinds(tmp_path / "fixed.tflite"))
    assert reports[0].fired[0].detail == "[40, 96] with constant [1, 40, 96]"
    inputs = {"x": values(2, 40, 96)}
    expected, found = outputs(path, inputs), outputs(tmp_path / "fixed.tflite", inputs)
    for name, value in expected.items():
        np.testing.assert_array_equal(found[name], value)


@pytest.mark.parametrize("step", FIX_UPS, ids=lambda step: step.name)
def test_every_fix_up_explains_itself(step: FixUp) -> None:
    for part in ("Hazard", "Identity", "Given::", "Result::", "Exact."):
        assert part in step.document
