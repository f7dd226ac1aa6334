"""Every row of the table, converted with random weights and judged on the real delegate."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from convert.variants import VARIANTS
from tests.convert.test_run_real import assert_gates_one_to_three, run_measured
from verify.delegate.adapters import Driver

# One of each family beside the smallest published D-FINE with three levels; nano has a test of its own.
REPRESENTATIVES = ("dfine-s", "rtdetrv2-r18", "lwdetr-tiny", "deimv2-atto")
OTHERS = tuple(name for name, row in VARIANTS.items() if row.bundled is None and name not in (*REPRESENTATIVES, "nano"))


def convert_and_judge(name: str, folder: Path) -> None:
    # In fp16 a software GPU takes minutes for some: test_fp16_sizes has two of them.
    arguments = ("run", "--variant", name, "--target", "pixel", "--weights", "random", "--out", name, "--no-fp16")
    outcome, seconds, gigabytes = run_measured(*arguments, cwd=folder)
    print(f"{name}: {seconds:.0f} s, {gigabytes:.1f} GB at the peak")
    assert outcome.code == 0, outcome.stderr
    assert_gates_one_to_three(folder / name)
    row = VARIANTS[name]
    manifest = json.loads((folder / name / "manifest.json").read_text())
    boxes, logits = (output["shape"] for output in manifest["graphs"]["b"]["outputs"])
    assert boxes == [1, row.num_queries, 4] and logits == [1, row.num_queries, len(row.classes)]
    # The selected tokens' tail runs on the host for this target: what leaves graph A are the scores and the memory alone.
    assert [output["name"] for output in manifest["graphs"]["a"]["outputs"]] == ["enc_scores", "memory"]
    assert {op["op"] for op in manifest["host_step"]["ops"]} >= {"topk", "gather", "linear", "layer_norm"}


@pytest.mark.parametrize("name", REPRESENTATIVES)
def test_one_of_each_family(driver: Driver, tmp_path: Path, name: str) -> None:
    convert_and_judge(name, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("name", OTHERS)
def test_every_other_size(driver: Driver, tmp_path: Path, name: str) -> None:
    convert_and_judge(name, tmp_path)
