"""How one run of a probe is judged."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from detr2litert.verify.delegate.run import DelegateRun, Outcome
from detr2litert.verify.delegate.stderr_log import RefusedOp
from detr2litert.verify.probe.measure import judge
from detr2litert.verify.probe.probe import Behaviour
from detr2litert.verify.probe.suite import SUITE

_PROBE = SUITE[0]
_RUN = DelegateRun(Path("m.tflite"), "gpu", Outcome.COMPILED)


def _ran(*values: float) -> DelegateRun:
    return replace(_RUN, outputs=({"y": np.array(values, np.float32)},))


@pytest.mark.parametrize(
    ("given", "expected", "behaviour", "difference"),
    [
        ([1.0, 2.0], [1.0, 2.0], Behaviour.ACCEPTED, 0.0),
        ([1.0, 2.00123], [1.0, 2.0], Behaviour.ACCEPTED, 0.0012),
        ([1.0, 2.5], [1.0, 2.0], Behaviour.WRONG, 0.5),
        ([1.0, math.nan], [1.0, 2.0], Behaviour.WRONG, math.inf),
        ([1.0, 0.0], [1.0, -math.inf], Behaviour.WRONG, math.inf),
        ([1.0, -math.inf], [1.0, -math.inf], Behaviour.ACCEPTED, 0.0),
        ([math.nan], [math.nan], Behaviour.ACCEPTED, 0.0),
    ],
)
def test_numbers(given: list[float], expected: list[float], behaviour: Behaviour, difference: float) -> None:
    result = judge(_PROBE, _ran(*given), {"y": np.array(expected, np.float32)})
    assert (result.behaviour, result.max_abs_diff) == (behaviour, difference)


def test_without_a_reference_nothing_is_judged_correct() -> None:
    result = judge(_PROBE, _ran(1.0), None)
    assert result.behaviour is Behaviour.NOT_RUN and result.max_abs_diff is None
    assert "no reference" in result.refusal


def test_the_delegates_own_line_is_recorded() -> None:
    refused = replace(_RUN, outcome=Outcome.REFUSED, refused=(RefusedOp("ADD", "no", ""), RefusedOp("MUL", "nor this", "")))
    assert judge(_PROBE, refused, None).refusal == "ADD: no"


def test_a_failure_is_recorded_without_run_specific_text() -> None:
    failed = replace(_RUN, outcome=Outcome.FAILED, error="ERROR: [x.h:1] └ Failed to modify graph with delegate")
    line = "E0000 00:00:1795262658.817678   24958 delegate_webgpu.cc:478] Failed to create it: Shape mismatch"
    message = replace(failed, error_lines=("ERROR: Failed to initialize kernel.", line))
    assert judge(_PROBE, message, None).refusal == "Failed to create it: Shape mismatch"
    assert judge(_PROBE, failed, None).refusal == "[x.h:1] └ Failed to modify graph with delegate"
    static = replace(
        failed, log="INFO: x\nWARNING: Attempting to use a delegate that only supports static-sized tensors with y"
    )
    assert judge(_PROBE, static, None).refusal == "Attempting to use a delegate that only supports static-sized tensors with y"


def test_deaths() -> None:
    log = "I0000 x\nF0000 00:00:1.4   24938 object_reader.cc:373] Check failed: CanReadValue(node_input_index) \n*** x"
    died = judge(_PROBE, replace(_RUN, outcome=Outcome.DIED, death="SIGABRT", log=log), None)
    assert (died.behaviour, died.death, died.refusal) == (
        Behaviour.DIED,
        "SIGABRT",
        "Check failed: CanReadValue(node_input_index)",
    )
    left = judge(_PROBE, replace(_RUN, outcome=Outcome.DIED, death="exit code 1"), None)
    assert (left.death, left.refusal) == ("exit code 1", "")
    assert judge(_PROBE, replace(_RUN, outcome=Outcome.TIMED_OUT, error="x"), None).death == "time limit"
    assert judge(_PROBE, replace(_RUN, outcome=Outcome.NO_ADAPTER, error="none"), None).behaviour is Behaviour.NOT_RUN
