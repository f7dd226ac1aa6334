"""The suite: its probes are distinct, can be written, and are deterministic."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from detr2litert.host_runtime.tflite.graph import read_graph
from detr2litert.verify.lint.op_support import load_support
from detr2litert.verify.probe.probe import Behaviour
from detr2litert.verify.probe.suite import FP16_SUITE, SUITE

_ALL = (*SUITE, *FP16_SUITE)


def test_names_are_unique_and_every_probe_is_described() -> None:
    assert len({probe.name for probe in _ALL}) == len(_ALL)
    assert all(probe.about for probe in _ALL)


def test_no_probe_both_triggers_and_must_not_trigger_a_rule() -> None:
    assert not [probe.name for probe in _ALL if probe.triggers in probe.must_not_trigger]


def test_models_and_inputs_are_the_same_every_time(tmp_path: Path) -> None:
    again = tmp_path / "again"
    again.mkdir()
    for probe in SUITE[::9]:
        first, second = probe.write(tmp_path), probe.write(again)
        assert first.read_bytes() == second.read_bytes()
        given = probe.inputs(first)
        assert set(given) == set(read_graph(first).signature_inputs)
        for name, value in probe.inputs(second).items():
            np.testing.assert_array_equal(given[name], value)


def test_every_operator_that_the_lint_calls_accepted_is_accepted_in_a_probe(tmp_path: Path) -> None:
    seen = {op.name for probe in SUITE if probe.does is Behaviour.ACCEPTED for op in read_graph(probe.write(tmp_path)).ops}
    assert seen == load_support().accepted_ops


@pytest.mark.parametrize("name", ["resampler", "hybrid_fc", "hybrid_fc_channels", "hybrid_conv", "conv_without_bias"])
def test_where_the_cpu_cannot_judge_there_is_a_numpy_reference(name: str, tmp_path: Path) -> None:
    probe = next(probe for probe in SUITE if probe.name == name)
    model = probe.write(tmp_path)
    assert probe.reference is not None
    graph, (made,) = read_graph(model), probe.reference(probe.inputs(model)).values()
    assert made.shape == graph.tensors[graph.outputs[0]].shape and np.isfinite(made).all()
