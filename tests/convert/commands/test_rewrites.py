"""`rewrites --explain` lists where the rewrites of a bundle's conversion fired, and where they nearly did and why not."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from detr2litert.verify.report.report import Place, RewriteRecord, write_report
from tests.convert.command import assert_refused, invoke
from tests.verify.report.sample_report import sample

RECORDS = (
    RewriteRecord(
        "graph_a",
        "fold_scales",
        "a reason",
        4,
        50,
        46,
        tuple(Place(f"mul_{number}", f"encoder.layer.{number}", "factor into linear") for number in range(4)),
        (Place("mul_9", "", "its factor does not vary over channels alone"),),
    ),
    RewriteRecord("graph_a", "split_clamp", "a reason", 0, 46, 46),
    RewriteRecord("graph_b", "fold_scales", "a reason", 0, 30, 30, (), (Place("mul_3", "decoder", "no linear layer"),)),
)


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    write_report(replace(sample(), rewrites=RECORDS), tmp_path / "report.json")
    return tmp_path


def test_sites_and_misses_are_listed_by_graph(bundle: Path) -> None:
    lines = invoke("rewrites", "--explain", str(bundle)).stdout.splitlines()
    assert lines == [
        "graph_a: fold_scales fired 4×, 50 → 46 operators",
        "  factor into linear (mul_0 in encoder.layer.0, mul_1 in encoder.layer.1, mul_2 in encoder.layer.2 and 1 more)",
        "  not: its factor does not vary over channels alone (mul_9)",
        "graph_b: fold_scales did not fire, 30 → 30 operators",
        "  not: no linear layer (mul_3 in decoder)",
    ]


def test_a_named_rewrite_is_listed_even_if_it_did_nothing(bundle: Path) -> None:
    lines = invoke("rewrites", "--explain", str(bundle), "split_clamp").stdout.splitlines()
    assert lines == ["graph_a: split_clamp did not fire, 46 → 46 operators"]


def test_json_has_every_place(bundle: Path) -> None:
    entries = invoke("rewrites", "--explain", str(bundle), "--json").json
    assert [len(entry["sites"]) for entry in entries] == [4, 0]
    assert entries[0]["misses"][0]["node"] == "mul_9"


def test_bad_input_is_one_line(bundle: Path, tmp_path: Path) -> None:
    assert_refused(invoke("rewrites", "--explain", str(tmp_path / "none")), "none has no report.json; give the folder")
    assert_refused(invoke("rewrites", "--explain", str(bundle), "fold_scale"), "no rewrite of")
