"""One fault at a time in graph B before it is converted: the lint must fail and name rule, operator and tensor."""

from __future__ import annotations

import copy
from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest

from detr2litert.convert.compiler import CompiledDetector, compile_detector
from detr2litert.convert.lowering.lower import lower
from detr2litert.convert.models.reference import load_reference
from detr2litert.convert.models.variants import VARIANTS
from detr2litert.convert.targets import TARGETS
from detr2litert.graphs.partition import Part
from detr2litert.verify.gates import Verdict
from detr2litert.verify.lint.op_lint import check_lint
from tests.convert.planted.fault import cases
from tests.convert.planted.graph_faults import GRAPH_FAULTS, GraphFault

PIXEL = TARGETS["pixel"]


@cache
def compiled(detector: str) -> CompiledDetector:
    return compile_detector(load_reference(VARIANTS[detector], None, None)[0], replace(PIXEL.profile, native_form=False))


def converted(part: Part, path: Path) -> Path:
    lower(part, path)
    return path


@pytest.mark.plants
@pytest.mark.parametrize(("detector", "fault"), cases(GRAPH_FAULTS))
def test_the_lint_names_rule_and_operator(tmp_path: Path, detector: str, fault: GraphFault) -> None:
    part = copy.deepcopy(compiled(detector).parts.b)
    path = converted(fault.change(part), tmp_path / "graph_b.tflite")
    result = check_lint({"graph_b": path}, add=PIXEL.lint_rules)
    assert result.verdict is Verdict.FAILED
    found = [finding for finding in result.findings if finding.rule == fault.rule]
    assert found, result.findings
    assert "graph_b" in found[0].place and fault.op in found[0].place
