"""Constants with tensors of a lower rank: fixed, unchanged in value, and correct on the delegate."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from editing import kinds, outputs, values

from detr2litert.host_runtime.tflite.editor import FlatbufferEditor
from detr2litert.host_runtime.tflite.writer import ModelWriter
from detr2litert.rewrites.flatbuffer.restore_rank import restore_rank
from detr2litert.verify.delegate.adapters import Driver
from detr2litert.verify.lint.op_lint import lint_file

FIRES = [
    ("ADD", (40, 96), (1, 40, 96), (1, 40, 96)),
    ("ADD", (40, 96), (40, 96), (40, 96)),
    ("MUL", (1, 40, 96), (40, 1, 96), (40, 40, 96)),
    ("SUB", (96,), (40, 96), (40, 96)),
    ("DIV", (40, 8), (1, 1, 40, 8), (1, 1, 40, 8)),
    ("MAXIMUM", (40, 8), (40, 1), (40, 8)),
    ("ADD", (), (5,), (5,)),
    ("MUL", (), (2, 3), (2, 3)),
]
DOES_NOT_FIRE = [
    ("ADD", (1, 4, 40, 8), (4, 40, 8), (1, 4, 40, 8)),
    ("ADD", (1, 40, 8), (1, 40, 8), (1, 40, 8)),
    ("ADD", (40, 8), (8,), (40, 8)),
    ("MUL", (40, 8), (1, 8), (40, 8)),
    ("MUL", (40, 8), (), (40, 8)),
    ("MUL", (), (1, 5), (1, 5)),
]


def model(kind: str, runtime: tuple[int, ...], constant: tuple[int, ...], result: tuple[int, ...], folder: Path) -> Path:
    """``kind(x, constant)`` with an op after it, so that the op's own result is not an output."""
    writer = ModelWriter()
    writer.input("x", runtime)
    writer.constant("c", values(1, *constant) + (3 if kind == "DIV" else 0))
    writer.op(kind, ["x", "c"], {"y": result})
    writer.op("LOGISTIC", ["y"], {"z": result})
    return writer.write(folder / "model.tflite", ["z"])


def fixed(path: Path) -> tuple[Path, int]:
    editor = FlatbufferEditor(path)
    sites = restore_rank(editor)
    target = path.with_name("fixed.tflite")
    editor.save(target)
    return target, len(sites)


@pytest.mark.parametrize(("kind", "runtime", "constant", "result"), FIRES)
def test_fires_and_computes_the_same(
    driver: Driver, tmp_path: Path, kind: str, runtime: tuple[int, ...], constant: tuple[int, ...], result: tuple[int, ...]
) -> None:
    path = model(kind, runtime, constant, result, tmp_path)
    target, fired = fixed(path)
    assert fired == 1
    assert "RESHAPE" in kinds(target)
    inputs = {"x": values(2, *runtime)}
    expected = outputs(path, inputs)["z"]
    assert expected.shape == result
    np.testing.assert_array_equal(outputs(target, inputs)["z"], expected)
    np.testing.assert_allclose(outputs(target, inputs, driver)["z"], expected, atol=2e-6)
    assert not [found for found in lint_file(target) if found.severity in ("refused", "wrong")]


@pytest.mark.parametrize(("kind", "runtime", "constant", "result"), DOES_NOT_FIRE)
def test_does_not_fire_on_what_the_delegate_computes_right(
    driver: Driver, tmp_path: Path, kind: str, runtime: tuple[int, ...], constant: tuple[int, ...], result: tuple[int, ...]
) -> None:
    path = model(kind, runtime, constant, result, tmp_path)
    target, fired = fixed(path)
    assert fired == 0
    assert kinds(target) == [kind, "LOGISTIC"]
    inputs = {"x": values(2, *runtime)}
    np.testing.assert_allclose(outputs(target, inputs, driver)["z"], outputs(path, inputs)["z"], atol=2e-6)


@pytest.mark.parametrize(("kind", "runtime", "constant", "result"), FIRES)
def test_is_idempotent(
    tmp_path: Path, kind: str, runtime: tuple[int, ...], constant: tuple[int, ...], result: tuple[int, ...]
) -> None:
    once, _ = fixed(model(kind, runtime, constant, result, tmp_path))
    editor = FlatbufferEditor(once)
    assert restore_rank(editor) == []


def test_the_hazard_is_real(driver: Driver, tmp_path: Path) -> None:
    """The delegate's result without the fix-up; when this fails, the fix-up can be removed."""
    path = model(*FIRES[0], tmp_path)
    inputs = {"x": values(2, 40, 96)}
    assert np.abs(outputs(path, inputs, driver)["z"] - outputs(path, inputs)["z"]).max() > 0.1


def test_a_float16_constant_with_its_cast(driver: Driver, tmp_path: Path) -> None:
    writer = ModelWriter()
    writer.input("x", (40, 8))
    writer.constant("half", values(1, 40, 8).astype(np.float16))
    writer.op("DEQUANTIZE", ["half"], {"c": (40, 8)})
    writer.op("ADD", ["x", "c"], {"y": (40, 8)})
    writer.op("LOGISTIC", ["c"], {"other": (40, 8)})
    writer.op("ADD", ["y", "other"], {"z": (40, 8)})
    path = writer.write(tmp_path / "model.tflite", ["z"])
    target, fired = fixed(path)
    assert fired == 1
    assert kinds(target).count("DEQUANTIZE") == 2
    inputs = {"x": values(2, 40, 8)}
    np.testing.assert_array_equal(outputs(target, inputs)["z"], outputs(path, inputs)["z"])


def test_a_constant_that_others_read_keeps_its_shape_for_them(driver: Driver, tmp_path: Path) -> None:
    writer = ModelWriter()
    writer.input("x", (40, 8))
    writer.input("w", (1, 4, 40, 8))
    writer.constant("c", values(1, 40, 8))
    writer.op("ADD", ["x", "c"], {"y": (40, 8)})
    writer.op("ADD", ["w", "c"], {"v": (1, 4, 40, 8)})
    path = writer.write(tmp_path / "model.tflite", ["y", "v"])
    target, fired = fixed(path)
    assert fired == 1
    inputs = {"x": values(2, 40, 8), "w": values(3, 1, 4, 40, 8)}
    expected = outputs(path, inputs)
    for found in (outputs(target, inputs), outputs(target, inputs, driver)):
        for name in ("y", "v"):
            np.testing.assert_allclose(found[name], expected[name], atol=2e-6)


def test_does_not_fire_on_two_runtime_operands(tmp_path: Path) -> None:
    writer = ModelWriter()
    writer.input("x", (40, 8))
    writer.input("w", (1, 40, 8))
    writer.op("ADD", ["x", "w"], {"y": (1, 40, 8)})
    _, fired = fixed(writer.write(tmp_path / "model.tflite", ["y"]))
    assert fired == 0
