"""The catalogue's record and its table."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path

import pytest
from click.testing import CliRunner

from detr2litert.convert.models.variants import Variant
from tools.benchmark import catalogue
from tools.benchmark.catalogue import Entry, main, read_record, render
from tools.benchmark.conversion import Conversion

GATES = {"lint": "passed", "residency": "passed", "numerics": "passed", "detections": "not run"}


def entry(gates: dict[str, str] = GATES, random_weights: bool = True) -> Entry:
    conversion = Conversion(
        seconds=61.4,
        peak_bytes=1_540_000_000,
        stages={"convert graph_a": 20.0},
        ops={"graph_a": 500, "graph_b": 700},
        file_bytes={"graph_a": 12_300_000, "graph_b": 8_400_000},
        gates=gates,
        random_weights=random_weights,
        dispatches={"graph_a": 400, "graph_b": 600, "graph_b.native": 300},
    )
    return Entry(640, 10_200_000, 2.34, conversion, "pixel", {"torch": "2.13.0"})


def test_a_row_has_all_figures() -> None:
    rows = render({"dfine-s": entry()}).splitlines()
    assert len(rows) == 3
    assert rows[2] == (
        "| dfine-s | 640 | 10.2 | 500 + 700 | 400 + 600 (native 400 + 300) | 12.3 + 8.4 | "
        "2.3 ms | 61 | 1.5 | lint, residency, numerics; detections not run |"
    )


def test_dispatches_that_were_not_counted_or_not_recorded() -> None:
    made = entry().conversion
    for dispatches, cell in (({"graph_a": None, "graph_b": None}, "? + ?"), ({}, "")):
        row = render({"dfine-s": replace(entry(), conversion=replace(made, dispatches=dispatches))}).splitlines()[2]
        assert row.split(" | ")[4] == cell


def test_trained_weights_and_failed_gates_show_and_the_order_is_the_listings() -> None:
    failed = entry({**GATES, "numerics": "failed"}, random_weights=False)
    rows = render({"dfine-n": entry(), "tiny": failed}).splitlines()[2:]
    assert rows[0].startswith("| tiny (trained) |") and "numerics failed" in rows[0]
    assert rows[1].startswith("| dfine-n |")


def test_recorded_variants_are_not_measured_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    measured: list[str] = []

    def measure(variant: Variant, target: str, fp16: bool) -> Entry:
        measured.append(variant.name if fp16 else f"{variant.name} without fp16")
        return entry()

    monkeypatch.setattr(catalogue, "_measure", measure)
    record, document = tmp_path / "record.json", tmp_path / "page.md"
    document.write_text("<!-- catalogue:begin -->\nold\n<!-- catalogue:end -->\n")
    record.write_text(json.dumps({"dfine-n": asdict(entry())}))
    arguments = ["--variants", "dfine-n,dfine-s", "--record", str(record), "--write", str(document)]
    assert CliRunner().invoke(main, arguments).exit_code == 0
    assert measured == ["dfine-s"] and set(read_record(record)) == {"dfine-n", "dfine-s"}
    assert "| dfine-s |" in document.read_text() and "old" not in document.read_text()
    assert CliRunner().invoke(main, [*arguments, "--again"]).exit_code == 0
    assert measured == ["dfine-s", "dfine-n", "dfine-s"]
    assert CliRunner().invoke(main, ["--variants", "dfine-s", "--again", "--no-fp16", "--record", str(record)]).exit_code == 0
    assert measured[3:] == ["dfine-s without fp16"]


def test_an_unknown_variant_is_bad_input(tmp_path: Path) -> None:
    result = CliRunner().invoke(main, ["--variants", "dfine-q", "--record", str(tmp_path / "r.json")])
    assert result.exit_code == 2 and "unknown variant" in result.output


@pytest.mark.parametrize("damaged", ["{", "[1]", '{"dfine-n": {}}', '{"dfine-n": 3}'])
def test_a_damaged_record_is_bad_input(tmp_path: Path, damaged: str) -> None:
    record = tmp_path / "r.json"
    record.write_text(damaged)
    result = CliRunner().invoke(main, ["--variants", "tiny", "--record", str(record)])
    assert result.exit_code == 2 and "is not a record" in result.output and record.read_text() == damaged


def test_an_unwritable_record_is_reported_before_anything_is_measured(tmp_path: Path) -> None:
    for path in (tmp_path / "missing" / "r.json", tmp_path):
        result = CliRunner().invoke(main, ["--variants", "tiny", "--record", str(path)])
        assert result.exit_code == 2 and "cannot" in result.output


def test_a_record_of_another_target_is_measured_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(catalogue, "_measure", lambda variant, target, fp16: replace(entry(), target=target))
    record = tmp_path / "r.json"
    record.write_text(json.dumps({"dfine-n": asdict(entry())}))
    assert CliRunner().invoke(main, ["--variants", "dfine-n", "--target", "galaxy", "--record", str(record)]).exit_code == 0
    assert read_record(record)["dfine-n"].target == "galaxy"
    assert CliRunner().invoke(main, ["--target", "toaster", "--record", str(record)]).exit_code == 2


def test_the_documents_table_is_that_of_the_record() -> None:
    docs = Path(__file__).parents[2] / "docs"
    assert render(read_record(docs / "catalogue.json")) in (docs / "catalogue.md").read_text(encoding="utf-8")
