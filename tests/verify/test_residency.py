"""The residency gate: passes, names refused operators, survives a crash, and reports when it could not run."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from detr2litert.host_runtime.tflite.writer import ModelWriter
from detr2litert.verify.delegate.adapters import Driver
from detr2litert.verify.delegate.driver import NO_ADAPTER
from detr2litert.verify.gates import Verdict
from detr2litert.verify.residency import check_residency


def write(folder: Path, name: str, kind: str, shape: tuple[int, ...], second: np.ndarray | None = None) -> Path:
    w = ModelWriter()
    x = w.input("x", shape)
    w.op(kind, [x, x if second is None else w.constant("c", second)], {"y": shape})
    return w.write(folder / f"{name}.tflite", ["y"])


@pytest.mark.gpu
def test_resident_graphs_pass(tmp_path: Path, driver: Driver) -> None:
    graphs = {name: write(tmp_path, name, kind, (1, 4, 4, 8)) for name, kind in (("graph_a", "ADD"), ("graph_b", "MUL"))}
    result = check_residency(graphs, gpu=driver)
    assert result.verdict is Verdict.PASSED and result.advice == "" and not result.findings
    assert "2 of 2" in result.summary and driver.adapter.name in result.summary
    assert all(m.passed for m in result.measurements)
    json.dumps(result.to_json())


@pytest.mark.gpu
def test_refused_and_deadly_graphs_fail_with_names(tmp_path: Path, driver: Driver) -> None:
    graphs = {
        "good": write(tmp_path, "good", "ADD", (1, 4, 4, 8)),
        "refused": write(tmp_path, "refused", "GATHER_ND", (1, 8), np.array([[0]], np.int32)),
        "deadly": write(tmp_path, "deadly", "BATCH_MATMUL", (1, 8, 8)),
    }
    result = check_residency(graphs, gpu=driver)
    assert result.verdict is Verdict.FAILED and "1 of 3" in result.summary
    assert [f.place for f in result.findings] == ["refused op 0 GATHER_ND", "deadly"]
    assert "exited with code 1" in result.findings[1].message
    assert result.advice and result.data["graphs"]["deadly"]["log"]


@pytest.mark.gpu
def test_compiled_with_error_lines_fails(tmp_path: Path, driver: Driver) -> None:
    w = ModelWriter()
    w.op("BATCH_MATMUL", [w.input("a", (8, 4, 4100)), w.input("b", (8, 4100, 8))], {"y": (8, 4, 8)})
    result = check_residency({"wide": w.write(tmp_path / "wide.tflite", ["y"])}, gpu=driver)
    assert result.verdict is Verdict.FAILED and "Texture size" in result.findings[0].message


def test_no_adapter_is_not_run(tmp_path: Path) -> None:
    result = check_residency({"a": write(tmp_path, "a", "ADD", (1, 8))}, gpu=NO_ADAPTER)
    assert result.verdict is Verdict.NOT_RUN and "verify.delegate.driver" in result.advice
