"""``convert device`` with a bundle of one graph, small enough to check by hand."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.device.commands import assert_clean, device_command, gate, gates
from tests.device.conftest import Plug
from tests.device.faults import Faults

sys.path.insert(0, str(Path(__file__).parents[1] / "host_runtime"))

import one_graph_bundle


@pytest.fixture
def one_graph(tmp_path: Path) -> Path:
    one_graph_bundle.write_bundle(tmp_path / "one_graph")
    return tmp_path / "one_graph"


def test_its_only_stage_passes(plug: Plug, one_graph: Path) -> None:
    device = plug()
    # In fp32: its numbers are exact in fp16, so that a GPU's outputs would be the CPU's bit for bit.
    outcome = device_command(one_graph, "--json", "--precision", "fp32")
    assert {name for name, verdict in gates(outcome).items() if verdict != "passed"} == set()
    assert outcome.code == 0
    assert "4 of 4 queries at the same rank" in gate(outcome, "stages")["summary"]
    assert "graph_b" not in gate(outcome, "residency")["summary"]
    assert "one graph without decoding" in gate(outcome, "latency")["summary"]
    assert_clean(device)


def test_a_wrong_graph_is_named(plug: Plug, one_graph: Path) -> None:
    plug(Faults(app={"wrong": "a"}))
    outcome = device_command(one_graph, "--json", "--precision", "fp32")
    assert outcome.code == 1
    found = gate(outcome, "stages")
    assert (found["verdict"], {finding["rule"] for finding in found["findings"]}) == ("failed", {"stage-a"})
