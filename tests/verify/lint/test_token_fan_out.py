"""The rule ``token-fan-out``: its findings and its targets. The smallest graphs that trigger it are probes of the suite."""

from __future__ import annotations

from pathlib import Path

import pytest

from detr2litert.convert.targets import TARGETS
from detr2litert.verify.gates import Verdict
from detr2litert.verify.lint.op_lint import check_lint, lint_file
from detr2litert.verify.lint.op_support import load_support
from detr2litert.verify.probe.probe import Behaviour, Probe
from detr2litert.verify.probe.suite import SUITE

_RULE = "token-fan-out"
_PROBES = {probe.name: probe for probe in SUITE}


@pytest.mark.parametrize(
    "probe", [p for p in SUITE if _RULE in (p.triggers, *p.must_not_trigger)], ids=lambda probe: probe.name
)
def test_fires_on_the_graphs_that_were_published_and_on_no_other(probe: Probe, tmp_path: Path) -> None:
    model = probe.write(tmp_path)
    fired = [finding.rule for finding in lint_file(model, add=[_RULE]) if finding.rule == _RULE]
    assert fired == ([_RULE] if probe.triggers == _RULE else [])


def test_the_finding_states_how_the_tensor_is_used(tmp_path: Path) -> None:
    (first,) = lint_file(_PROBES["tokens_read_and_output"].write(tmp_path), add=[_RULE])
    assert first.message == "token tensor [1, 6, 8] is an output and is read by 1 operator" and "(t)" in first.place
    (second,) = lint_file(_PROBES["tokens_two_readers"].write(tmp_path), add=[_RULE])
    assert second.message == "token tensor [1, 6, 8] is read by 2 operators"
    assert "lift_tokens" in second.advice and "litert-samples" in second.advice


def test_fails_the_gate_of_targets_with_the_fault_alone(tmp_path: Path) -> None:
    model = _PROBES["tokens_two_readers"].write(tmp_path)
    for target in TARGETS.values():
        verdict = check_lint({"graph": model}, add=target.lint_rules).verdict
        # A target that checks the rule has a profile that satisfies it.
        assert (verdict is Verdict.FAILED) == (_RULE in target.lint_rules) == target.profile.token_maps
    assert _RULE in TARGETS["pixel"].lint_rules


def test_the_table_distinguishes_published_from_measured_facts() -> None:
    row = next(row for row in load_support().rules if row.rule == _RULE)
    assert row.severity == "wrong" and not row.default and row.fixed_by == "lift_tokens"
    assert "published for Mali" in row.evidence and "Not reproduced on WebGPU" in row.evidence
    assert "published" in row.adapters[0] and row.backend == "opencl"
    assert all(_PROBES[name].does is Behaviour.ACCEPTED for name in row.probes)
