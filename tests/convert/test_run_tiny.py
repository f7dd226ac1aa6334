"""A whole run on the demo detector: what it prints, writes and verifies."""

from __future__ import annotations

import json
import stat
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageChops

from detr2litert.convert.proof.scenes import pictures
from detr2litert.host_runtime.bundle import file_sha256, load_bundle
from detr2litert.host_runtime.decode import Detections
from detr2litert.host_runtime.manifest import Manifest
from detr2litert.host_runtime.preprocess import preprocess
from detr2litert.host_runtime.runner import Runner
from detr2litert.host_runtime.tflite.graph import read_graph
from detr2litert.verify.accuracy.outside import NOT_COMPARED
from detr2litert.verify.cost.counts import cost_of
from detr2litert.verify.parity.origins import GraphOrigins
from tests.conversions import Made, converted
from tests.convert.command import DEMO_PASSED, gate_of, tree, verdicts

BUNDLE_FILES = {
    *("graph_a.tflite", "graph_b.tflite", "graph_a.native.tflite", "graph_b.native.tflite", "labels.txt", "manifest.json"),
    *("golden", "golden/image.png", "golden/golden.safetensors", "golden/detections.json"),
}


def test_every_gate_runs_and_passes(tiny: Made) -> None:
    report = tiny.outcome.json
    assert verdicts(report["gates"]) == DEMO_PASSED
    assert report["verdict"] == "passed"
    assert report["adapter"]
    residency = gate_of(report, "residency")
    for graph in ("graph_a", "graph_b"):
        assert residency["data"]["graphs"][graph]["partitions"] == 1
        assert residency["data"]["graphs"][graph]["non_cpu_fully_accelerated"] is True
    compared = [m["subject"] for m in gate_of(report, "numerics")["measurements"] if m["metric"] == "correlation"]
    for output in ("graph_a / memory", "graph_b / boxes", "graph_b / logits"):
        for link in ("CPU vs PyTorch", "shipped vs float32", "GPU vs CPU"):
            assert f"{output}: {link}" in compared


def test_the_report_has_average_precision_on_the_demo_scenes(tiny: Made) -> None:
    """Of the reference and of the bundle, on the CPU and in fp16, each with its interval."""
    gate = gate_of(tiny.outcome.json, "accuracy")
    reference, cpu, fp16 = gate["data"]["average_precision"]
    assert (reference["side"], cpu["side"], fp16["side"]) == ("reference", "CPU", "fp16")
    assert reference["pictures"] == cpu["pictures"] == 200 and 1 <= fp16["pictures"] <= 200
    assert reference["ap"] == pytest.approx(0.851, abs=0.002) and reference["ap50"] == pytest.approx(0.985, abs=0.002)
    assert abs(cpu["difference"]) < 0.002 and cpu["low"] <= cpu["difference"] <= cpu["high"]
    assert abs(fp16["difference"]) < 0.05
    assert tiny.outcome.json["compared_with_outside"] is True
    html = (tiny.bundle / "report.html").read_text()
    assert "AP50" in html and "0.851" in html and NOT_COMPARED[1:] not in html


def test_without_anything_from_outside_the_summary_and_the_report_say_so(random_tiny: Made) -> None:
    assert random_tiny.outcome.stdout.splitlines().count(NOT_COMPARED) == 1
    assert NOT_COMPARED[1:] in (random_tiny.bundle / "report.html").read_text()
    assert json.loads((random_tiny.bundle / "report.json").read_text())["compared_with_outside"] is False


def test_detections_are_compared_on_scenes_with_objects(tiny: Made) -> None:
    gate = gate_of(tiny.outcome.json, "detections")
    rows = [row for rows in gate["data"]["scenes"].values() for row in rows]
    assert len(gate["data"]["scenes"]) == len(pictures(()))
    assert sum(row["status"] == "matched" for row in rows) >= 10


@pytest.mark.parametrize("form", ["", ".native"])
def test_every_layer_is_counted_its_own_operators(tiny: Made, form: str) -> None:
    """The converter names an operator after the first layer's as well, where both need the same constant."""
    a, b = (read_graph(tiny.bundle / f"graph_{part}{form}.tflite") for part in "ab")
    origins = GraphOrigins.of(a).operators
    softmaxes = [origins[op.index].module for op in a.ops if op.name == "SOFTMAX"]
    assert softmaxes == [f"model.model.backbone.backbone.encoder.layer.{i}.attention" for i in range(6)]
    layers = {name: cost.operators for name, cost in cost_of(a).by_layer().items() if ".encoder.layer." in name}
    windowed, whole = (
        {layers[f"model.model.backbone.backbone.encoder.layer.{i}"] for i in some} for some in ((0, 1, 4), (2, 3, 5))
    )
    assert len(windowed) == len(whole) == 1
    first, second = (cost_of(b).by_layer()[f"model.model.decoder.layers.{i}"].operators for i in range(2))
    assert abs(first - second) <= 1


def test_leaves_the_bundle_its_zip_and_the_report_and_nothing_else(tiny: Made) -> None:
    scenes = {f"pictures/scene-{i + 1}.png" for i in range(len(pictures(())))}
    assert tree(tiny.bundle) == BUNDLE_FILES | {"report.json", "report.html", "pictures"} | scenes
    assert {path.name for path in tiny.bundle.parent.iterdir()} == {"tiny", "tiny.zip"}
    assert {path.name for path in tiny.cwd.iterdir()} == {"made"}


def test_files_can_be_read_by_everyone(tiny: Made) -> None:
    for path in (tiny.bundle, *tiny.bundle.rglob("*"), tiny.bundle.parent / "tiny.zip"):
        expected = 0o755 if path.is_dir() else 0o644
        assert stat.S_IMODE(path.stat().st_mode) & expected == expected, path


def test_the_manifest_lists_every_file_with_its_hash(tiny: Made) -> None:
    manifest = Manifest.from_json((tiny.bundle / "manifest.json").read_text())
    assert set(manifest.files) == {name for name in BUNDLE_FILES if "." in name} - {"manifest.json"}
    for name, record in manifest.files.items():
        assert record.sha256 == file_sha256(tiny.bundle / name)
        assert record.bytes == (tiny.bundle / name).stat().st_size
    assert manifest.variant == "tiny"
    assert manifest.target == "pixel"
    assert not manifest.weights.random
    assert manifest.classes == ("circle", "square", "triangle", "star", "cross", "crescent")
    assert (tiny.bundle / "labels.txt").read_text().splitlines() == list(manifest.classes)
    assert manifest.versions["torch"].startswith("2.13")


def test_the_bundle_does_not_reveal_local_paths(tiny: Made) -> None:
    for path in (tiny.bundle / "manifest.json", tiny.bundle / "report.json", tiny.bundle / "graph_a.tflite"):
        data = path.read_bytes()
        assert str(tiny.cwd).encode() not in data
        assert str(Path(__file__).parents[2]).encode() not in data


def test_golden_vectors_agree_with_the_runner(tiny: Made) -> None:
    with load_bundle(tiny.bundle) as bundle, Runner(bundle) as runner:
        golden = bundle.golden_tensors()
        spec = bundle.manifest.golden
        assert spec is not None
        image = Image.open(bundle.path(spec.image))
        tensor = preprocess(image, bundle.manifest.preprocess)
        np.testing.assert_allclose(tensor, golden["image"], atol=1e-6)  # the golden one is PyTorch's
        outputs = runner.run(tensor)
        assert set(outputs.tensors()) | {"image"} == set(golden)
        found = runner.decode(outputs, image.size, threshold=spec.threshold)
        expected = Detections.from_dict(json.loads(bundle.path(spec.detections).read_text()))
        np.testing.assert_allclose(outputs.graph_a["memory"], golden["memory"], atol=0.05)
        assert [item.name for item in found] == [item.name for item in expected]
        assert len(found) > 0
        for one, other in zip(found, expected, strict=True):
            np.testing.assert_allclose(one.box, other.box, atol=0.5)
            assert one.score == pytest.approx(other.score, abs=0.01)


def test_the_zip_is_the_same_bundle(tiny: Made) -> None:
    place = tiny.bundle.parent / "tiny.zip"
    with load_bundle(place) as packed, load_bundle(tiny.bundle) as folder:
        assert packed.manifest == folder.manifest
    with zipfile.ZipFile(place) as archive:
        assert set(archive.namelist()) == {name for name in BUNDLE_FILES if "." in name}


def test_pictures_show_boxes(tiny: Made) -> None:
    """Around each detection only."""
    rows = gate_of(tiny.outcome.json, "detections")["data"]["scenes"]
    for number, scene in enumerate(pictures(()), start=1):
        overlay = Image.open(tiny.bundle / "pictures" / f"scene-{number}.png")
        assert overlay.size == scene.image.size
        drawn = ImageChops.difference(overlay.convert("RGB"), scene.image).getbbox() is not None
        assert drawn == any((row["candidate_score"] or 0) > 0.5 for row in rows[scene.name])


def test_the_report_is_self_contained_and_consistent(tiny: Made) -> None:
    html = (tiny.bundle / "report.html").read_text()
    assert "<script src" not in html
    assert 'href="http' not in html.replace('href="https://github.com', "")
    for name in ("rewrites", "lint", "residency", "numerics", "fp16", "host", "detections", "restore_rank", "reduce_rank"):
        assert name in html
    report = json.loads((tiny.bundle / "report.json").read_text())
    assert report == tiny.outcome.json
    assert {r["graph"] for r in report["rewrites"]} >= {"detector", "graph_a", "graph_b", "graph_a.tflite", "graph_b.tflite"}
    assert [stage["name"] for stage in report["stages"]][:2] == ["start PyTorch", "load weights"]


def test_progress_goes_to_stderr_and_names_every_stage(tiny: Made) -> None:
    stages = (
        "start PyTorch",
        "load weights",
        "convert graph_a",
        "write bundle",
        "gate: rewrites",
        "gate: fp16",
        "gate: detections",
    )
    for stage in stages:
        assert stage in tiny.outcome.stderr
    # No terminal, so one line for each stage, however long; what a stage of more than five seconds does has lines of its own.
    marks = [line[0] for line in tiny.outcome.stderr.splitlines()]
    assert len([mark for mark in marks if mark != "…"]) == len(tiny.outcome.json["stages"]) and set(marks) <= {"✓", "…"}
    for noise in ("WARNING", "Warning", "I0000", "INFO", "TfLite", "XNNPACK"):
        assert noise not in tiny.outcome.stderr


def test_the_same_inputs_give_the_same_bytes(tiny: Made) -> None:
    """The bundle does not depend on the process, the hash seed, the folder or the gates."""
    arguments = ("--variant", "tiny", "--target", "pixel", "--zip", "--no-gpu", "--dataset-size", "20")
    made = converted(*arguments, out="again", env={"PYTHONHASHSEED": "2"})
    outcome = made.outcome
    for name in sorted(name for name in BUNDLE_FILES if "." in name):
        assert (made.bundle / name).read_bytes() == (tiny.bundle / name).read_bytes(), name
    assert made.bundle.with_name("again.zip").read_bytes() == (tiny.bundle.parent / "tiny.zip").read_bytes()
    # The same run without a GPU: a table, and one line with the gates that did not run.
    assert "residency" in outcome.stdout
    assert "not run" in outcome.stdout
    assert "again/report.html" in outcome.stdout
    assert outcome.stderr.splitlines()[-1] == "not verified: these gates did not run: residency, numerics, fp16, accuracy"
