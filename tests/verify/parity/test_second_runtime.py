"""The gate "second runtime": with a fake of TensorFlow, and with TensorFlow itself on the tiny bundle."""

from __future__ import annotations

import json
import os
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from detr2litert.convert.proof.gate import always
from detr2litert.convert.proof.registry import GATES
from detr2litert.host_runtime.bundle import load_bundle
from detr2litert.host_runtime.tflite.graph import read_graph
from detr2litert.host_runtime.tflite.writer import ModelWriter
from detr2litert.verify.gates import Finding, GateResult, Verdict
from detr2litert.verify.parity.numerics import GraphCase
from detr2litert.verify.parity.second_runtime import GATE, check_second_runtime
from detr2litert.verify.parity.tensorflow_run import installed
from detr2litert.verify.report.report import judge
from tests.conversions import Made

SHAPE = (1, 4, 4, 8)
X = np.random.default_rng(5).standard_normal(SHAPE).astype(np.float32)

FakeTensorFlow = Callable[[str], str]


@pytest.fixture
def case(tmp_path: Path) -> GraphCase:
    """``doubled = x + x``, and PyTorch's result."""
    writer = ModelWriter()
    writer.op("MUL", [writer.input("x", SHAPE), writer.constant("two", np.array(2.0, np.float32))], {"doubled": SHAPE})
    model = writer.write(tmp_path / "model.tflite", ["doubled"])
    return GraphCase("graph_a", None, model, ({"x": X},), ({"doubled": 2 * X},))


@pytest.fixture
def fake_tensorflow(tmp_path: Path) -> FakeTensorFlow:
    """An executable in place of TensorFlow's Python: it loads, answers every job with a piece of code, and ends.

    The body sees ``given``, the inputs by name, and sets ``outputs`` or ``error``.
    """

    def make(body: str, start: str = "") -> str:
        program = f"""\
            #!{sys.executable}
            import json, os, sys
            from pathlib import Path
            import numpy as np
            work = Path(sys.argv[3])
            {start}
            (work / "started.json").write_text('{{"version": "9.9"}}')
            for i, job in enumerate(json.loads((work / "jobs.json").read_text())):
                error = ""
                for j, path in enumerate(job["inputs"]):
                    with np.load(path) as archive:
                        given = {{n: archive[f"v{{k}}"] for k, n in enumerate(json.loads(str(archive["names"])))}}
                    {body}
                    if not error:
                        members = {{f"v{{k}}": value for k, value in enumerate(outputs.values())}}
                        np.savez(work / f"out_{{i}}_{{j}}.npz", names=np.array(json.dumps(list(outputs))), **members)
                (work / f"result_{{i}}.json").write_text(json.dumps({{"error": error}}))
            """
        path = tmp_path / "python"
        path.write_text(textwrap.dedent(program))
        path.chmod(0o755)
        return str(path)

    return make


def _failure(result: GateResult) -> Finding:
    assert result.verdict is Verdict.FAILED and any(not m.passed for m in result.measurements)
    assert result.findings[0].place in result.summary and result.advice
    return result.findings[0]


def test_agreement_passes(case: GraphCase, fake_tensorflow: FakeTensorFlow) -> None:
    result = check_second_runtime([case], python=fake_tensorflow("outputs = {'doubled': given['x'] * 2}"))
    assert result.verdict is Verdict.PASSED and "TensorFlow 9.9 computes LiteRT's outputs of 1 graphs" in result.summary
    assert result.gate == GATE and result.data["tensorflow"] == "9.9" and all(m.passed for m in result.measurements)
    json.dumps(result.to_json())


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        ("given['x'] * 2.01", "both are close to PyTorch"),
        ("given['x'] * 3", "TensorFlow differs from PyTorch"),
        ("given['x'] * np.nan", "TensorFlow differs from PyTorch"),
        ("given['x'][..., ::-1] * 2", "TensorFlow differs from PyTorch"),
    ],
)
def test_a_disagreement_names_graph_output_and_side(
    answer: str, words: str, case: GraphCase, fake_tensorflow: FakeTensorFlow
) -> None:
    found = _failure(check_second_runtime([case], python=fake_tensorflow(f"outputs = {{'doubled': {answer}}}")))
    assert found.place == "graph_a / doubled" and found.graph == "graph_a" and words in found.advice
    assert "TensorFlow 9.9 and LiteRT compute different values" in found.message


def test_an_error_of_litert_alone_is_reported(case: GraphCase, fake_tensorflow: FakeTensorFlow) -> None:
    wrong = GraphCase(case.name, None, case.shipped, case.inputs, ({"doubled": 3 * X},))
    found = _failure(check_second_runtime([wrong], python=fake_tensorflow("outputs = {'doubled': given['x'] * 3}")))
    assert "LiteRT differs from PyTorch" in found.advice
    found = _failure(check_second_runtime([wrong], python=fake_tensorflow("outputs = {'doubled': given['x'] * 2}")))
    assert "both runtimes agree, and differ from PyTorch" in found.message and "numerics gate" in found.advice


def test_outputs_of_another_shape_or_name(case: GraphCase, fake_tensorflow: FakeTensorFlow) -> None:
    found = _failure(check_second_runtime([case], python=fake_tensorflow("outputs = {'doubled': given['x'][0] * 2}")))
    assert "[4, 4, 8] on TensorFlow, [1, 4, 4, 8] on LiteRT" in found.message
    result = check_second_runtime([case], python=fake_tensorflow("outputs = {'other': given['x']}"))
    _failure(result)
    assert {f.place for f in result.findings} == {"graph_a / doubled", "graph_a / other"}


def test_a_graph_that_tensorflow_does_not_run(case: GraphCase, fake_tensorflow: FakeTensorFlow) -> None:
    found = _failure(check_second_runtime([case], python=fake_tensorflow("error = 'tensor 3 has no buffer'")))
    assert found.place == "graph_a" and "TensorFlow: tensor 3 has no buffer" in found.message
    found = _failure(check_second_runtime([case], python=fake_tensorflow("os.abort()")))
    assert "ended before this graph was done" in found.message


def test_an_operator_that_tensorflow_lacks_is_not_run(case: GraphCase, fake_tensorflow: FakeTensorFlow) -> None:
    for error in ("Encountered unresolved custom op: Resampler.", "Didn't find op for builtin opcode 'SUB' version '9'."):
        result = check_second_runtime([case], python=fake_tensorflow(f"error = {error!r}"))
        assert result.verdict is Verdict.NOT_RUN and error in result.summary and not result.findings
    result = check_second_runtime([case], python=fake_tensorflow("import time; time.sleep(60)"), timeout=3)
    assert result.verdict is Verdict.NOT_RUN and "not done after 3 s" in result.summary


def test_without_tensorflow_it_is_not_run_and_gives_advice(case: GraphCase, fake_tensorflow: FakeTensorFlow) -> None:
    for python in (fake_tensorflow("", "sys.exit('ModuleNotFoundError: No module named tensorflow')"), "/nonexistent/python"):
        result = check_second_runtime([case], python=python)
        assert result.verdict is Verdict.NOT_RUN and "does not load" in result.summary and "[second-runtime]" in result.advice


def test_the_gate_is_optional_but_counts_if_it_ran() -> None:
    names = [gate.id for gate in GATES if gate.applies is always]
    others = [GateResult(name, Verdict.PASSED, "") for name in names]
    assert GATE not in names and judge(others, names) is Verdict.PASSED
    for verdict in Verdict:
        assert judge([*others, GateResult(GATE, verdict, "")], names) is verdict


@pytest.fixture
def tensorflow() -> str:
    """Python with TensorFlow. Continuous integration has it, and fails without."""
    if not installed():
        message = "TensorFlow is not installed: make second-runtime"
        pytest.fail(message) if os.environ.get("CI") else pytest.skip(message)
    return sys.executable


def _cases(bundle: Path) -> list[GraphCase]:
    with load_bundle(bundle) as made:
        golden, graphs = made.golden_tensors(), made.manifest.graphs
        return [
            GraphCase(
                name,
                None,
                made.path(graph.file),
                ({t.name: np.asarray(golden[t.name]) for t in graph.inputs},),
                ({t.name: np.asarray(golden[t.name]) for t in graph.outputs},),
            )
            for name, graph in (("graph_a", graphs.a), ("graph_b", graphs.b))
        ]


@pytest.mark.slow  # each conversion's gate does it
def test_tensorflow_runs_the_demo_bundle(tensorflow: str, tiny: Made, dfine_tiny: Made) -> None:
    for made in (tiny, dfine_tiny):
        result = check_second_runtime(_cases(made.bundle), python=tensorflow)
        assert result.verdict is Verdict.PASSED, result.summary
        assert {m.subject.partition(" /")[0] for m in result.measurements} == {"graph_a", "graph_b"}


def test_a_different_file_for_tensorflow_is_found(tensorflow: str, tiny: Made, tmp_path: Path) -> None:
    """Planted: TensorFlow gets graph B with one weight matrix reversed."""
    cases = _cases(tiny.bundle)
    doctored = tmp_path / "doctored.tflite"
    _turn_over_largest_constant(cases[1].shipped, doctored)
    python = tmp_path / "python"
    python.write_text(
        f'#!/bin/sh\nsed -i \'s|{cases[1].shipped.resolve()}|{doctored}|\' "$3/jobs.json"\nexec {tensorflow} "$@"\n'
    )
    python.chmod(0o755)
    result = check_second_runtime(cases, python=str(python))
    found = _failure(result)
    assert {f.graph for f in result.findings} == {"graph_b"}
    assert found.place.startswith("graph_b / ") and "compute different values" in found.message


def _turn_over_largest_constant(source: Path, target: Path) -> None:
    raw = bytearray(source.read_bytes())
    held = [(tensor.dtype, tensor.data.tobytes()) for tensor in read_graph(source).tensors if tensor.data is not None]
    dtype, data = max(held, key=lambda item: len(item[1]))
    place = bytes(raw).index(data)
    turned = np.frombuffer(data, dtype)[::-1].tobytes()
    raw[place : place + len(data)] = turned
    target.write_bytes(bytes(raw))
