"""Every lint rule on the probes that trigger it and those that must not; ``tests/verify/probe`` runs them on the delegate."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from detr2litert.host_runtime.errors import UserError
from detr2litert.host_runtime.tflite.writer import ModelWriter
from detr2litert.rewrites import pipeline
from detr2litert.rewrites.flatbuffer.pipeline import FIX_UPS, fix_up
from detr2litert.verify.gates import Verdict
from detr2litert.verify.lint.op_lint import FAIL_ON, check_lint, lint_file, short_name
from detr2litert.verify.lint.op_rules import GRAPH_CHECKS, OP_CHECKS
from detr2litert.verify.lint.op_support import SEVERITIES, load_support
from detr2litert.verify.probe.probe import Probe
from detr2litert.verify.probe.suite import SUITE

_RULES = {row.rule: row for row in load_support().rules}


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("models")
    return {probe.name: probe.write(folder) for probe in SUITE}


@pytest.mark.parametrize("probe", SUITE, ids=lambda probe: probe.name)
def test_rule_fires_exactly_where_it_should(probe: Probe, models: dict[str, Path]) -> None:
    fired = {finding.rule for finding in lint_file(models[probe.name], add=[probe.triggers] if probe.triggers else [])}
    if probe.triggers:
        assert probe.triggers in fired
    else:
        assert not fired
    not_triggered = {finding.rule for finding in lint_file(models[probe.name], add=probe.must_not_trigger)}
    assert not not_triggered & set(probe.must_not_trigger)


def test_every_rule_has_a_probe_that_triggers_it_and_one_that_must_not() -> None:
    failing = {name for name, row in _RULES.items() if row.severity in FAIL_ON}
    assert failing <= {probe.triggers for probe in SUITE}
    assert failing <= {rule for probe in SUITE for rule in probe.must_not_trigger}
    assert {rule for probe in SUITE for rule in (probe.triggers, *probe.must_not_trigger) if rule} <= set(_RULES)


def test_every_rule_names_the_probes_that_trigger_it() -> None:
    for name, row in _RULES.items():
        assert row.probes == tuple(probe.name for probe in SUITE if probe.triggers == name), name


def test_fixed_by_names_a_rewrite() -> None:
    known = {step.name for step in (*pipeline.NORMALISE, *pipeline.IN_EACH_GRAPH, *FIX_UPS)}
    fixed = {row.rule: row.fixed_by for row in _RULES.values() if row.fixed_by}
    assert set(fixed.values()) <= known
    assert fixed["constant-low-rank"] == "restore_rank" and fixed["relu-0-to-1"] == "split_clamp"


@pytest.mark.parametrize("name", ["linear_dropped_dims", "add_sum_output", "add_conv_output"])
def test_a_fix_up_fixes_the_rules_that_name_it(name: str, models: dict[str, Path], tmp_path: Path) -> None:
    (before,) = {finding.rule for finding in lint_file(models[name])}
    assert _RULES[before].fixed_by in {step.name for step in FIX_UPS}
    fix_up(models[name], tmp_path / "fixed.tflite")
    assert not lint_file(tmp_path / "fixed.tflite")


def test_table_is_well_formed() -> None:
    table = load_support()
    names = [row.rule for row in table.rules]
    assert len(names) == len(set(names))
    for row in table.rules:
        assert row.check in OP_CHECKS or row.check in GRAPH_CHECKS
        assert row.severity in SEVERITIES
        assert row.condition and row.advice and row.evidence and row.date and row.runtime and row.backend
    assert load_support("2.9.0").runtime == load_support("2.0.0").runtime == "2.3.0"
    with pytest.raises(UserError, match="opencl"):
        load_support(backend="opencl")


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


def test_target_adds_rules(models: dict[str, Path]) -> None:
    model = models["tokens_read_and_output"]
    assert not lint_file(model)
    assert [f.rule for f in lint_file(model, add=["token-fan-out"])] == ["token-fan-out"]
    assert check_lint({"m": model}, add=["token-fan-out"]).verdict is Verdict.FAILED
    assert check_lint({"m": model}, add=["token-fan-out"], fail_on=["refused"]).verdict is Verdict.PASSED
    with pytest.raises(UserError, match="token-fanout"):
        lint_file(model, add=["token-fanout"])


def test_a_rule_of_another_backend_is_a_note(models: dict[str, Path]) -> None:
    assert load_support().elsewhere() == ("gather-constant", "norm-without-scale", "token-fan-out")
    model = models["tokens_read_and_output"]
    result = check_lint({"m": model}, note=load_support().elsewhere())
    (finding,) = result.findings
    assert result.verdict is Verdict.PASSED and (finding.rule, finding.severity) == ("token-fan-out", "risk")
    assert "opencl" in finding.why and "Mali" in finding.why
    (finding,) = check_lint({"m": model}, add=["token-fan-out"], note=["token-fan-out"]).findings
    assert finding.severity == "wrong"


def test_unmeasured_operator_is_a_risk(tmp_path: Path) -> None:
    w = ModelWriter()
    w.op("CUSTOM:moe", [w.input("x", (1, 4))], {"y": (1, 4)})
    (finding,) = lint_file(w.write(tmp_path / "m.tflite", ["y"]))
    assert finding.rule == "unmeasured-op" and finding.severity == "risk" and "CUSTOM:moe" in finding.message


def test_long_tensor_names_are_shortened_to_their_modules() -> None:
    assert short_name("pkg.Model_m/pkg.Head_head/torch.nn.modules.linear.Linear_1;2") == "Head_head/Linear_1"
    assert short_name("x0") == "x0" and short_name("serving_default_image:0") == "serving_default_image:0"
