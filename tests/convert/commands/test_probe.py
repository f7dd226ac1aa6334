"""The command ``probe``."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.convert.command import ROOT, assert_refused, invoke

_KEPT = ROOT / "verify" / "probe" / "measured" / "2.3.0-webgpu-swiftshader-fp32.json"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--only", "pad_3d_bach"), "did you mean pad_3d_batch"),
        (("--only", "xxxxxxxx"), "one of add-into-reduce-max"),
        (("--only", "pad_3d", "--write", "x.json"), "--write records a measurement of the whole suite"),
        (("--against", "none.json"), "none.json: cannot be read"),
        (("--write", "none/x.json"), "there is no folder none"),
        (("--fuzz", "1", "--only", "pad_3d"), "--fuzz runs random graphs in fp32"),
        (("--seed", "1"), "add --fuzz MINUTES"),
        (("--candidates", "made"), "add --fuzz MINUTES"),
    ],
)
def test_a_usage_error_is_one_line(arguments: tuple[str, ...], message: str) -> None:
    assert_refused(invoke("probe", *arguments), message)


@pytest.mark.parametrize(
    ("changed", "arguments", "message"),
    [
        ({"precision": "fp16"}, (), "old.json is an fp16 measurement, this one is fp32: add --fp16"),
        ({}, ("--fp16",), "old.json is an fp32 measurement, this one is fp16: leave out --fp16"),
        ({"backend": "opencl"}, (), "old.json is a measurement of the backend opencl, this one is of webgpu"),
    ],
)
def test_a_measurement_of_another_kind_is_refused_before_anything_runs(
    changed: dict[str, str], arguments: tuple[str, ...], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("detr2litert.convert.commands.probe._driver", lambda _fp16: pytest.fail("looked for an adapter"))
    (tmp_path / "old.json").write_text(json.dumps(json.loads(_KEPT.read_text()) | changed))
    assert_refused(invoke("probe", "--against", tmp_path / "old.json", *arguments), message)


def test_no_adapter_is_reported_with_advice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("detr2litert.verify.delegate.driver.find_driver", lambda: None)
    monkeypatch.setattr("detr2litert.verify.delegate.driver.find_fp16_driver", lambda: None)
    assert_refused(invoke("probe"), "no Vulkan adapter: run `python -m detr2litert.verify.delegate.driver`")
    assert_refused(invoke("probe", "--fp16"), "no adapter that computes in fp16", "--fp16")


@pytest.mark.gpu
def test_a_few_random_graphs_of_a_seed() -> None:
    outcome = invoke("probe", "--fuzz", "0.01", "--seed", "20261127", "--json")
    assert outcome.json["seed"] == 20261127 and outcome.json["graphs"] >= 40
    assert outcome.code == bool(outcome.json["unknown"])
    assert sum(outcome.json["verdicts"].values()) == outcome.json["graphs"]


@pytest.mark.gpu
def test_a_rules_probes_match_the_record() -> None:
    outcome = invoke("probe", "--only", "pad-rank-3", "--only", "matmul_self", "--json")
    assert outcome.code == 0
    report = outcome.json
    assert report["differences"] == []
    assert report["counts"] == {"accepted": 3, "wrong": 3, "died": 1}
    probes = report["measured"]["probes"]
    names = ["matmul_self", "mirror_batch", "mirror_tokens", "pad_3d", "pad_3d_batch", "pad_3d_leading", "pad_rank_4"]
    assert list(probes) == names
    assert probes["matmul_self"]["died"] == "exit code 1" and "Check failed" in probes["matmul_self"]["refusal"]
    assert report["measured"]["runtime"] == "2.3.0" and report["measured"]["adapter"]


@pytest.mark.gpu
def test_regressions_are_listed_first_and_exit_with_1(tmp_path: Path) -> None:
    before = json.loads(_KEPT.read_text())
    before["runtime"] = "2.2.0"
    right = {"outcome": "accepted", "max_abs_diff": 0.0, "refusal": "", "died": ""}
    wrong = {"outcome": "wrong", "max_abs_diff": 3.0, "refusal": "", "died": ""}
    before["probes"] |= {"matmul_self": right, "pad_rank_2": right, "pad_3d_batch": right, "relu6": wrong}
    (tmp_path / "old.json").write_text(json.dumps(before))
    names = ("matmul_self", "pad_rank_2", "pad_3d_batch", "relu6", "pad_3d")
    outcome = invoke("probe", "--against", str(tmp_path / "old.json"), *(part for name in names for part in ("--only", name)))
    assert outcome.code == 1
    lines = outcome.stdout.splitlines()
    assert "against   ai-edge-litert 2.2.0 on" in lines[2] and lines[2].endswith("4 differences")
    assert [line.split("  ")[0] for line in lines[3:]] == [
        "newly wrong: pad_3d_batch",
        "newly died: matmul_self",
        "newly refused: pad_rank_2",
        "newly right: relu6",
    ]
    assert lines[3].endswith("[lint: pad-rank-3]") and "(PAD: Invalid paddings tensor shape" in lines[5]
