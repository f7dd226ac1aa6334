"""The native and the portable form of a bundle's graphs in the gates."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest

from detr2litert.convert.proof.gates.fp16 import forms, input_scale, joined
from detr2litert.convert.proof.subject import Subject
from detr2litert.host_runtime.manifest import Graphs, GraphSpec, NativeFiles, TensorSpec
from detr2litert.verify.gates import Finding, GateResult, Measurement, Verdict
from detr2litert.verify.parity.numerics import GraphCase
from tests.host_runtime import tiny_bundle

VALUES = {name: np.zeros((1, 2), np.float32) for name in ("image", "memory", "boxes")}


def case(name: str, twin: str = "") -> GraphCase:
    return GraphCase(name, None, Path(f"{name}.tflite"), ({},), ({},), twin=twin)


A, B = case("graph_a"), case("graph_b")
NATIVE_A, NATIVE_B = case("graph_a.native", "graph_a"), case("graph_b.native", "graph_b")


@pytest.mark.parametrize(
    ("cases", "expected"),
    [
        ((A, B), [(A, B)]),
        ((A, B, NATIVE_A, NATIVE_B), [(NATIVE_A, NATIVE_B), (A, B)]),
        ((A, B, NATIVE_B), [(A, NATIVE_B), (A, B)]),
        ((A, B, NATIVE_A), [(NATIVE_A, B), (A, B)]),
    ],
)
def test_each_form_is_both_graphs_the_native_one_first(
    cases: tuple[GraphCase, ...], expected: list[tuple[GraphCase, ...]]
) -> None:
    assert forms(cases) == expected


def result(verdict: Verdict, summary: str, **fields: Any) -> GateResult:
    return GateResult(
        "fp16", verdict, summary, "" if verdict is Verdict.PASSED else f"advice on {summary}", seconds=2.0, **fields
    )


@pytest.mark.parametrize(
    ("native", "portable", "expected"),
    [
        (Verdict.PASSED, Verdict.PASSED, Verdict.PASSED),
        (Verdict.FAILED, Verdict.PASSED, Verdict.FAILED),
        (Verdict.PASSED, Verdict.FAILED, Verdict.FAILED),
        (Verdict.NOT_RUN, Verdict.FAILED, Verdict.FAILED),
        (Verdict.FAILED, Verdict.NOT_RUN, Verdict.FAILED),
        (Verdict.NOT_RUN, Verdict.PASSED, Verdict.NOT_RUN),
        (Verdict.PASSED, Verdict.NOT_RUN, Verdict.NOT_RUN),
    ],
)
def test_the_worse_form_is_the_gates_verdict_and_advice(native: Verdict, portable: Verdict, expected: Verdict) -> None:
    both = {"one": result(native, "one"), "two": result(portable, "two")}
    found = joined(list(both.values()))
    assert found.verdict is expected
    assert found.summary == "native: one; portable: two" and found.seconds == 4.0
    assert found.advice in {both[name].advice for name in both if both[name].verdict is expected}


def test_figures_of_both_forms_are_kept_and_those_of_a_shared_graph_once() -> None:
    shared, own, other = (
        Measurement(name, "correlation", 1.0, limit=0.99) for name in ("graph_a", "graph_b.native", "graph_b")
    )
    finding = Finding("rule", "risk", "graph_a", "message", "advice")
    native = result(Verdict.PASSED, "good", measurements=(shared, own), findings=(finding,), data={"graphs": 1})
    portable = result(Verdict.PASSED, "good", measurements=(shared, other), findings=(finding,), data={"graphs": 2})
    found = joined([native, portable])
    assert found.measurements == (shared, own, other) and found.findings == (finding,)
    assert found.summary == "good" and found.data == {"graphs": 1, "portable": {"graphs": 2}}


@pytest.mark.parametrize(("fit", "expected"), [("stretch", (0.25, 0.5)), ("letterbox", (0.25, 0.25))])
def test_the_scale_of_a_picture_is_its_own_in_the_input_without_what_pads_it(fit: Any, expected: tuple[float, float]) -> None:
    spec = replace(tiny_bundle.manifest().preprocess, width=160, height=160, fit=fit)
    assert input_scale((640, 320), spec) == expected


def test_a_lost_detection_names_the_form_that_lost_it() -> None:
    lost = Finding("detection-missing", "wrong", "demo scene 2", "missing star 0.9", "judge it")
    found = joined([result(Verdict.FAILED, form, findings=(lost,)) for form in ("one", "two")])
    assert [one.place for one in found.findings] == ["demo scene 2, native", "demo scene 2, portable"]


def subject(native: NativeFiles | None) -> Subject:
    """A subject with what ``cases`` reads."""
    spec = {name: (TensorSpec(name, (1, 2)),) for name in VALUES}
    graphs = Graphs(
        GraphSpec("graph_a.tflite", spec["image"], spec["memory"]), GraphSpec("graph_b.tflite", spec["memory"], spec["boxes"])
    )
    manifest = replace(tiny_bundle.manifest(), graphs=graphs, native=native)
    reference = SimpleNamespace(values=VALUES, compiled=SimpleNamespace(graphs={}, parts=SimpleNamespace(b=object())))
    unused = cast(Any, None)
    return Subject(Path("bundle"), manifest, unused, unused, unused, unused, cast(Any, reference))


def test_a_native_graphs_case_names_its_twin_and_has_the_same_values() -> None:
    cases = {item.name: item for item in subject(NativeFiles("graph_a.tflite", "graph_b.native.tflite")).cases()}
    assert {name: (item.twin, item.shipped.name) for name, item in cases.items()} == {
        "graph_a": ("", "graph_a.tflite"),
        "graph_b": ("", "graph_b.tflite"),
        "graph_b.native": ("graph_b", "graph_b.native.tflite"),
    }
    assert cases["graph_b.native"].inputs == cases["graph_b"].inputs
    assert cases["graph_b.native"].expected == cases["graph_b"].expected


def test_a_bundle_without_a_native_form_has_no_twins() -> None:
    assert [(item.name, item.twin) for item in subject(None).cases()] == [("graph_a", ""), ("graph_b", "")]
