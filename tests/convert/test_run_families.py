"""A detector of every family, converted with random weights and judged on the real delegate."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from detr2litert.convert.models.variants import VARIANTS, table
from detr2litert.convert.models.variants.row import Variant
from detr2litert.verify.delegate.adapters import Driver
from tests.convert.command import invoke
from tests.convert.shrunken import shrunken
from tests.convert.test_run_real import assert_lint_residency_and_numerics_passed, run_measured

# One of each family beside the smallest published D-FINE with three levels.
REPRESENTATIVES = ("nano", "dfine-s", "rtdetrv2-r18", "lwdetr-tiny", "deimv2-atto")
# What these have beside nano and dfine-s is their backbones, whose operators have tests of their own.
LANES = dict.fromkeys(("rtdetrv2-r18", "lwdetr-tiny", "deimv2-atto"), pytest.mark.slow)
PUBLISHED = tuple(name for name, row in VARIANTS.items() if row.bundled is None)
# In fp16 a software GPU takes minutes for some published sizes: test_fp16_sizes has two of them.
OPTIONS = ("--target", "pixel", "--weights", "random", "--no-fp16")
# A quarter of the cells, on which a software GPU spends its time; dfine-s has the maps of 80 × 80 and what they bring.
SMALLER = {"rtdetrv2-r18": ("--resolution", "320")}


def assert_judged(bundle: Path, row: Variant, *, native: bool = True) -> None:
    assert_lint_residency_and_numerics_passed(bundle, native=native)
    manifest = json.loads((bundle / "manifest.json").read_text())
    boxes, logits, *_ = (output["shape"] for output in manifest["graphs"]["b"]["outputs"])
    assert boxes == [1, row.num_queries, 4] and logits == [1, row.num_queries, len(row.classes)]
    # The host step selects indices by the scores alone: the memory goes from graph A to graph B.
    assert [output["name"] for output in manifest["graphs"]["a"]["outputs"]] == ["enc_scores", "memory"]
    assert {op["op"] for op in manifest["host_step"]["ops"]} <= {"reshape", "topk"}


@pytest.mark.parametrize("name", [pytest.param(name, marks=LANES.get(name, pytest.mark.ci)) for name in REPRESENTATIVES])
def test_one_of_each_family(driver: Driver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """A small relative with the structure and operators of the published size."""
    row = shrunken(name)
    monkeypatch.setitem(table.VARIANTS, name, row)  # type: ignore[attr-defined]
    # Random weights detect no objects: a score near one half may be a near tie, which float16 weights change.
    options = (*OPTIONS, *SMALLER.get(name, ()), "--threshold", "0.999")
    outcome = invoke("run", "--variant", name, *options, "--out", tmp_path / name)
    assert outcome.code == 0, outcome.stderr
    assert_judged(tmp_path / name, row)


@pytest.mark.slow
def test_discrete_sampling(driver: Driver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """RT-DETRv2's ``decoder_method: discrete``: no gather reaches a graph."""
    row = shrunken("rtdetrv2-r18")
    monkeypatch.setitem(table.VARIANTS, "rtdetrv2-r18", row)  # type: ignore[attr-defined]
    discrete = ("--set", "sampling=discrete", "--no-native", "--threshold", "0.999", "--out", tmp_path / "discrete")
    outcome = invoke("run", "--variant", "rtdetrv2-r18", *OPTIONS, *discrete)
    assert outcome.code == 0, outcome.stderr
    assert_judged(tmp_path / "discrete", row, native=False)
    report = json.loads((tmp_path / "discrete" / "report.json").read_text())
    fired = {(item["graph"], item["name"]): item["fired"] for item in report["rewrites"]}
    assert fired["graph_b", "lower_nearest_sampling"] == 9


@pytest.mark.slow
@pytest.mark.parametrize("name", PUBLISHED)
def test_every_published_size(driver: Driver, tmp_path: Path, name: str) -> None:
    outcome, seconds, gigabytes = run_measured("run", "--variant", name, *OPTIONS, "--out", name, cwd=tmp_path)
    print(f"{name}: {seconds:.0f} s, {gigabytes:.1f} GB at the peak")
    assert outcome.code == 0, outcome.stderr
    assert_judged(tmp_path / name, VARIANTS[name])
