"""The numerics gate: passes on the right file, and names the right place of a planted fault on each link of the chain."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from detr2litert.host_runtime.tflite.writer import ModelWriter
from detr2litert.verify.delegate.adapters import Driver
from detr2litert.verify.delegate.dispatches import NotCounted
from detr2litert.verify.delegate.driver import NO_ADAPTER
from detr2litert.verify.delegate.run import Job, run_models
from detr2litert.verify.gates import GateResult, Verdict
from detr2litert.verify.parity import numerics
from detr2litert.verify.parity.numerics import GraphCase, check_numerics
from detr2litert.verify.parity.numerics_limits import Limits
from detr2litert.verify.parity.numerics_names import CPU, GPU, NATIVE, SHIPPED, SHIPPED_DIRECT
from tests.verify.parity.numerics_models import (
    WEIGHTS,
    Arrays,
    image,
    reference,
    trace,
    write_gpu_fault,
    write_lost_output,
    write_net,
)


def case(float32: Path | None, shipped: Path, **changes: object) -> GraphCase:
    inputs = (image(0), image(1))
    expected = tuple(reference(given)[0] for given in inputs)
    return GraphCase(**{"name": "graph_a", "float32": float32, "shipped": shipped, "inputs": inputs,  # type: ignore[arg-type]
                        "expected": expected, "trace": trace, **changes})  # fmt: skip


def links(result: GateResult) -> dict[str, bool]:
    return {record["comparison"]: record["passed"] for record in result.data["comparisons"]}


@pytest.fixture
def good(tmp_path: Path) -> tuple[Path, Path]:
    return write_net(tmp_path / "good.tflite"), write_net(tmp_path / "good_half.tflite", half=True)


def wrong_weight(name: str) -> dict[str, np.ndarray]:
    """The weights with one row of one of them negated."""
    broken = WEIGHTS[name].copy()
    broken[0] = -broken[0] - 1
    return {name: broken}


@pytest.mark.gpu
def test_right_files_pass_every_link(good: tuple[Path, Path], driver: Driver) -> None:
    result = check_numerics([case(*good)], gpu=driver)
    assert result.verdict is Verdict.PASSED and not result.findings and not result.advice
    assert links(result) == {CPU: True, SHIPPED: True, GPU: True}
    figures = {(m.subject, m.metric): m for m in result.measurements}
    assert figures["graph_a / boxes: CPU vs PyTorch", "correlation"].limit == 0.99999
    assert figures["graph_a / memory: shipped vs float32", "max_abs_error"].value > 0  # fp16 does round
    assert figures["graph_a / memory: shipped vs float32", "max_abs_error"].limit is None
    assert figures["graph_a / boxes: GPU vs CPU", "correlation"].value > 0.9999999
    count = result.data["gpu"]["graph_a"]["dispatches"]
    assert 1 < count < 100 and result.data["not_counted"] == "" and f"; {count} dispatches (" in result.summary
    json.dumps(result.to_json())


@pytest.mark.gpu
def test_a_native_graph_is_compared_with_its_portable_twin(good: tuple[Path, Path], driver: Driver) -> None:
    native = case(None, good[1], name="graph_a.native", twin="graph_a")
    result = check_numerics([case(*good), native], gpu=driver)
    assert result.verdict is Verdict.PASSED
    assert [(record["graph"], record["comparison"]) for record in result.data["comparisons"]] == [
        ("graph_a", CPU),
        ("graph_a", SHIPPED),
        ("graph_a", GPU),
        ("graph_a.native", NATIVE),
    ]
    assert {m.subject for m in result.measurements if "native" in m.subject} == {
        f"graph_a.native / {output}: native vs portable" for output in ("boxes", "memory")
    }


@pytest.mark.gpu
def test_a_native_graph_that_computes_something_else_is_named(tmp_path: Path, good: tuple[Path, Path], driver: Driver) -> None:
    bad = write_net(tmp_path / "bad.tflite", wrong_weight("w3"), half=True)
    result = check_numerics([case(*good), case(None, bad, name="graph_a.native", twin="graph_a")], gpu=driver)
    assert result.verdict is Verdict.FAILED
    (finding,) = result.findings
    assert (finding.rule, finding.place) == ("native-vs-portable", "graph_a.native / boxes")
    assert "--no-native" in finding.advice and NATIVE in finding.message


@pytest.mark.gpu
def test_a_native_graph_that_the_delegate_refuses_fails(tmp_path: Path, good: tuple[Path, Path], driver: Driver) -> None:
    w = ModelWriter()
    w.op("ADD_N", [w.input("x", (6, 16))] * 3, {"boxes": (6, 16)})
    native = case(None, w.write(tmp_path / "refused.tflite", ["boxes"]), name="graph_a.native", twin="graph_a")
    result = check_numerics([case(*good), native], gpu=driver)
    (finding,) = result.findings
    assert result.verdict is Verdict.FAILED and finding.place == "graph_a.native: native vs portable"
    assert "residency" in finding.advice


def test_a_native_graph_is_not_run_on_the_cpu(tmp_path: Path, good: tuple[Path, Path]) -> None:
    absent = case(None, tmp_path / "absent.tflite", name="graph_a.native", twin="graph_a")
    result = check_numerics([case(*good), absent], gpu=NO_ADAPTER)
    assert result.verdict is Verdict.NOT_RUN and links(result) == {CPU: True, SHIPPED: True}


@pytest.mark.gpu
def test_dispatches_that_cannot_be_counted_are_not_guessed(
    good: tuple[Path, Path], driver: Driver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(numerics, "find_counter", lambda driver: NotCounted("there is no C compiler"))
    result = check_numerics([case(*good)], gpu=driver)
    assert result.verdict is Verdict.PASSED
    assert result.data["gpu"]["graph_a"]["dispatches"] is None
    assert result.data["not_counted"] == "there is no C compiler" and "dispatches" not in result.summary


def test_without_adapter_the_gate_does_not_pass_but_the_rest_is_measured(good: tuple[Path, Path]) -> None:
    result = check_numerics([case(*good)], gpu=NO_ADAPTER)
    assert result.verdict is Verdict.NOT_RUN and "no Vulkan adapter" in result.summary and result.advice
    assert links(result) == {CPU: True, SHIPPED: True}


@pytest.mark.parametrize(
    ("weight", "named", "words"),
    [
        ("w1", "net.fc1||_linear;1", "module net.fc1, node linear, no rewrite"),
        ("scale", "net.norm|", "module net.norm, node mul, made by protect_layer_norm + reduce_rank"),
        ("w2", "net.fc2||_linear_1;", "module net.fc2, node linear_1"),
    ],
)
def test_conversion_fault_is_traced_to_its_node(
    tmp_path: Path, good: tuple[Path, Path], weight: str, named: str, words: str
) -> None:
    bad = write_net(tmp_path / "bad.tflite", wrong_weight(weight))
    # Two graphs, one of them right, and no adapter: a fault found is a failure all the same.
    result = check_numerics([case(*good), case(bad, bad, name="graph_b")], gpu=NO_ADAPTER)
    assert result.verdict is Verdict.FAILED
    (place,) = result.data["located"]
    assert place["graph"] == "graph_b" and place["comparison"] == CPU and place["name"].startswith(named)
    (finding,) = result.findings
    assert finding.place.startswith("graph_b op ") and words in finding.message and finding.advice
    assert finding.place in result.advice


def test_fault_in_the_last_operator_is_located_by_its_inputs(tmp_path: Path) -> None:
    bad = write_net(tmp_path / "bad.tflite", wrong_weight("w3"))
    (place,) = check_numerics([case(bad, bad)], gpu=NO_ADAPTER).data["located"]
    assert place["name"] == "boxes" and place["op"] == "FULLY_CONNECTED" and place["origin"].startswith("next after module net")


def test_fault_before_conversion_is_distinguished_from_one_of_conversion(good: tuple[Path, Path]) -> None:
    # The file agrees with the rewritten graph (the trace), but not with PyTorch itself.
    changed = {**WEIGHTS, **wrong_weight("w1")}
    expected = tuple(reference(image(seed), changed)[0] for seed in (0, 1))
    (finding,) = check_numerics([case(*good, expected=expected)], gpu=NO_ADAPTER).findings
    assert "before conversion" in finding.message


def test_scale_error_without_loss_of_correlation_fails(tmp_path: Path) -> None:
    bad = write_net(tmp_path / "bad.tflite", {"w3": 2 * WEIGHTS["w3"], "b3": 2 * WEIGHTS["b3"]})
    result = check_numerics([case(bad, bad)], gpu=NO_ADAPTER)
    by_metric = {m.metric: m.passed for m in result.measurements if m.subject == "graph_a / boxes: CPU vs PyTorch"}
    assert by_metric == {"correlation": True, "relative_error": False, "max_abs_error": True}
    assert result.verdict is Verdict.FAILED


def test_fp16_fault_is_named(tmp_path: Path, good: tuple[Path, Path]) -> None:
    huge = {"w2": WEIGHTS["w2"] * np.float32(3e5)}  # above 65504, the largest fp16 number
    full, half = write_net(tmp_path / "full.tflite", huge), write_net(tmp_path / "half.tflite", huge, half=True)
    expected = tuple(reference(image(seed), {**WEIGHTS, **huge})[0] for seed in (0, 1))
    quiet = case(full, half, expected=expected, trace=None)
    result = check_numerics([quiet], gpu=NO_ADAPTER)
    assert links(result) == {CPU: True, SHIPPED: False}
    (place,) = result.data["located"]
    assert place["name"] == "net.fc2||_linear_1;" and place["difference"]["non_finite"] > 0
    assert "non-finite" in result.findings[0].message


def test_without_float32_file_the_shipped_one_is_compared_with_pytorch(good: tuple[Path, Path], tmp_path: Path) -> None:
    assert links(check_numerics([case(None, good[1])], gpu=NO_ADAPTER)) == {SHIPPED_DIRECT: True}
    bad = write_net(tmp_path / "bad.tflite", wrong_weight("w2"), half=True)
    (place,) = check_numerics([case(None, bad)], gpu=NO_ADAPTER).data["located"]
    assert place["name"] == "net.fc2||_linear_1;"


def test_file_that_does_not_fit_its_reference_fails(good: tuple[Path, Path]) -> None:
    foreign: tuple[Arrays, ...] = ({"other": np.zeros(3, np.float32)},) * 2
    (finding,) = check_numerics([case(*good, expected=foreign)], gpu=NO_ADAPTER).findings
    assert "outputs are ['boxes', 'memory'], expected ['other']" in finding.message
    short = tuple({name: value[:2] for name, value in reference(image(seed))[0].items()} for seed in (0, 1))
    (finding,) = check_numerics([case(*good, expected=short)], gpu=NO_ADAPTER).findings
    assert "has shape [6, 4], expected [2, 4]" in finding.message
    wrong_inputs = ({"y": image()["x"]},) * 2
    assert check_numerics([case(*good, inputs=wrong_inputs)], gpu=NO_ADAPTER).verdict is Verdict.FAILED
    with pytest.raises(ValueError, match="2 input sets and 1"):
        case(*good, expected=foreign[:1])


def on_gpu(model: Path) -> GraphCase:
    """A case in which only the delegate can be wrong."""
    expected = run_models([Job(model, (image(),))], accelerator="cpu")[0].outputs
    return GraphCase("graph_b", None, model, (image(),), expected)


@pytest.mark.gpu
def test_delegate_fault_is_bisected_to_its_operator(tmp_path: Path, driver: Driver) -> None:
    result = check_numerics([on_gpu(write_gpu_fault(tmp_path / "m.tflite"))], gpu=driver)
    assert result.verdict is Verdict.FAILED and links(result) == {SHIPPED_DIRECT: True, GPU: False}
    (place,) = result.data["located"]
    assert place["op"] == "ADD" and place["name"] == "net.embed|reduce_rank|_add;"
    assert place["taps"] <= 6  # 14 operators: four halvings, and the direct input
    (finding,) = result.findings
    assert "module net.embed, node add, made by reduce_rank" in finding.message
    assert "a second kind of tap differs as well" in finding.message


@pytest.mark.gpu
def test_output_that_the_delegate_loses_is_distinguished_from_a_wrong_one(tmp_path: Path, driver: Driver) -> None:
    (finding,) = check_numerics([on_gpu(write_lost_output(tmp_path / "m.tflite"))], gpu=driver).findings
    assert finding.place.startswith("graph_b op 2 ADD (total)")
    assert "a copy of it is right" in finding.message


@pytest.mark.gpu
def test_taps_are_limited(tmp_path: Path, driver: Driver) -> None:
    model = write_gpu_fault(tmp_path / "m.tflite")
    result = check_numerics([on_gpu(model)], gpu=driver, limits=Limits(max_taps=1))
    assert "stopped after 1 taps" in result.findings[0].message
