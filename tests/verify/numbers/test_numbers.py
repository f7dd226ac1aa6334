"""The gate "numbers": it finds what is wrong without any rule, names the first operator, and leaves right files alone."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from detr2litert.host_runtime.errors import UserError
from detr2litert.host_runtime.tflite.graph import read_graph
from detr2litert.host_runtime.tflite.writer import ModelWriter
from detr2litert.verify.delegate.adapters import Driver
from detr2litert.verify.delegate.driver import NO_ADAPTER
from detr2litert.verify.delegate.run import Job, run_models
from detr2litert.verify.gates import Verdict
from detr2litert.verify.lint.op_lint import lint_file
from detr2litert.verify.numbers import check_numbers as gate
from detr2litert.verify.numbers.check_numbers import check_numbers, outcomes
from detr2litert.verify.numbers.compare import LIMIT, compare, failing, sensitive
from detr2litert.verify.numbers.extract import write_part
from detr2litert.verify.numbers.inputs import moved, random_inputs, read_inputs
from detr2litert.verify.numbers.reference import write_reference
from detr2litert.verify.probe.suite import SUITE
from tests.convert import foreign_files as foreign

_PROBES = {probe.name: probe for probe in SUITE}
# The smallest graph of each kind of the table of random graphs, and the rule that knows it.
_TABLE = {
    "matmul_transposed": "matmul-constant-transposed", "matmul_transposed_left": "matmul-constant-transposed",
    "matmul_transposed_map": "matmul-constant-transposed", "matmul_transposed_column": "matmul-constant-transposed",
    "cumsum_exclusive": "cumsum", "cumsum_reverse": "cumsum", "leaky_relu_steep": "leaky-relu-slope",
    "leaky_relu_falling": "leaky-relu-slope", "pad_first_axis": "pad-first-axis", "pad_first_axis_lowest": "pad-first-axis",
    "depthwise_point_odd": "depthwise-pointwise", "split_difference_given": "split-parts",
    "lanes_div_slice_fc": "nonfinite-padding",
}  # fmt: skip


def _chain(path: Path) -> Path:
    """TANH, a wrong LEAKY_RELU, ABS, and a second way to the output."""
    w = ModelWriter()
    x = w.op("TANH", [w.input("x", (1, 6, 8))], {"a": (1, 6, 8)})
    steep = w.op("LEAKY_RELU", [x], {"b": (1, 6, 8)}, alpha=2.0)
    total = w.op("ADD", [w.op("SIN", [steep], {"c": (1, 6, 8)}), w.input("z", (1, 6, 8))], {"y": (1, 6, 8)})
    return w.write(path, [total])


@pytest.mark.ci
@pytest.mark.gpu
def test_every_kind_of_the_table_is_found_by_a_rule_and_by_numbers_independently(driver: Driver, tmp_path: Path) -> None:
    files = {name: _PROBES[name].write(tmp_path) for name in _TABLE}
    for name, rule in _TABLE.items():
        assert rule in {found.rule for found in lint_file(files[name])}, name
    assert set(outcomes(files, driver).values()) == {"wrong"}


@pytest.mark.gpu
def test_files_that_are_right_wrong_refused_and_deadly(driver: Driver, tmp_path: Path) -> None:
    names = {"relu6": "right", "split_gate": "right", "hybrid_fc": "right", "dequantize_int8_conv": "right",
             "split_difference": "wrong", "arg_max_padded": "wrong", "gather_nd": "refused", "top_k_three": "died"}  # fmt: skip
    assert outcomes({name: _PROBES[name].write(tmp_path) for name in names}, driver) == names


@pytest.mark.gpu
def test_the_first_wrong_operator_is_named_and_matched_with_a_rule(driver: Driver, tmp_path: Path) -> None:
    result = check_numbers({"m": _chain(tmp_path / "m.tflite")}, gpu=driver, parts=tmp_path / "parts")
    (finding,) = result.findings
    assert result.verdict is Verdict.FAILED and (finding.op, finding.operator) == (1, "LEAKY_RELU")
    assert "known: leaky-relu-slope" in finding.advice and "needed to see it: 1 LEAKY_RELU" in finding.message
    assert not (tmp_path / "parts").exists()
    assert not [m for m in result.measurements if m.metric == "correlation" and m.passed]
    json.dumps(result.to_json())


@pytest.mark.ci
@pytest.mark.gpu
def test_an_unknown_fault_leaves_its_smallest_graph(driver: Driver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gate, "lint_file", lambda path, add=(): [])
    (finding,) = check_numbers({"m": _chain(tmp_path / "m.tflite")}, gpu=driver, parts=tmp_path / "parts").findings
    (part,) = (tmp_path / "parts").iterdir()
    assert "not known: please report" in finding.advice and part.name in finding.advice
    assert [op.name for op in read_graph(part).ops] == ["LEAKY_RELU"]
    assert outcomes({"part": part}, driver) == {"part": "wrong"}


def test_without_an_adapter_nothing_is_compared(tmp_path: Path) -> None:
    result = check_numbers({"m": _chain(tmp_path / "m.tflite")}, gpu=NO_ADAPTER)
    assert result.verdict is Verdict.NOT_RUN and result.advice


@pytest.mark.gpu
def test_what_the_cpu_cannot_run_is_not_judged(driver: Driver, tmp_path: Path) -> None:
    path = foreign.one_op(tmp_path / "m.tflite", "CUSTOM:Mystery")
    result = check_numbers({"m": path}, gpu=driver)
    assert result.verdict is Verdict.NOT_RUN and "--inputs" in result.advice


def test_a_part_computes_the_same(tmp_path: Path) -> None:
    path = _chain(tmp_path / "m.tflite")
    graph = read_graph(path)
    given = next(iter(random_inputs(graph).values()))
    (whole,) = run_models([Job(path, (given,))], accelerator="cpu")
    names = write_part(path, [0, 1, 2, 3], graph.outputs, tmp_path / "part.tflite")
    by_tensor = {index: given[name] for name, index in graph.signature_inputs.items()}
    (part,) = run_models([Job(tmp_path / "part.tflite", ({n: by_tensor[t] for n, t in names.items()},))], accelerator="cpu")
    np.testing.assert_array_equal(part.outputs[0]["y0"], whole.outputs[0]["y"])
    write_part(path, [2], graph.ops[2].outputs, tmp_path / "small.tflite")
    small = read_graph(tmp_path / "small.tflite")
    assert [op.name for op in small.ops] == ["SIN"] and len(small.tensors) == 2


def test_the_reference_unpacks_eight_bit_weights(tmp_path: Path) -> None:
    probe = _PROBES["hybrid_fc_channels"]
    path = probe.write(tmp_path)
    reference = write_reference(path, tmp_path / "r.tflite")
    assert reference != path and write_reference(_PROBES["relu6"].write(tmp_path), tmp_path / "s.tflite").name == "relu6.tflite"
    given = probe.inputs(path)
    (run,) = run_models([Job(reference, (given,))], accelerator="cpu")
    assert probe.reference is not None
    for name, value in probe.reference(given).items():
        np.testing.assert_allclose(run.outputs[0][name], value, rtol=1e-4, atol=1e-4)


def test_differences() -> None:
    right = {"y": np.linspace(-1, 1, 50, dtype=np.float32)}
    assert not failing(compare({"y": right["y"] * (1 + 1e-6)}, right, LIMIT), LIMIT)
    assert failing(compare({"y": right["y"] + 0.1}, right, LIMIT), LIMIT) == ("y",)
    undefined = {"y": np.where(np.arange(50) < 10, np.nan, right["y"]).astype(np.float32)}
    assert not failing(compare(right, undefined, LIMIT), LIMIT)
    assert failing(compare(undefined, right, LIMIT), LIMIT) == ("y",)
    assert not compare(right, {"y": np.full(50, np.nan, np.float32)}, LIMIT)
    flat = {"y": np.linspace(1 - 1e-6, 1, 50, dtype=np.float32)}
    assert not failing(compare({"y": np.ones(50, np.float32)}, flat, LIMIT), LIMIT)
    assert sensitive(right, {"y": -right["y"]}, LIMIT) == {"y"} and not sensitive(right, right, LIMIT)
    given = {"x": np.ones(4, np.float32), "i": np.ones(4, np.int32)}
    assert 0 < np.abs(moved(given)["x"] - 1).max() < 1e-5 and (moved(given)["i"] == 1).all()


def test_inputs_are_read_and_checked(tmp_path: Path) -> None:
    graph = read_graph(_chain(tmp_path / "m.tflite"))
    values = {name: np.ones((1, 6, 8), np.float32) for name in ("x", "z")}
    np.savez(tmp_path / "good.npz", **values)
    assert set(read_inputs(tmp_path / "good.npz", graph)) == {"x", "z"}
    np.savez(tmp_path / "names.npz", x=values["x"])
    np.savez(tmp_path / "types.npz", x=values["x"].astype(np.float64), z=values["z"])
    (tmp_path / "text.npz").write_text("no archive")
    for name, message in (
        ("names", "are x, the inputs of"),
        ("types", "x is float64"),
        ("text", "not an .npz"),
        ("none", "not an"),
    ):
        with pytest.raises(UserError, match=message):
            read_inputs(tmp_path / f"{name}.npz", graph)


@pytest.mark.ci
@pytest.mark.gpu
def test_a_selection_that_fp16_orders_otherwise_is_advised_to_be_judged_by_detections(
    driver: Driver, fp16_driver: Driver, tmp_path: Path
) -> None:
    """As in a detector of one graph: right in fp32, and a risk in fp16 that no single value shows."""
    w = ModelWriter()
    scores = w.op("MUL", [w.input("x", (4096,)), w.constant("c", np.full(1, 1.5, np.float32))], {"scores": (4096,)})
    chosen = {"best": (300,), "i": (300,)}
    w.op("TOPK_V2", [scores, w.constant("k", np.array(300, np.int32))], chosen, dtype=("float32", "int32"))
    table = np.random.default_rng(0).normal(size=(4096, 8)).astype(np.float32)
    w.op("GATHER", [w.constant("table", table), "i"], {"y": (300, 8)}, axis=0)
    model = w.write(tmp_path / "m.tflite", ["y"])
    result = check_numbers({"m": model}, gpu=driver, fp16=fp16_driver)
    assert result.verdict is Verdict.PASSED
    (finding,) = result.findings
    assert (finding.rule, finding.severity) == ("numbers-fp16", "risk") and "judge detections" in finding.advice
