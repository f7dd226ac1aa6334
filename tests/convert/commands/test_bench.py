"""``detr2litert bench`` as a user runs it. No test compares times: only what is printed, recorded, refused and returned."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from detr2litert.convert.commands import bench
from detr2litert.host_runtime.errors import UserError
from detr2litert.host_runtime.manifest import NativeFiles
from detr2litert.verify.bench.record import BenchRecord
from detr2litert.verify.bench.setup import PYTORCH
from detr2litert.verify.bench.stages import DECODE, DETECTOR, FRAME, GRAPH_A, GRAPH_B, HOST_STEP, POSTPROCESS, PREPROCESS
from detr2litert.verify.delegate.adapters import Driver
from tests.conversions import Made
from tests.convert.command import Outcome, assert_refused, environment, invoke, spawn
from tests.host_runtime.tiny_bundle import graph_a, graph_b, picture, write_bundle
from tests.verify.bench.onnx_cells import metadata, write_onnx
from tests.verify.report.test_report import read_page

FEW = ("--runs", 3, "--warm-up", 1)
STAGES = [DECODE, PREPROCESS, GRAPH_A, HOST_STEP, GRAPH_B, POSTPROCESS, FRAME]


@pytest.fixture
def cells(tmp_path: Path) -> Path:
    write_bundle(tmp_path / "cells")
    return tmp_path / "cells"


@pytest.fixture
def onnx_file(tmp_path: Path) -> Path:
    return write_onnx(tmp_path / "cells.onnx", metadata())


def saved(outcome: Outcome, path: Path) -> Path:
    path.write_text(outcome.stdout)
    return path


def test_a_bundle_alone(cells: Path) -> None:
    outcome = invoke("bench", cells, *FEW)
    assert outcome.code == 0 and outcome.stderr == ""
    for text in (
        "machine: ",
        "cells: LiteRT on the CPU, portable form, ",
        "3 frames of 1 picture after 1 to warm up, 2.0 detections a frame",
    ):
        assert text in outcome.stdout, text
    rows = [line.split("  ")[0] for line in outcome.stdout.splitlines()]
    assert [row for row in rows if row in STAGES] == STAGES
    assert "takes" not in outcome.stdout and "budget" not in outcome.stdout


def test_the_json_has_the_times_of_every_run_and_the_set_up(cells: Path) -> None:
    data = invoke("bench", cells, *FEW, "--threads", 1, "--json").json
    (contender,) = BenchRecord.from_json(data).contenders
    assert list(contender.frames.stages) == STAGES
    assert all(len(times) == 3 for times in contender.frames.stages.values())
    assert contender.setup.threads == 1 and contender.setup.form == "portable"
    assert {"load", "governor", "versions", "cpu"} <= set(data["machine"]) and data["warm_up"] == 1


def test_several_are_compared_with_the_first_in_turns(cells: Path, onnx_file: Path) -> None:
    other = Path(shutil.copytree(cells, cells.parent / "elsewhere" / "cells"))
    outcome = invoke("bench", cells, other, "--against", onnx_file, *FEW)
    assert outcome.code == 0
    lines = [line for line in outcome.stdout.splitlines() if " takes " in line]
    assert [line.split(" takes ")[0] for line in lines] == [
        f"{part}: {cells.parent.name}/cells" for _ in range(2) for part in (FRAME, "detector alone")
    ]
    assert all("95 %: " in line and "in turns" in line for line in lines)
    assert "cells.onnx: ONNX Runtime on the CPU, " in outcome.stdout.replace(f"{cells.parent.name}/", "")


def test_an_onnx_file_in_batches(onnx_file: Path, cells: Path) -> None:
    outcome = invoke("bench", onnx_file, "--images", cells / "golden", *FEW, "--batch", "2,4")
    assert outcome.code == 0
    lines = [line.split() for line in outcome.stdout.splitlines()]
    head = lines.index(["batch", "frames", "a", "second", "against", "1", "batch", "ms", "frame", "ms"])
    assert [line[0] for line in lines[head + 1 : head + 4]] == ["1", "2", "4"]
    assert lines[head + 1][2:4] == ["1.00", "×"] and lines[head + 4][:2] == ["best:", "batch"]


def test_a_bundle_in_threads_and_a_pipeline(cells: Path) -> None:
    data = invoke("bench", cells, *FEW, "--batch", "2", "--preload", "--json").json
    (contender,) = data["contenders"]
    assert [(row["kind"], row["size"], row["batch_ms"]) for row in contender["scaled"]] == [
        ("threads", 1, None),
        ("threads", 2, None),
    ]
    assert len(contender["pipelined"]["latency"]) == 3
    text = invoke("bench", cells, *FEW, "--batch", "2", "--preload").stdout
    assert "with the next picture pre-loaded: " in text and "best: " in text


def test_a_budget_decides_the_exit_code(cells: Path) -> None:
    kept = invoke("bench", cells, *FEW, "--budget", "100s")
    assert kept.code == 0 and "budget 100000 ms: kept by cells, p95 " in kept.stdout
    missed = invoke("bench", cells, *FEW, "--budget", "0.0001ms")
    assert missed.code == 1 and "budget 0.0001 ms: not kept by cells, p95 " in missed.stdout


def test_saved_results_are_compared_and_refused(cells: Path, tmp_path: Path) -> None:
    old = saved(invoke("bench", cells, *FEW, "--threads", 1, "--json"), tmp_path / "old.json")
    same = invoke("bench", cells, *FEW, "--threads", 1, "--against", old)
    assert same.code == 0 and "the time of cells in old.json" in same.stdout and "not in turns" in same.stdout
    refused = ("bench", cells, *FEW, "--threads", 2, "--against", old)
    assert_refused(invoke(*refused), "old.json", "threads: 2 and 1", "--despite-differences")
    despite = invoke(*refused, "--despite-differences")
    assert despite.code == 0 and "although these differ: threads: 2 and 1" in despite.stdout


def test_both_forms_of_a_bundle_are_two_contenders(tmp_path: Path) -> None:
    write_bundle(tmp_path / "cells", {"native.tflite": graph_a()}, native=NativeFiles("native.tflite", "graph_b.tflite"))
    outcome = invoke("bench", tmp_path / "cells", *FEW, "--form", "both")
    assert outcome.code == 0 and "whole frame: cells native takes " in outcome.stdout
    assert "native form, " in outcome.stdout and "portable form, " in outcome.stdout


def test_the_page_is_written(cells: Path, tmp_path: Path) -> None:
    hostile = Path(shutil.copytree(cells, tmp_path / "<b>&amp;{{ 1 }}\x1b[31m"))
    outcome = invoke("bench", hostile, *FEW, "--out", tmp_path / "bench.html")
    assert outcome.code == 0 and "\x1b" not in outcome.stdout
    page = read_page((tmp_path / "bench.html").read_text(encoding="utf-8"))
    assert "<b>&amp;{{ 1 }}" in page.text and page.links == []


def test_bad_input_is_refused_in_one_line(cells: Path, onnx_file: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "a.png").write_bytes(b"\x89PNG\r\n")
    (tmp_path / "text.json").write_text("{}")
    (tmp_path / "text.onnx").write_text("no model")
    assert_refused(invoke("bench", tmp_path / "none"), "no bundle at")
    assert_refused(invoke("bench", tmp_path / "empty"), "manifest.json")
    assert_refused(invoke("bench", tmp_path / "text.onnx", "--images", cells / "golden"), "text.onnx", "cannot load")
    assert_refused(invoke("bench", cells, "--images", tmp_path / "empty"), "has no picture")
    assert_refused(invoke("bench", cells, "--images", tmp_path / "broken"), "a.png")
    assert_refused(invoke("bench", onnx_file), "--images")
    assert_refused(invoke("bench", onnx_file, "--against", "pytorch"), "need a bundle")
    assert_refused(invoke("bench", cells, cells), "given twice")
    assert_refused(invoke("bench", cells, "--against", tmp_path / "none"), "no bundle at")
    assert_refused(invoke("bench", cells, "--against", tmp_path / "text.json"), "not a record of")
    assert_refused(invoke("bench", cells, "--form", "native"), "no native form")
    assert_refused(invoke("bench", cells, "--weights", "x.pth"), "--weights")
    assert_refused(invoke("bench", cells, "--budget", "30fps"), "--budget 30fps")
    assert_refused(invoke("bench", cells, "--batch", "1,two"), "--batch 1,two")
    assert_refused(invoke("bench", cells, "--out", tmp_path / "none" / "bench.html"), "--out")
    for option, value in (("--runs", 0), ("--runs", "many"), ("--threads", 0), ("--warm-up", -1), ("--accelerator", "tpu")):
        assert_refused(invoke("bench", cells, option, value), option)
    assert_refused(invoke("bench"), "BUNDLE")


def test_a_contender_that_runs_elsewhere_is_refused_unless_wanted(
    cells: Path, onnx_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A bundle of another form than its neighbour's, as after a fall-back."""
    write_bundle(
        cells.parent / "native", {"n.tflite": graph_a(), "m.tflite": graph_b()}, native=NativeFiles("n.tflite", "m.tflite")
    )
    entries = bench._bundle_entries

    def one_native(name: str, bundle: object, form: object, driver: object) -> list[object]:
        return entries(name, bundle, "native" if name == "native" else form, driver)  # type: ignore[arg-type, return-value]

    monkeypatch.setattr(bench, "_bundle_entries", one_native)
    command = ("bench", cells, cells.parent / "native", *FEW)
    assert_refused(invoke(*command), "form: portable and native", "--form portable")
    assert "although these differ: form: portable and native" in invoke(*command, "--despite-differences").stdout


@pytest.mark.parametrize(
    ("paths", "names"),
    [
        (["a/tiny"], ["tiny"]),
        (["a/tiny", "b/nano"], ["tiny", "nano"]),
        (["a/tiny", "b/tiny"], ["a/tiny", "b/tiny"]),
        (["x/a/tiny", "y/a/tiny", "z"], ["x/a/tiny", "y/a/tiny", "z"]),
    ],
)
def test_names_are_as_short_as_they_can_be(tmp_path: Path, paths: list[str], names: list[str]) -> None:
    assert bench.unique_names([tmp_path / path for path in paths]) == names


def test_a_path_given_twice_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="given twice"):
        bench.unique_names([tmp_path, tmp_path])


def test_a_bundle_against_the_detector_that_it_was_made_from(tiny: Made) -> None:
    data = invoke("bench", tiny.bundle, "--against", "pytorch", *FEW, "--json").json
    own, eager = data["contenders"]
    assert eager["name"] == eager["setup"]["engine"] == PYTORCH
    assert list(eager["frames"]["stages"]) == [DECODE, PREPROCESS, DETECTOR, POSTPROCESS, FRAME]
    assert own["frames"]["detections"] == eager["frames"]["detections"] > 0
    assert own["setup"]["sha256"] != eager["setup"]["sha256"] and own["variant"] == eager["variant"] == "tiny"
    assert [comparison["second"] for comparison in data["comparisons"]] == [PYTORCH, PYTORCH]


@pytest.mark.gpu
def test_a_software_gpu_is_named(tmp_path: Path, driver: Driver) -> None:
    write_bundle(tmp_path / "cells")
    picture().save(tmp_path / "a.png")
    outcome = spawn("bench", "cells", "--images", "a.png", "--accelerator", "gpu", *FEW, cwd=tmp_path, env=environment())
    assert outcome.code == 0, outcome.stderr
    assert f"cells: LiteRT on {driver.adapter.name} (" in outcome.stdout
    assert ("one in software" in outcome.stdout) != driver.adapter.hardware


def test_nothing_is_measured_before_the_page_and_the_records_are_known_to_be_good(
    cells: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bench, "_prepare", lambda *_: pytest.fail("went on"))
    assert_refused(invoke("bench", cells, "--out", tmp_path), "--out")
    assert_refused(invoke("bench", cells, "--against", tmp_path / "none.json"), "none.json")


def test_the_record_is_plain_json(cells: Path) -> None:
    text = invoke("bench", cells, *FEW, "--json").stdout
    json.loads(text, parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))
