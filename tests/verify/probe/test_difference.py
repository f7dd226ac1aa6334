"""The differences between two measurements."""

from __future__ import annotations

import json
from dataclasses import replace

from detr2litert.verify.probe.difference import Kind, compare
from detr2litert.verify.probe.probe import Behaviour
from detr2litert.verify.probe.suite import SUITE
from detr2litert.verify.probe.table import Measured, Result

_RIGHT, _WRONG = Result(Behaviour.ACCEPTED, 1e-7), Result(Behaviour.WRONG, 2.0)
_REFUSED, _DIED = Result(Behaviour.REFUSED, refusal="ADD: no"), Result(Behaviour.DIED, death="SIGSEGV")
_PROBES = {probe.name: probe for probe in SUITE}


def _measured(**results: Result) -> Measured:
    return Measured("2.3.0", "webgpu", "a", "fp32", "2026-11-21", results)


def test_regressions_come_first() -> None:
    before = _measured(a=_WRONG, b=_RIGHT, c=_RIGHT, d=_RIGHT, e=_REFUSED, f=_RIGHT, g=_RIGHT, h=_REFUSED)
    after = _measured(a=_RIGHT, b=_REFUSED, c=_DIED, d=_WRONG, e=_WRONG, g=_RIGHT, h=replace(_REFUSED, refusal="x"), i=_RIGHT)
    found = [(change.probe, change.kind) for change in compare(before, after, {})]
    assert found == [
        ("d", Kind.WRONG),
        ("e", Kind.WRONG),
        ("c", Kind.DIED),
        ("b", Kind.REFUSED),
        ("a", Kind.RIGHT),
        ("h", Kind.REASON),
        ("i", Kind.ADDED),
        ("f", Kind.GONE),
    ]


def test_a_partial_run_is_not_a_difference() -> None:
    before = _measured(a=_RIGHT, b=_RIGHT)
    assert not compare(before, _measured(a=_RIGHT), {}, whole=False)
    assert [change.probe for change in compare(before, _measured(a=_RIGHT), {})] == ["b"]


def test_sizes_of_differences_are_not_compared() -> None:
    before = _measured(a=_WRONG, b=_RIGHT)
    assert not compare(before, _measured(a=replace(_WRONG, max_abs_diff=9e30), b=replace(_RIGHT, max_abs_diff=3e-7)), {})


def test_the_rules_that_a_probe_touches_are_named() -> None:
    before = _measured(linear_dropped_dims=_WRONG, softmax_3d=_RIGHT)
    after = _measured(linear_dropped_dims=_RIGHT, softmax_3d=_DIED)
    died, right = compare(before, after, _PROBES)
    assert died.rules == ("softmax-beta", "softmax-rank-1") and right.rules == ("constant-low-rank",)
    json.dumps([died.to_json(), right.to_json()])
