"""Random graphs: the same from the same seed, judged, minimised, and written as candidates."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from detr2litert.host_runtime.tflite.graph import read_graph
from detr2litert.host_runtime.tflite.writer import ModelWriter
from detr2litert.verify.delegate.adapters import Driver
from detr2litert.verify.delegate.run import Job, run_models
from detr2litert.verify.fuzz import campaign as campaigns
from detr2litert.verify.fuzz.build import source, values_of, write
from detr2litert.verify.fuzz.campaign import run, write_candidates
from detr2litert.verify.fuzz.generate import generate
from detr2litert.verify.fuzz.judge import Judged, Verdict, judge
from detr2litert.verify.fuzz.minimise import minimise
from detr2litert.verify.fuzz.operators import OPERATORS
from detr2litert.verify.fuzz.report import lines
from detr2litert.verify.fuzz.spec import Constant, IllFormedError, Node, Spec
from detr2litert.verify.lint.op_support import load_support

_STEEP = Node("LEAKY_RELU", ("a",), "t", {"alpha": 2.0})
_CHAIN = Spec(
    {"x": (1, 6, 8), "z": (1, 6, 8)},
    (Node("TANH", ("x",), "b"), Node("ADD", ("b", "z"), "a"), _STEEP, Node("ABS", ("t",), "y"), Node("NEG", ("z",), "n")),
    ("y", "n"),
)


def test_the_same_seed_gives_the_same_graphs(tmp_path: Path) -> None:
    assert [generate(5, number) for number in range(30)] == [generate(5, number) for number in range(30)]
    assert generate(5, 0) != generate(6, 0)
    first, second = write(generate(5, 3), tmp_path / "a.tflite"), write(generate(5, 3), tmp_path / "b.tflite")
    assert first.read_bytes() == second.read_bytes()


def test_graphs_have_the_variety_that_was_asked_for(tmp_path: Path) -> None:
    specs = [generate(1, number) for number in range(400)]
    assert {kind for spec in specs for kind in spec.kinds} == set(OPERATORS) <= load_support().accepted_ops | {"PAD"}
    ranks = {len(shape) for spec in specs for shape in spec.inputs.values()}
    constants = [o for spec in specs for node in spec.nodes for o in node.operands if isinstance(o, Constant)]
    assert ranks == {1, 2, 3, 4} and {c.style for c in constants} == {"float", "half", "int8"}
    assert any(d % 4 for spec in specs for shape in spec.inputs.values() for d in shape)
    read = [(name, spec) for spec in specs for name in spec.outputs if any(name in node.operands for node in spec.nodes)]
    assert read, "no output is read as well"


def test_the_cpu_runs_nearly_all_of_them(tmp_path: Path) -> None:
    jobs = []
    for number in range(60):
        path = write(generate(2, number), tmp_path / f"{number}.tflite")
        names = read_graph(path).signature_inputs
        shapes = {name: read_graph(path).tensors[index].shape for name, index in names.items()}
        jobs.append(Job(path, ({name: np.ones(shape, np.float32) for name, shape in shapes.items()},)))
    runs = run_models(jobs, accelerator="cpu")
    assert sum(run.ok for run in runs) >= 54, [run.error for run in runs if not run.ok]


def test_operands_that_do_not_fit_are_ill_formed() -> None:
    with pytest.raises(IllFormedError):
        values_of(Spec({"x": (2, 3)}, (Node("ADD", ("x", Constant((4,), 0)), "t"),), ("t",)))
    with pytest.raises(IllFormedError):
        values_of(
            Spec({"x": (2, 3)}, (Node("CUMSUM", ("x",), "t", {"axis": 2, "exclusive": False, "reverse": False}),), ("t",))
        )


def _fails_if_steep(specs: Sequence[Spec]) -> list[Judged]:
    return [
        Judged(Verdict.WRONG, error=1.0) if any(node.kind == "LEAKY_RELU" for node in spec.nodes) else Judged(Verdict.RIGHT)
        for spec in specs
    ]


def test_the_minimiser_leaves_what_is_needed() -> None:
    small, judged = minimise(_CHAIN, Judged(Verdict.WRONG, error=1.0), _fails_if_steep, time.monotonic() + 60)
    assert small.kinds == ("LEAKY_RELU",) and judged.verdict is Verdict.WRONG
    assert [np.prod(shape) for shape in small.inputs.values()] == [1] and len(small.outputs) == 1


def test_a_candidate_builds_the_same_model(tmp_path: Path) -> None:
    spec = generate(3, 7)
    text = source(spec, "fuzz_3_7", "a kind", "WRONG")
    space: dict[str, object] = {"np": np, "Constant": Constant, "ModelWriter": ModelWriter, "Sequence": Sequence}
    exec(text.partition("\n\n\nProbe(")[0].replace(": ModelWriter", "").replace(" -> Sequence[str]", ""), space)
    writer = ModelWriter()
    built = writer.write(tmp_path / "a.tflite", space["_fuzz_3_7"](writer))  # type: ignore[operator]
    assert built.read_bytes() == write(spec, tmp_path / "b.tflite").read_bytes()
    assert 'Probe("fuzz_3_7"' in text


@pytest.mark.gpu
def test_known_faults_are_known_and_right_graphs_right(driver: Driver) -> None:
    right = Spec({"x": (1, 6, 8)}, (Node("TANH", ("x",), "t"),), ("t",))
    deadly = Spec({"x": (2, 3)}, (Node("TOPK_V2", ("x",), "t", {"k": 1}),), ("t",))
    ill_formed = Spec({"x": (2, 3)}, (Node("ADD", ("x", Constant((4,), 0)), "t"),), ("t",))
    steep, fine, died, invalid = judge([_CHAIN, right, deadly, ill_formed], driver)
    assert (steep.verdict, steep.rules, steep.unknown) == (Verdict.WRONG, ("leaky-relu-slope",), False) and steep.error > 0.5
    assert (fine.verdict, fine.rules) == (Verdict.RIGHT, ())
    assert (died.verdict, died.rules) == (Verdict.DIED, ("last-axis-padding",))
    assert invalid.verdict is Verdict.INVALID


def test_an_unknown_fault_is_reported_and_written(driver: Driver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(campaigns, "generate", lambda seed, number: _CHAIN)
    monkeypatch.setattr(campaigns, "judge", lambda specs, driver: _fails_if_steep(specs))
    found = run(9, 60, driver, limit=2)
    (faults,) = found.faults.values()
    assert [fault.number for fault in faults] == [0, 1] and faults[0].kind == "wrong: LEAKY_RELU"
    assert "2 x wrong: LEAKY_RELU" in "\n".join(lines(found))
    model, text = write_candidates(found, tmp_path / "made")
    assert [op.name for op in read_graph(model).ops] == ["LEAKY_RELU"] and "WRONG" in text.read_text()
    assert found.to_json()["unknown"][0]["count"] == 2


@pytest.mark.slow
@pytest.mark.gpu
def test_ten_seeded_minutes_find_nothing_that_no_rule_knows(driver: Driver) -> None:
    found = run(20261127, 600, driver)
    assert found.graphs > 200
    assert not found.faults, "\n".join(lines(found))
