"""Every lint rule against a model that breaks it and one that does not, on paper and on the real delegate."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from host_runtime.errors import UserError
from tests.verify.lint.lint_cases import CASES, DIES, GOOD, REFUSED, UNTESTED, WRONG, Case
from verify.delegate.adapters import Driver
from verify.delegate.run import DelegateRun, Job, Outcome, run_models
from verify.gates import Verdict
from verify.lint.op_lint import FAIL_ON, check_lint, lint_file, short_name
from verify.lint.op_rules import GRAPH_CHECKS, OP_CHECKS
from verify.lint.op_support import load_support
from verify.tflite.graph import read_graph
from verify.tflite.writer import ModelWriter


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("models")
    return {case.name: case.write(folder) for case in CASES}


@pytest.fixture(scope="module")
def ran(models: dict[str, Path], driver: Driver) -> dict[str, tuple[DelegateRun, DelegateRun | None]]:
    """Every case on the GPU and, if it computes at all, on the CPU."""
    jobs = [Job(models[case.name], (_inputs(models[case.name]),)) for case in CASES]
    on_gpu = run_models(jobs, driver=driver, timeout=120)
    computing = [index for index, case in enumerate(CASES) if case.does in (WRONG, GOOD)]
    on_cpu = dict(zip(computing, run_models([jobs[i] for i in computing], accelerator="cpu"), strict=True))
    return {case.name: (on_gpu[i], on_cpu.get(i)) for i, case in enumerate(CASES)}


def _inputs(path: Path) -> dict[str, np.ndarray]:
    graph, rng = read_graph(path), np.random.default_rng(7)
    return {name: rng.standard_normal(graph.tensors[t].shape).astype(np.float32) for name, t in graph.signature_inputs.items()}


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_rule_fires_exactly_where_it_should(case: Case, models: dict[str, Path]) -> None:
    fired = {finding.rule for finding in lint_file(models[case.name]) if finding.severity in FAIL_ON}
    if case.rule:
        assert case.rule in fired
    else:
        assert not fired


@pytest.mark.gpu
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_the_delegate_does_what_the_rule_says(case: Case, ran: dict[str, tuple[DelegateRun, DelegateRun | None]]) -> None:
    gpu, cpu = ran[case.name]
    if case.does == REFUSED:
        assert gpu.outcome is Outcome.REFUSED and gpu.refused
    elif case.does == DIES:
        assert gpu.outcome is Outcome.DIED and "the process" in gpu.error
    elif case.does in (WRONG, GOOD):
        assert gpu.ok, gpu.error
        assert cpu is not None and cpu.ok
        close = all(np.allclose(gpu.outputs[0][k], v, rtol=1e-3, atol=1e-3) for k, v in cpu.outputs[0].items())
        assert close == (case.does == GOOD)
    else:
        assert case.does == UNTESTED


def test_every_failing_rule_but_those_noted_has_a_case() -> None:
    # What the writer cannot make (composites), or no small model shows (shapes computed at run time, int8 weights).
    unshown = {"composite", "reshape-runtime-shape", "dequantize-int8", "select-branch"}
    rules = {row.rule for row in load_support().rules if row.severity in FAIL_ON and row.default}
    assert rules - {case.rule for case in CASES} == unshown


def test_table_is_well_formed() -> None:
    table = load_support()
    names = [row.rule for row in table.rules]
    assert len(names) == len(set(names))
    for row in table.rules:
        assert row.check in OP_CHECKS or row.check in GRAPH_CHECKS
        assert row.severity in ("refused", "wrong", "risk")
        assert row.condition and row.advice and row.evidence and row.date
    assert load_support("2.9.0").runtime == load_support("2.0.0").runtime == "2.3.0"
    with pytest.raises(UserError, match="opencl"):
        load_support(backend="opencl")


def test_select_branch_that_is_broadcast(tmp_path: Path) -> None:
    w = ModelWriter()
    condition, x = w.input("c", (1, 6, 8), "bool"), w.input("x", (1, 6, 8))
    w.op("SELECT_V2", [condition, x, w.constant("e", np.zeros((1, 1, 8), np.float32))], {"y": (1, 6, 8)})
    assert [f.rule for f in lint_file(w.write(tmp_path / "m.tflite", ["y"]))] == ["select-branch"]


def test_finding_names_graph_operator_tensors_and_advice(models: dict[str, Path]) -> None:
    (finding,) = check_lint({"graph_a": models["const_lifted"]}).findings
    assert finding.place == "graph_a op 0 ADD (x0, c1)"
    assert "[6, 8]" in finding.message and "[1, 6, 8]" in finding.message
    assert finding.severity == "wrong" and finding.advice


def test_gate_passes_fails_and_reports(models: dict[str, Path]) -> None:
    good = check_lint({"a": models["relu6"], "b": models["add_sum"]})
    assert good.verdict is Verdict.PASSED and not good.findings
    bad = check_lint({"a": models["relu6"], "b": models["gather_nd"]})
    assert bad.verdict is Verdict.FAILED and "gather" in bad.advice
    assert [m.passed for m in bad.measurements if m.metric == "findings"] == [True, False]
    assert bad.data["op_counts"]["b"] == {"GATHER_ND": 1}
    json.dumps(bad.to_json())


def test_target_adds_and_ignores_rules(models: dict[str, Path], tmp_path: Path) -> None:
    w = ModelWriter()
    tokens = w.op("MUL", [w.input("x", (1, 6, 8)), w.input("z", (1, 6, 8))], {"t": (1, 6, 8)})
    model = w.write(tmp_path / "m.tflite", [w.op("SIN", [tokens], {"y": (1, 6, 8)}), tokens])
    assert not lint_file(model)
    assert [f.rule for f in lint_file(model, add=["token-fan-out"])] == ["token-fan-out"]
    assert check_lint({"m": model}, add=["token-fan-out"]).verdict is Verdict.FAILED
    assert check_lint({"m": model}, add=["token-fan-out"], fail_on=["refused"]).verdict is Verdict.PASSED
    assert not lint_file(models["gather_nd"], ignore=["gather-nd"])
    with pytest.raises(UserError, match="token-fanout"):
        lint_file(model, add=["token-fanout"])


def test_unmeasured_operator_is_a_risk(tmp_path: Path) -> None:
    w = ModelWriter()
    w.op("CUSTOM:Mystery", [w.input("x", (1, 4))], {"y": (1, 4)})
    (finding,) = lint_file(w.write(tmp_path / "m.tflite", ["y"]))
    assert finding.rule == "unmeasured-op" and finding.severity == "risk" and "CUSTOM:Mystery" in finding.message


def test_long_tensor_names_are_cut_to_their_modules() -> None:
    assert short_name("pkg.Model_m/pkg.Head_head/torch.nn.modules.linear.Linear_1;2") == "Head_head/Linear_1"
    assert short_name("x0") == "x0" and short_name("serving_default_image:0") == "serving_default_image:0"
