"""The recorded measurements, the suite, the lint's table and the available delegate agree."""

from __future__ import annotations

import pytest

from detr2litert.verify.delegate.adapters import Driver
from detr2litert.verify.lint.op_lint import FAIL_ON
from detr2litert.verify.lint.op_support import load_support
from detr2litert.verify.probe.difference import compare
from detr2litert.verify.probe.measure import measure
from detr2litert.verify.probe.probe import Behaviour, Probe
from detr2litert.verify.probe.suite import FP16_SUITE, SUITE
from detr2litert.verify.probe.table import FOLDER, Measured, read_measured, recorded
from tests.verify.probe.failing import FAILING

_KEPT = {path.name: read_measured(path) for path in sorted(FOLDER.glob("*.json"))}
_NAMES = {name: table.adapter_id for name, table in _KEPT.items()}
# Measured on a GPU in hardware, before these probes were added; nobody could repeat it since.
_PARTIAL = {"nvidia-h200"}
_BY_NAME = {probe.name: probe for probe in (*SUITE, *FP16_SUITE)}


def _suite(table: Measured) -> tuple[Probe, ...]:
    return FP16_SUITE if table.precision == "fp16" else SUITE


@pytest.mark.parametrize("table", _KEPT.values(), ids=_KEPT)
def test_a_measurement_has_every_probe_and_no_other(table: Measured) -> None:
    names = {probe.name for probe in _suite(table)}
    assert set(table.results) <= names
    assert table.adapter_id in _PARTIAL or set(table.results) == names
    assert all(result.behaviour is not Behaviour.NOT_RUN for result in table.results.values())


def test_file_names_match_their_contents() -> None:
    assert {table.file_name for table in _KEPT.values()} == set(_KEPT)


def test_swiftshader_results_match_the_suite() -> None:
    table = _KEPT["2.3.0-webgpu-swiftshader-fp32.json"]
    assert {name: r.behaviour for name, r in table.results.items()} == {probe.name: probe.does for probe in SUITE}


def test_fp16_results_match_the_suite() -> None:
    table = _KEPT["2.3.0-webgpu-llvmpipe-fp16.json"]
    assert {name: r.behaviour for name, r in table.results.items()} == {probe.name: probe.does for probe in FP16_SUITE}


def test_every_number_was_judged() -> None:
    for table in _KEPT.values():
        computed = [r for r in table.results.values() if r.behaviour in (Behaviour.ACCEPTED, Behaviour.WRONG)]
        assert computed and all(result.max_abs_diff is not None for result in computed)


def test_every_rule_matches_its_probes() -> None:
    support = load_support()
    tables = {_NAMES[name]: t for name, t in _KEPT.items() if t.precision == "fp32" and t.runtime == support.runtime}
    for row in support.rules:
        if row.severity not in FAIL_ON or row.backend != support.backend:
            continue
        assert row.adapters and set(row.adapters) <= set(tables), row.rule
        for adapter in row.adapters:
            results = tables[adapter].results
            measured = [probe for probe in row.probes if probe in results or adapter not in _PARTIAL]
            shown = {results[probe].behaviour for probe in measured}
            assert shown, (row.rule, adapter)
            assert shown <= set(FAILING[row.severity]), (row.rule, adapter)
        for adapter in set(tables) - set(row.adapters):
            others = [tables[adapter].results[probe] for probe in row.probes if probe in tables[adapter].results]
            assert not others or any(other.behaviour is Behaviour.ACCEPTED for other in others), (row.rule, adapter)


def test_the_table_names_every_measurement() -> None:
    named = {(s.backend, s.adapter, s.precision, s.probes, s.date) for s in load_support().measurements}
    assert named == {(t.backend, t.adapter_id, t.precision, len(t.results), t.date) for t in _KEPT.values()}
    assert {s.adapter for s in load_support().measurements if s.hardware} == _PARTIAL


def test_software_and_hardware_agree_in_fp32() -> None:
    soft, hard = (_KEPT[f"2.3.0-webgpu-{adapter}-fp32.json"].results for adapter in ("llvmpipe", "nvidia-h200"))
    assert not [name for name, result in hard.items() if result.behaviour is not soft[name].behaviour]


def test_probes_without_a_rule_were_correct() -> None:
    not_triggered = [probe.name for probe in SUITE if not probe.triggers]
    for table in _KEPT.values():
        if table.precision == "fp32":
            shown = {table.results[name].behaviour for name in not_triggered if name in table.results}
            assert shown == {Behaviour.ACCEPTED}


def test_the_published_fan_out_is_correct_on_this_delegate() -> None:
    row = next(row for row in load_support().rules if row.rule == "token-fan-out")
    for table in _KEPT.values():
        if table.precision == "fp32":
            assert {table.results[name].behaviour for name in row.probes} == {Behaviour.ACCEPTED}


@pytest.mark.gpu
def test_the_delegate_matches_the_measurement(driver: Driver) -> None:
    _assert_unchanged(measure(SUITE, driver))


@pytest.mark.gpu
def test_fp16_on_the_delegate_matches_the_measurement(fp16_driver: Driver) -> None:
    _assert_unchanged(measure(FP16_SUITE, fp16_driver, fp16=True))


def _assert_unchanged(now: Measured) -> None:
    before = recorded(now.runtime, now.adapter, now.precision)
    assert before is not None
    found = compare(before, now, _BY_NAME)
    if before.adapter != now.adapter:  # an unrecorded runtime may have fewer faults, but no others
        found = tuple(change for change in found if not _BY_NAME[change.probe].triggers)
    changes = [f"{c.kind}: {c.probe}: {c.before} -> {c.after}" for c in found]
    assert not changes, "\n".join(["`convert probe` shows and `--write` records what changed:", *changes])
