"""The recorded measurement of LiteRT.js, the suite and the lint's table agree."""

from __future__ import annotations

import json

import pytest

from detr2litert.verify.lint.op_support import load_support
from detr2litert.verify.probe.probe import Behaviour
from detr2litert.verify.probe.suite import SUITE
from detr2litert.verify.probe.table import read_measured
from tests.verify.probe.failing import FAILING
from tools.litert_js import BACKEND, RECORDED, WEB_DEMO, measure

(_FILE,) = RECORDED.glob("*.json")
_RECORD = read_measured(_FILE)


def test_the_record_is_of_the_release_that_the_page_loads() -> None:
    package = json.loads((WEB_DEMO / "package.json").read_text(encoding="utf-8"))
    assert _RECORD.runtime == package["dependencies"]["@litertjs/core"]
    assert (_RECORD.backend, _RECORD.file_name) == (BACKEND, _FILE.name)
    assert set(_RECORD.results) <= {probe.name for probe in SUITE}


def test_rules_of_litert_js_match_their_probes() -> None:
    rows = [row for row in load_support().rules if row.backend == BACKEND]
    assert rows
    for row in rows:
        assert row.runtime == _RECORD.runtime and row.adapters == (_RECORD.adapter_id,)
        assert {_RECORD.results[name].behaviour for name in row.probes} <= set(FAILING[row.severity]), row.rule


def test_probes_without_a_rule_were_correct() -> None:
    shown = {
        probe.name: _RECORD.results[probe.name].behaviour
        for probe in SUITE
        if not probe.triggers and probe.name in _RECORD.results
    }
    # Those of booleans cannot run: LiteRT.js has no such tensors for inputs and outputs.
    assert set(shown.values()) <= {Behaviour.ACCEPTED, Behaviour.NOT_RUN}
    assert sum(behaviour is Behaviour.ACCEPTED for behaviour in shown.values()) > 0.9 * len(shown)


@pytest.mark.slow
def test_litert_js_matches_the_record() -> None:
    now = measure([probe for probe in SUITE if probe.name in _RECORD.results])
    assert {name: r.behaviour for name, r in now.results.items()} == {n: r.behaviour for n, r in _RECORD.results.items()}
