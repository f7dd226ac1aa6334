"""One fault at a time on the host side of a bundle: the gate "host" must fail and name the stage."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from detr2litert.convert.compiler import compile_detector
from detr2litert.convert.models.reference import Reference, load_reference
from detr2litert.convert.models.variants import VARIANTS
from detr2litert.convert.proof.host import GATE, check_host
from detr2litert.convert.proof.reference_path import ReferencePath
from detr2litert.convert.targets import TARGETS
from detr2litert.graphs.host_step import HostPart
from detr2litert.graphs.partition import Layout
from detr2litert.host_runtime.bundle import Bundle, load_bundle
from detr2litert.rewrites.profile import Profile
from detr2litert.verify.gates import GateResult, Verdict
from tests.convert.planted.fault import BOTH, cases
from tests.convert.planted.host_faults import HOST_FAULTS, TAIL, HostFault

# Both forms have the same host step.
PORTABLE = replace(TARGETS["pixel"].profile, native_form=False)


@dataclass(frozen=True)
class Case:
    """A detector, its host program, its bundle, and graph A's outputs for the golden picture."""

    reference: Reference
    program: HostPart
    bundle: Bundle
    values: dict[str, NDArray[Any]]

    def judge(self, bundle: Bundle, classes: tuple[str | None, ...]) -> GateResult:
        return check_host(bundle, ReferencePath(self.reference, classes), self.program, self.values)


def made(detector: str, folder: Path, profile: Profile = PORTABLE) -> Case:
    reference = load_reference(VARIANTS[detector], None, None)[0]
    bundle = load_bundle(folder)
    values = {name: np.asarray(value) for name, value in bundle.golden_tensors().items()}
    return Case(reference, compile_detector(reference, profile).parts.host, bundle, values)


@pytest.fixture(scope="module")
def detectors(tiny: Any, dfine_tiny: Any, tiny_tail: Any) -> dict[str, Case]:
    tail = made("tiny", tiny_tail.bundle, replace(PORTABLE, layout=Layout.TAIL))
    return {"tiny": made("tiny", tiny.bundle), "dfine-tiny": made("dfine-tiny", dfine_tiny.bundle), TAIL: tail}


@pytest.mark.parametrize("detector", [*BOTH, TAIL])
def test_without_a_fault_the_gate_passes(detectors: dict[str, Case], detector: str) -> None:
    case = detectors[detector]
    result = case.judge(case.bundle, case.bundle.manifest.classes)
    assert (result.gate, result.verdict, result.findings) == (GATE, Verdict.PASSED, ())
    assert "equal scores included" in result.summary


@pytest.mark.parametrize("detector", BOTH)
def test_an_unnamed_class_is_not_a_fault(detectors: dict[str, Case], detector: str) -> None:
    case = detectors[detector]
    manifest, last = case.bundle.manifest, len(case.bundle.manifest.classes) - 1
    post = replace(manifest.postprocess, ignored_classes=(last,))
    bundle = Bundle(case.bundle.root, replace(manifest, classes=(*manifest.classes[:-1], None), postprocess=post))
    assert case.judge(bundle, bundle.manifest.classes).verdict is Verdict.PASSED


@pytest.mark.plants
@pytest.mark.parametrize(("detector", "fault"), cases(HOST_FAULTS))
def test_the_gate_names_the_stage(
    monkeypatch: pytest.MonkeyPatch, detectors: dict[str, Case], detector: str, fault: HostFault
) -> None:
    case = detectors[detector]
    classes = case.bundle.manifest.classes
    truth = (*classes[:-1], None) if fault.name == "background class kept" else classes
    result = case.judge(fault.change(monkeypatch, case.bundle), truth)
    assert result.verdict is Verdict.FAILED
    assert re.search(fault.place, result.findings[0].place), result.findings
    assert result.findings[0].place in result.summary and result.advice
