"""The model card: what it says is the manifest's and the report's, and nothing foreign in it is markup."""

from __future__ import annotations

import json
import re
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from detr2litert.convert.card.card import CardOptions, render_card, report_of
from detr2litert.host_runtime.bundle import load_bundle
from detr2litert.host_runtime.errors import UserError
from detr2litert.host_runtime.manifest import Manifest
from tests.conversions import Made
from tests.convert.card.hub import running
from tests.convert.command import assert_refused, invoke, tree
from tests.host_runtime import tiny_bundle


@pytest.fixture
def cells(tmp_path: Path) -> Path:
    """The bundle of the brightest cells, which has no report."""
    tiny_bundle.write_bundle(tmp_path / "cells")
    return tmp_path / "cells"


def header_of(card: str) -> dict[str, object]:
    header: dict[str, object] = yaml.safe_load(card.split("---\n")[1])
    return header


def test_it_states_what_the_report_of_the_demo_detector_does(tiny: Made) -> None:
    outcome = invoke("card", tiny.bundle, "--licence", "apache-2.0", "--trained-on", "rendered shapes")
    assert outcome.code == 0
    report = json.loads((tiny.bundle / "report.json").read_text())
    for gate in report["gates"]:
        assert f"| {gate['gate']} | passed | " in outcome.stdout
    for graph, count in report["dispatches"].items():
        operators = sum(report["op_counts"][graph].values())
        assert re.search(rf"`{graph}\.tflite` \| .* \| {operators} \| {count} \|", outcome.stdout)
    assert "**Verdict: passed.**" in outcome.stdout and "it proves the results, not the speed" in outcome.stdout
    assert re.search(r"\| reference \| 200 \| 0\.85\d \|", outcome.stdout)
    assert header_of(outcome.stdout)["license"] == "apache-2.0" and "Trained on: rendered shapes." in outcome.stdout


def test_without_a_report_nothing_was_measured(cells: Path) -> None:
    card = invoke("card", cells).stdout
    assert "Nothing: there is no report beside the bundle." in card and "passed" not in card
    assert header_of(card)["license"] == "other" and "which this card does not know" in card


def test_a_failed_gate_is_not_hidden(tiny: Made, tmp_path: Path) -> None:
    bundle = shutil.copytree(tiny.bundle, tmp_path / "bundle")
    record = json.loads((bundle / "report.json").read_text())
    record["gates"][1]["verdict"] = "failed"
    del record["gates"][2]
    (bundle / "report.json").write_text(json.dumps(record))
    card = invoke("card", bundle).stdout
    assert "**Verdict: **failed**.**" not in card
    assert "**Verdict: failed.**" in card
    assert "| lint | **failed** |" in card and "| residency | not run |" in card


def test_foreign_texts_are_no_markup(cells: Path) -> None:
    with load_bundle(cells) as bundle:
        manifest = bundle.manifest
    hostile = "<script>alert(1)</script> | a\\`b` *c* [d](e)"
    changed = replace(manifest, variant=hostile, classes=(hostile, *manifest.classes[1:]))
    card = render_card(changed, None, CardOptions(title=f'"{hostile}\n---\nlicense: mit'))
    body = card.split("---\n", 2)[2]
    assert "<script>" not in body and "[d](e)" not in body and "*c*" not in body.replace("\\*c\\*", "")
    assert header_of(card)["license"] == "other" and len([line for line in card.splitlines() if line == "---"]) == 2
    assert header_of(card)["model_name"] == f'"{hostile} --- license: mit'


def test_the_report_of_another_bundle_is_refused(tiny: Made, cells: Path) -> None:
    shutil.copyfile(tiny.bundle / "report.json", cells / "report.json")
    assert_refused(invoke("card", cells), "report.json is the report of another bundle")
    with pytest.raises(UserError, match="another bundle"):
        report_of(cells, Manifest.from_json((cells / "manifest.json").read_text()))


def test_the_folder_of_a_hub_is_a_bundle_with_a_card(cells: Path, tmp_path: Path) -> None:
    outcome = invoke("card", cells, "--folder", tmp_path / "hub")
    assert outcome.code == 0 and tree(tmp_path / "hub") == tree(cells) | {"README.md"}
    with load_bundle(tmp_path / "hub"):
        assert header_of((tmp_path / "hub/README.md").read_text())["library_name"] == "litert"
    assert_refused(invoke("card", cells, "--folder", tmp_path / "hub"), "hub")


def test_it_is_uploaded(cells: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with running("secret") as hub:
        monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", hub.address)
        monkeypatch.setattr("huggingface_hub.hf_api.constants.ENDPOINT", hub.address)
        monkeypatch.setenv("HF_TOKEN", "secret")
        outcome = invoke("card", cells, "--folder", tmp_path / "hub", "--push-to-hub", "somebody/bolts")
        assert outcome.code == 0, outcome.stderr
        assert f"uploaded {hub.address}/somebody/bolts/commit/" in outcome.stdout
        sent = hub.files["somebody/bolts"]
        assert {name: (tmp_path / "hub" / name).read_bytes() for name in sent} == sent
        assert set(sent) == {name for name in tree(tmp_path / "hub") if (tmp_path / "hub" / name).is_file()}

        monkeypatch.setenv("HF_TOKEN", "wrong")
        refused = invoke("card", cells, "--folder", tmp_path / "again", "--push-to-hub", "somebody/bolts")
        assert (refused.code, "hf auth login" in refused.stderr) == (2, True)
    monkeypatch.setenv("HF_TOKEN", "secret")
    unreachable = invoke("card", cells, "--folder", tmp_path / "third", "--push-to-hub", "somebody/bolts")
    assert unreachable.code == 2 and "cannot be reached" in unreachable.stderr and (tmp_path / "third/README.md").exists()


def test_bad_input(cells: Path, tmp_path: Path) -> None:
    assert_refused(invoke("card", cells, "--push-to-hub", "a/b"), "--folder")
    assert_refused(invoke("card", tmp_path / "none"), "no bundle at")
    assert_refused(invoke("card", cells, "--out", cells / "manifest.json" / "x"), "cannot be written")
