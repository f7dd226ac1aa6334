"""The smaller commands, called as by a user and by a script."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest
from PIL import Image

from detr2litert.convert.models.variants import VARIANTS
from detr2litert.convert.proof.scenes import pictures
from detr2litert.convert.targets import TARGETS
from detr2litert.rewrites import pipeline
from detr2litert.rewrites.flatbuffer.pipeline import FIX_UPS
from tests.conversions import Made
from tests.convert.command import assert_refused, environment, invoke, spawn, tree, verdicts
from tests.host_runtime.tiny_bundle import write_bundle


def test_help_is_fast_and_imports_no_torch(tmp_path: Path) -> None:
    code = "import sys; sys.argv = ['convert', '--help']\nfrom detr2litert.convert.cli.main import main\ntry: main()\n"
    code += "except SystemExit: print([m for m in ('torch', 'transformers', 'litert_torch') if m in sys.modules])"
    start = time.perf_counter()
    done = subprocess.run([sys.executable, "-c", code], env=environment(), cwd=tmp_path, capture_output=True, text=True)
    assert time.perf_counter() - start < 5  # 0.2 s on an idle machine
    assert done.stdout.splitlines()[-1] == "[]"
    for command in ("run", "check", "verify", "detect", "variants", "targets", "rewrites", "probe", "doctor"):
        assert f"\n  {command} " in done.stdout
    assert "..." not in done.stdout.split("Commands:")[1]


@pytest.mark.parametrize("command", ["run", "check", "verify", "detect", "variants", "targets", "rewrites", "probe", "doctor"])
def test_every_command_and_option_has_help(command: str) -> None:
    outcome = invoke(command, "--help")
    assert outcome.code == 0
    options = [line for line in outcome.stdout.splitlines() if line.startswith("  -")]
    assert options
    for line in options:
        message = len(line.split("  ", 2)[-1].split()) > 1
        assert message or outcome.stdout.split(line)[1].startswith("\n                "), line


def test_the_program_is_called_what_the_user_typed(tmp_path: Path) -> None:
    assert spawn("--help", cwd=tmp_path).stdout.startswith("Usage: python -m detr2litert [OPTIONS]")
    for name in ("convert", "detr2litert"):
        code = f"import sys; sys.argv = ['/usr/bin/{name}', '--help']\nfrom detr2litert.convert.cli.main import main\nmain()"
        done = subprocess.run([sys.executable, "-c", code], env=environment(), cwd=tmp_path, capture_output=True, text=True)
        assert done.stdout.startswith(f"Usage: {name} [OPTIONS]")


def test_version() -> None:
    assert "0.1" in invoke("--version").stdout


def test_variants() -> None:
    rows = invoke("variants", "--json").json
    assert [row["name"] for row in rows] == list(VARIANTS)
    assert next(row for row in rows if row["name"] == "nano")["resolution"] == 384
    text = invoke("variants").stdout
    assert all(name in text for name in VARIANTS)


def test_targets() -> None:
    rows = invoke("targets", "--json").json
    assert [row["name"] for row in rows] == list(TARGETS)
    assert all(row["reason"] for row in rows)
    assert all(name in invoke("targets").stdout for name in TARGETS)


def test_rewrites_describes_each_rewrite() -> None:
    entries = invoke("rewrites", "--json").json
    steps = (*pipeline.NORMALISE, *pipeline.IN_EACH_GRAPH, *FIX_UPS)
    assert [entry["name"] for entry in entries] == [step.name for step in steps]
    for entry in entries:
        assert entry["reason"]
        assert "Hazard" in entry["document"], entry["name"]
        assert "Given" in entry["document"], entry["name"]
    text = invoke("rewrites", "restore_rank").stdout
    assert text.startswith("restore_rank\n")
    assert "FULLY_CONNECTED -> [40, 96]\n" in text
    assert all(len(line) <= 100 for line in text.splitlines())
    assert [entry["name"] for entry in invoke("rewrites", "fold_sampling", "--json").json] == ["fold_sampling"]
    assert_refused(invoke("rewrites", "fold_samplings"), "fold_samplings", "did you mean fold_sampling")


def test_doctor() -> None:
    diagnosis = invoke("doctor", "--json").json
    assert diagnosis["gpu_gates_run"] is True
    assert diagnosis["versions"]["torch"].startswith("2.13")
    assert "Vulkan adapter" in invoke("doctor").stdout


def test_check_a_bundle_and_a_file(tiny: Made) -> None:
    outcome = invoke("check", tiny.bundle, "--json")
    assert outcome.code == 0
    assert verdicts(outcome.json) == {"lint": "passed", "residency": "passed", "numbers": "passed"}
    assert set(outcome.json[0]["data"]["op_counts"]) == {"graph_a", "graph_b", "graph_a.native", "graph_b.native"}
    outcome = invoke("check", tiny.bundle / "graph_b.tflite", "--json")
    assert outcome.code == 0
    assert verdicts(outcome.json) == {"lint": "passed", "residency": "passed", "numbers": "passed"}
    assert set(outcome.json[0]["data"]["op_counts"]) == {"graph_b"}


def test_check_without_the_gpu_reports_it(tiny: Made) -> None:
    outcome = invoke("check", tiny.bundle, "--no-gpu", "--target", "pixel")
    assert outcome.code == 0
    assert "the GPU was left out" in outcome.stdout
    assert outcome.stderr == "not verified: these gates did not run: residency\n"
    assert invoke("check", tiny.bundle, "--no-gpu", "--strict").code == 1


def test_check_fails_on_a_graph_the_delegate_refuses(tmp_path: Path) -> None:
    """GATHER_ND is reported, at least by the lint, with its name and a suggested fix."""
    from detr2litert.host_runtime.tflite.writer import ModelWriter

    model = ModelWriter()
    model.input("x", [1, 8, 4])
    model.op("RELU_0_TO_1", ["x"], {"y": [1, 8, 4]})
    path = model.write(tmp_path / "refused.tflite", ["y"])
    outcome = invoke("check", path)
    assert outcome.code == 1
    assert "RELU_0_TO_1" in outcome.stdout
    assert verdicts(invoke("check", path, "--json").json) == {"lint": "failed", "residency": "failed", "numbers": "not run"}


def test_check_refuses_a_file_that_is_not_a_model(tiny: Made, tmp_path: Path) -> None:
    (tmp_path / "cut.tflite").write_bytes((tiny.bundle / "graph_b.tflite").read_bytes()[:5000])
    (tmp_path / "empty.tflite").touch()
    (tmp_path / "notes.txt").write_text("hello")
    for name in ("cut.tflite", "empty.tflite", "missing.tflite", "notes.txt", "missing"):
        assert_refused(invoke("check", tmp_path / name), name)
    assert_refused(invoke("check", tiny.bundle / "graph_b.tflite", "--target", "pixle"), "did you mean pixel")


def test_detect_prints_json_and_saves_overlays(tiny: Made, tmp_path: Path) -> None:
    scene = pictures(())[1].image
    (tmp_path / "one").mkdir()
    (tmp_path / "two").mkdir()
    scene.save(tmp_path / "one" / "scene.png")
    scene.save(tmp_path / "two" / "scene.png")
    images = [tmp_path / "one" / "scene.png", tmp_path / "two" / "scene.png"]
    outcome = spawn("detect", tiny.bundle, *images, "--save", tmp_path / "seen" / "here", cwd=tmp_path)
    assert outcome.code == 0
    assert outcome.stderr == ""
    first, second = outcome.json
    assert first["image"] == str(images[0])
    assert first["detections"] == second["detections"] != []
    assert first["detections"][0].keys() == {"class_index", "name", "score", "box"}
    assert tree(tmp_path / "seen") == {"here", "here/scene.detections.png", "here/scene-2.detections.png"}
    overlay = Image.open(first["overlay"])
    assert overlay.size == scene.size
    assert overlay.tobytes() != scene.tobytes()


def test_detect_threshold_and_nms(tmp_path: Path) -> None:
    """The bundle of host_runtime's tests detects a red cell twice, so NMS removes one."""
    write_bundle(tmp_path / "cells")
    Image.new("RGB", (8, 8), "red").save(tmp_path / "red.png")
    everything = invoke("detect", tmp_path / "cells", tmp_path / "red.png").json[0]["detections"]
    assert len(everything) == 4
    assert invoke("detect", tmp_path / "cells", tmp_path / "red.png", "--threshold", "1").json[0]["detections"] == []
    assert len(invoke("detect", tmp_path / "cells", tmp_path / "red.png", "--nms", "0.5").json[0]["detections"]) == 4


def test_detect_with_nms_on_the_demo_detector(tiny: Made, tmp_path: Path) -> None:
    pictures(())[1].image.save(tmp_path / "scene.png")
    loose = ("detect", tiny.bundle, tmp_path / "scene.png", "--threshold", "0.02")
    plain, suppressed = invoke(*loose).json[0]["detections"], invoke(*loose, "--nms", "0.3").json[0]["detections"]
    assert 0 < len(suppressed) < len(plain)
    assert all(item in plain for item in suppressed)


def test_detect_needs_no_torch(tmp_path: Path) -> None:
    write_bundle(tmp_path / "cells")
    Image.new("RGB", (8, 8), "red").save(tmp_path / "red.png")
    code = "import sys; sys.modules['torch'] = None; sys.argv = ['convert', 'detect', 'cells', 'red.png']\n"
    code += "from detr2litert.convert.cli.main import main\nmain()"
    done = subprocess.run([sys.executable, "-c", code], env=environment(), cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)[0]["detections"][0]["name"] == "red"


def test_detect_refuses(tiny: Made, tmp_path: Path) -> None:
    Image.new("RGB", (8, 8), "red").save(tmp_path / "red.png")
    (tmp_path / "file").touch()
    assert_refused(invoke("detect", tmp_path / "nothing", tmp_path / "red.png"), "no bundle at")
    assert_refused(invoke("detect", tmp_path, tmp_path / "red.png"), "manifest.json")
    assert_refused(invoke("detect", tiny.bundle, tmp_path / "none.png"), "none.png")
    refused = invoke("detect", tiny.bundle, tmp_path / "red.png", "--save", tmp_path / "file" / "below")
    assert_refused(refused, "cannot write", "--save")
