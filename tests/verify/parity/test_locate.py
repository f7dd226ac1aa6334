"""Bisection over a graph that branches, and comparison with a trace, without a delegate."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from detr2litert.host_runtime.tflite.graph import Graph, read_graph
from detr2litert.host_runtime.tflite.writer import ModelWriter
from detr2litert.verify.parity.locate import bisect_divergent, compare_trace, first_divergent
from detr2litert.verify.parity.metrics import Difference
from detr2litert.verify.parity.taps import runtime_ancestors

RIGHT, OFF = Difference(1.0, 0.0, 0.0, 1.0), Difference(0.5, 1.0, 1.0, 1.0)
SHAPE = (2, 3)


def write(path: Path, ops: dict[str, tuple[str, ...]], outputs: list[str]) -> Graph:
    """A graph of NEG and ADD operators: name to inputs; "x" is the graph's input."""
    w = ModelWriter()
    w.input("x", SHAPE)
    for name, inputs in ops.items():
        w.op("NEG" if len(inputs) == 1 else "ADD", list(inputs), {name: SHAPE})
    return read_graph(w.write(path, outputs))


def index(graph: Graph, name: str) -> int:
    return next(t.index for t in graph.tensors if t.name == name)


class Fault:
    """Measures a graph in which one tensor and its descendants are wrong; ``blind`` ones cannot be measured."""

    def __init__(self, graph: Graph, name: str, blind: tuple[str, ...] = (), healed: tuple[str, ...] = ()) -> None:
        self.graph, self.fault = graph, index(graph, name)
        self.blind, self.healed = blind, healed
        self.asked: list[str] = []

    def __call__(self, tensor: int) -> Difference | None:
        name = self.graph.tensors[tensor].name
        self.asked.append(name)
        if name in self.blind:
            return None
        made_from = runtime_ancestors(self.graph, tensor) | {tensor}
        return OFF if self.fault in made_from and name not in self.healed else RIGHT


@pytest.fixture
def ladder(tmp_path: Path) -> Graph:
    """Two branches of 30 operators that join, and a tail of 30."""
    ops: dict[str, tuple[str, ...]] = {}
    for branch in "ab":
        for step in range(30):
            ops[f"{branch}{step}"] = (f"{branch}{step - 1}" if step else "x",)
    ops["join"] = ("a29", "b29")
    for step in range(30):
        ops[f"c{step}"] = (f"c{step - 1}" if step else "join",)
    return write(tmp_path / "m.tflite", ops, ["c29"])


@pytest.mark.parametrize("name", ["a0", "a17", "b0", "b29", "join", "c0", "c14", "c28", "c29"])
def test_bisection_finds_the_first_in_few_steps(ladder: Graph, name: str) -> None:
    measure = Fault(ladder, name)
    found = bisect_divergent(ladder, index(ladder, "c29"), measure, 0.99999)
    assert found.name == name and found.taps == len(measure.asked) <= 10
    assert len(set(measure.asked)) == len(measure.asked)
    assert found.op == ("ADD" if name == "join" else "NEG")


def test_bisection_skips_what_cannot_be_measured(ladder: Graph) -> None:
    found = bisect_divergent(ladder, index(ladder, "c29"), Fault(ladder, "c5", blind=("c4", "c5", "c6")), 0.99999)
    assert found.name == "c7"  # the first that is measurably wrong
    assert [ladder.ops[int(s.split()[0])].index for s in found.since] == [
        index(ladder, n) - 1 for n in ("c4", "c5", "c6", "c7")
    ]


def test_bisection_handles_an_error_that_is_cancelled_on_one_branch(tmp_path: Path) -> None:
    # "b" hides the fault of "a", which reaches the output by "c" alone.
    graph = write(tmp_path / "m.tflite", {"a": ("x",), "b": ("a",), "c": ("a",), "d": ("b", "c")}, ["d"])
    found = bisect_divergent(graph, index(graph, "d"), Fault(graph, "a", healed=("b",)), 0.99999)
    assert found.name == "a"


def test_bisection_stops_at_its_budget(ladder: Graph) -> None:
    found = bisect_divergent(ladder, index(ladder, "c29"), Fault(ladder, "a3"), 0.99999, max_taps=2)
    assert found.taps == 2 and "stopped after 2" in found.note


class Fp16(Fault):
    """A fault, and tensors whose own error does not propagate, like an underflow in fp16."""

    def __init__(self, graph: Graph, name: str, local: dict[str, Difference]) -> None:
        super().__init__(graph, name)
        self.local = local

    def __call__(self, tensor: int) -> Difference | None:
        found = super().__call__(tensor)
        return self.local.get(self.graph.tensors[tensor].name, found)


def test_confirmed_bisection_skips_differences_without_effect(tmp_path: Path) -> None:
    """Like a norm: "tiny" (eps over the scale squared) underflows in fp16 and is added to a variance, right or wrong."""
    ops = {"r": ("x",), "tiny0": ("r",), "tiny": ("tiny0",), "s": ("x", "r"), "var": ("s",), "sum": ("var", "tiny")}
    graph = write(tmp_path / "m.tflite", {**ops, "y": ("sum",), "z": ("y",)}, ["z"])
    vanished = {"tiny": Difference(0.0, 9.0, 1e-9, 1e-9)}
    for fault in ("z", "y", "var", "s", "r"):
        measure = Fp16(graph, fault, vanished if fault != "r" else {})
        found = bisect_divergent(graph, index(graph, "z"), measure, 0.99999, confirm=True)
        assert found.name == fault, fault
        assert len(set(measure.asked)) == len(measure.asked)
    # It is the cause if its reader is wrong and nothing else is.
    found = bisect_divergent(graph, index(graph, "z"), Fp16(graph, "tiny", vanished), 0.99999, confirm=True)
    assert found.name == "tiny"


def test_last_tensor_of_a_node_is_its_value(tmp_path: Path) -> None:
    graph = write(tmp_path / "m.tflite", {"m||_gelu;": ("x",), "m||_gelu;1": ("m||_gelu;",)}, ["m||_gelu;1"])
    value = np.arange(6, dtype=np.float32).reshape(SHAPE)
    found = compare_trace(graph, {1: -value, 2: value}, {"gelu": value}, 0.99999)
    assert list(found) == [2] and found[2][0].within(0.99999)
    # A later tensor with another number of elements is not the node's value.
    assert list(compare_trace(graph, {1: value, 2: value[:1]}, {"gelu": value}, 0.99999)) == [1]


def test_fused_operator_may_be_any_of_its_nodes(tmp_path: Path) -> None:
    graph = write(tmp_path / "m.tflite", {"m||_linear;;m||_relu;": ("x",)}, ["m||_linear;;m||_relu;"])
    value = np.arange(-3, 3, dtype=np.float32).reshape(SHAPE)
    nodes = {"linear": value, "relu": np.maximum(value, 0)}
    assert compare_trace(graph, {1: np.maximum(value, 0)}, nodes, 0.99999)[1][0].within(0.99999)
    assert not compare_trace(graph, {1: -value}, nodes, 0.99999)[1][0].within(0.99999)


def test_permuted_layout_is_compared_in_sorted_order(tmp_path: Path) -> None:
    graph = write(tmp_path / "m.tflite", {"m||_conv;": ("x",)}, ["m||_conv;"])
    value = np.random.default_rng(0).standard_normal(SHAPE).astype(np.float32)
    found, note = compare_trace(graph, {1: np.ascontiguousarray(value.T)}, {"conv": value}, 0.99999)[1]
    assert found.within(0.99999) and "sorted order" in note
    # Views and leading ones preserve the row-major order, so there is no note and a permutation is detected.
    found, note = compare_trace(graph, {1: value[None, ::-1]}, {"conv": value}, 0.99999)[1]
    assert not found.within(0.99999) and not note


def test_tensor_whose_error_does_not_propagate_is_not_blamed(tmp_path: Path) -> None:
    graph = write(tmp_path / "m.tflite", {"a": ("x",), "b": ("a",), "c": ("b",), "d": ("c",)}, ["d"])
    a, b, c, d = (index(graph, name) for name in "abcd")
    misnamed = {a: (OFF, ""), b: (RIGHT, ""), c: (OFF, ""), d: (OFF, "")}
    found = first_divergent(graph, [d], misnamed, 0.99999)
    assert found is not None and found.name == "c" and found.since == ("2 NEG",)
    assert first_divergent(graph, [d], {a: (RIGHT, ""), d: (RIGHT, "")}, 0.99999) is None
    # What does not lead to a failing output is ignored.
    graph = write(tmp_path / "n.tflite", {"a": ("x",), "b": ("x",)}, ["a", "b"])
    assert first_divergent(graph, [2], {1: (OFF, ""), 2: (RIGHT, "")}, 0.99999) is None
