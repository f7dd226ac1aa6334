"""Files with int8 weights: their float form is what the delegate computes, and a wrong scale is found."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from detr2litert.convert.dynamic_range import store_dynamic_range
from detr2litert.host_runtime.tflite.editor import FlatbufferEditor
from detr2litert.verify.delegate.adapters import Driver
from detr2litert.verify.delegate.driver import NO_ADAPTER
from detr2litert.verify.delegate.run import Job, run_models
from detr2litert.verify.gates import GateResult, Verdict
from detr2litert.verify.parity.float_twin import FloatTwin, is_int8_constant, scales_of, write_float_twin
from detr2litert.verify.parity.int8_weights import largest_rounding, with_rounding
from detr2litert.verify.parity.metrics import difference
from detr2litert.verify.parity.numerics import GraphCase, check_numerics
from detr2litert.verify.parity.numerics_names import CPU, INT8_CPU, INT8_GPU, NATIVE, UNPACKED, UNPACKED_DIRECT
from detr2litert.verify.probe.suite.quantised import PROBES
from tests.verify.parity.numerics_models import image, reference, trace, write_net


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    """The float32 file and the int8 file of it."""
    float32, int8 = write_net(tmp_path / "float32.tflite"), tmp_path / "int8.tflite"
    store_dynamic_range(float32, int8)
    return float32, int8


def case(float32: Path | None, shipped: Path, **changes: Any) -> GraphCase:
    given = (image(0), image(1))
    expected = tuple(reference(one)[0] for one in given)
    return GraphCase(**{"name": "graph_a", "float32": float32, "shipped": shipped, "inputs": given, "expected": expected,
                        "trace": trace, **changes})  # fmt: skip


def links(result: GateResult) -> dict[str, bool]:
    return {record["comparison"]: record["passed"] for record in result.data["comparisons"]}


def with_scales(source: Path, target: Path, change: Callable[[Any], Any]) -> Path:
    """The file with the scales of its largest int8 weights changed."""
    editor = FlatbufferEditor(source)
    tensor = max((t for t in editor.subgraph.tensors if is_int8_constant(editor, t)), key=lambda t: int(np.prod(t.shape)))
    tensor.quantization.scale = change(scales_of(tensor).copy())
    editor.save(target)
    return target


def one_doubled(scales: Any) -> Any:
    scales[3] *= 2
    return scales


def test_the_float_form_has_the_rounded_weights(tmp_path: Path, files: tuple[Path, Path]) -> None:
    """It is near the float32 file, and the CPU, which rounds the inputs as well, is further from that."""
    twin = write_float_twin(files[1], tmp_path / "twin.tflite")
    assert twin == FloatTwin(tmp_path / "twin.tflite", steps=False, exact=tmp_path / "twin.tflite")
    full, int8, unpacked = (
        run.outputs[0]["boxes"]
        for run in run_models([Job(path, (image(0),)) for path in (*files, twin.path)], accelerator="cpu")
    )
    assert 1e-4 < difference(unpacked, full).relative_error < 0.02
    assert 1e-4 < difference(int8, unpacked).relative_error < 0.05


def test_a_float_file_has_no_float_form(tmp_path: Path, files: tuple[Path, Path]) -> None:
    assert write_float_twin(files[0], tmp_path / "twin.tflite") is None
    assert write_float_twin(write_net(tmp_path / "half.tflite", half=True), tmp_path / "twin.tflite") is None
    assert not (tmp_path / "twin.tflite").exists()


def test_int8_activations_are_rounded_to_their_steps(tmp_path: Path) -> None:
    """The CPU computes this convolution in integers, and its float form rounds to the same steps."""
    probe = next(probe for probe in PROBES if probe.name == "int8_conv")
    model = probe.write(tmp_path)
    twin = write_float_twin(model, tmp_path / "twin.tflite")
    assert twin is not None and twin.steps
    given = probe.inputs(model)
    integers, floats = (
        run.outputs[0]["y"] for run in run_models([Job(p, (given,)) for p in (model, twin.path)], accelerator="cpu")
    )
    assert np.array_equal(floats, np.round(floats / 0.5) * 0.5) and np.unique(floats).size > 8
    assert np.mean(integers != floats) < 0.05 and np.abs(integers - floats).max() <= 0.5


@pytest.mark.gpu
def test_the_delegate_computes_the_float_form(files: tuple[Path, Path], driver: Driver) -> None:
    native = case(None, files[1], name="graph_a.native", twin="graph_a")
    result = check_numerics([case(*files), native], gpu=driver)
    assert result.verdict is Verdict.PASSED
    assert links(result) == {CPU: True, UNPACKED: True, INT8_CPU: True, INT8_GPU: True, NATIVE: True}
    errors = {m.subject: m for m in result.measurements if m.metric == "relative_error"}
    on_gpu, on_cpu = errors[f"graph_a / boxes: {INT8_GPU}"], errors[f"graph_a / boxes: {INT8_CPU}"]
    assert on_gpu.value < 1e-5 < 1e-3 < on_cpu.value and on_gpu.limit is not None and on_gpu.limit < 0.005


def test_without_a_float32_file_it_is_compared_with_pytorch(files: tuple[Path, Path]) -> None:
    result = check_numerics([case(None, files[1])], gpu=NO_ADAPTER)
    assert result.verdict is Verdict.NOT_RUN and links(result) == {UNPACKED_DIRECT: True, INT8_CPU: True}


def test_every_weight_is_within_half_a_step(files: tuple[Path, Path]) -> None:
    steps, name = largest_rounding(files[1], files[0])
    assert 0.4 < steps <= 0.501 and name
    assert largest_rounding(files[0], files[0]) == (0.0, "")
    passed = with_rounding(GateResult("numerics", Verdict.PASSED, ""), {"graph_a": (files[1], files[0])})
    assert passed.verdict is Verdict.PASSED and [m.passed for m in passed.measurements] == [True]


@pytest.mark.parametrize("change", [lambda scales: scales * 2, one_doubled, lambda scales: scales * 1.02])
def test_a_wrong_scale_is_found_and_named(tmp_path: Path, files: tuple[Path, Path], change: Callable[[Any], Any]) -> None:
    """All of them doubled, one channel's doubled, and all wrong by 2 %, which no output shows."""
    wrong = with_scales(files[1], tmp_path / "wrong.tflite", change)
    result = with_rounding(GateResult("numerics", Verdict.PASSED, "fine"), {"graph_a": (wrong, files[0])})
    (finding,) = result.findings
    assert result.verdict is Verdict.FAILED and finding.rule == "int8-weights"
    assert "steps apart" in finding.message and finding.place.startswith("graph_a / ")


def test_a_doubled_scale_is_found_by_the_outputs_alone(tmp_path: Path, files: tuple[Path, Path]) -> None:
    """A finished bundle has no float32 file to compare its weights with."""
    wrong = with_scales(files[1], tmp_path / "wrong.tflite", lambda scales: scales * 2)
    for float32, link in ((files[0], UNPACKED), (None, UNPACKED_DIRECT)):
        result = check_numerics([case(float32, wrong)], gpu=NO_ADAPTER)
        assert result.verdict is Verdict.FAILED and links(result)[link] is False
        (finding,) = result.findings
        assert "--precision fp16" in finding.advice and finding.place != "graph_a"
