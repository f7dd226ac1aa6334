"""One fault at a time in the compiler: the gate "rewrites" must fail and name the step."""

from __future__ import annotations

import re
from dataclasses import replace
from functools import cache
from unittest.mock import patch

import pytest
from torch.export import ExportedProgram

from detr2litert.convert.compiler import compile_detector
from detr2litert.convert.models.reference import Reference, load_reference
from detr2litert.convert.models.variants import VARIANTS
from detr2litert.convert.proof.equivalence import GATE, check_rewrites
from detr2litert.convert.proof.reference_path import ReferencePath
from detr2litert.convert.proof.scenes import pictures
from detr2litert.convert.targets import TARGETS
from detr2litert.graphs.partition import Layout
from detr2litert.rewrites import program
from detr2litert.rewrites.trace import trace
from detr2litert.verify.gates import GateResult, Verdict
from tests.convert.planted.compiler_faults import COMPILER_FAULTS
from tests.convert.planted.fault import BOTH, Fault, cases


@cache
def reference(detector: str) -> Reference:
    return load_reference(VARIANTS[detector], None, None)[0]


@cache
def traced(detector: str) -> ExportedProgram:
    """No fault is in PyTorch's own trace, which takes half of a compilation."""
    return trace(reference(detector).exported, (reference(detector).example_input(),))


def judged(detector: str, layout: Layout | None = None, *, native: bool = True) -> GateResult:
    original, target = reference(detector), TARGETS["pixel"].profile
    profile = replace(target, layout=layout or target.layout, native_form=native)
    image = ReferencePath(original, [""] * original.logit_columns).tensor(pictures(())[0].image)
    with patch.object(program, "trace", lambda *_: traced(detector)):
        compiled = compile_detector(original, profile, [image])
    return check_rewrites(original, compiled, compiled.evaluate(image))


@pytest.mark.parametrize("detector", BOTH)
@pytest.mark.parametrize("layout", [None, Layout.TAIL, Layout.SINGLE])
def test_without_a_fault_the_gate_passes(detector: str, layout: Layout | None) -> None:
    result = judged(detector, layout)
    assert (result.gate, result.verdict, result.findings) == (GATE, Verdict.PASSED, ())


@pytest.mark.plants
@pytest.mark.parametrize(("detector", "fault"), cases(COMPILER_FAULTS))
def test_the_gate_names_the_step(monkeypatch: pytest.MonkeyPatch, detector: str, fault: Fault) -> None:
    fault.plant(monkeypatch)
    result = judged(detector, fault.layout, native=fault.native)
    assert result.verdict is Verdict.FAILED
    (finding,) = result.findings
    assert re.search(fault.place, finding.place), finding
    assert finding.place in result.summary and finding.advice
