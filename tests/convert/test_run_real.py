"""Real cases: fine-tuned checkpoints as rfdetr writes them, and every published size."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch

from detr2litert.convert.models.variants import VARIANTS
from detr2litert.verify.delegate.adapters import Driver
from tests.conversions import Made, converted
from tests.convert.command import DEMO_PASSED, FEWER_SCENES, Outcome, assert_refused, environment, gate_of, invoke, verdicts
from tests.convert.rfdetr_checkpoints import make_rfdetr_checkpoint

CLASSES = ["forklift", "pallet", "hard hat"]


def run_measured(*arguments: object, cwd: Path) -> tuple[Outcome, float, float]:
    """Runs the command in a separate process; returns also its wall time in seconds and its peak resident set in GB."""
    start = time.perf_counter()
    with (cwd / "out.txt").open("w+") as out, (cwd / "err.txt").open("w+") as err:
        command = [sys.executable, "-m", "detr2litert", *map(str, arguments)]
        process = subprocess.Popen(command, cwd=cwd, env=environment(), stdin=subprocess.DEVNULL, stdout=out, stderr=err)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        out.seek(0)
        err.seek(0)
        outcome = Outcome(process.returncode, out.read(), err.read())
    return outcome, time.perf_counter() - start, usage.ru_maxrss * 1024 / 1e9


def report_of(bundle: Path) -> dict[str, Any]:
    report: dict[str, Any] = json.loads((bundle / "report.json").read_text())
    return report


def assert_lint_residency_and_numerics_passed(bundle: Path, *, native: bool) -> None:
    """Checks that lint, residency and numerics passed, with each graph on the delegate in one partition.

    Args:
        bundle: converted.
        native: whether it must have both graphs in their native form too.
    """
    report = report_of(bundle)
    message = verdicts(report["gates"])
    assert [message[gate] for gate in ("lint", "residency", "numerics")] == ["passed"] * 3
    assert message["detections"] != "failed"
    graphs = gate_of(report, "residency")["data"]["graphs"]
    assert {name: (graph["partitions"], graph["non_cpu_fully_accelerated"]) for name, graph in graphs.items()} == {
        f"graph_{letter}{form}": (1, True) for form in ("", ".native")[: 1 + native] for letter in "ab"
    }


@pytest.mark.ci
def test_a_fine_tuned_checkpoint_alone_is_enough(driver: Driver, tmp_path: Path) -> None:
    """The variant, the class names and the width of the class head are all read from the file."""
    make_rfdetr_checkpoint(VARIANTS["tiny"], CLASSES, tmp_path / "best.pth")
    files = {"best.pth": tmp_path / "best.pth"}
    made = converted("--weights", "best.pth", "--target", "pixel", "--no-fp16", "--no-native", out=None, files=files)
    bundle = made.cwd / "bundles" / "tiny-pixel"
    assert "bundles/tiny-pixel/report.html" in made.outcome.stdout
    assert_lint_residency_and_numerics_passed(bundle, native=False)
    manifest = json.loads((bundle / "manifest.json").read_text())
    assert manifest["classes"] == [*CLASSES, None]
    assert manifest["postprocess"]["ignored_classes"] == [3]
    assert manifest["weights"]["source"] == "best.pth"
    assert manifest["weights"]["random"] is False
    assert manifest["variant"] == "tiny"
    assert (bundle / "labels.txt").read_text() == "forklift\npallet\nhard hat\n\n"


def test_random_weights_only_on_explicit_request(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without `--weights random`, a variant uses its published weights and never random ones."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "cache"))
    assert_refused(invoke("run", "--variant", "nano", "--target", "pixel"), "Roboflow/rf-detr-nano")
    assert_refused(invoke("run", "--variant", "nano", "--target", "pixel", "--weights", "Random"), "no weights at Random")


def test_random_weights_are_marked_everywhere(random_tiny: Made) -> None:
    manifest = json.loads((random_tiny.bundle / "manifest.json").read_text())
    assert manifest["weights"]["random"] is True
    assert manifest["weights"]["source"] == "random, seed 7"
    assert report_of(random_tiny.bundle)["weights"]["random"] is True
    assert "random" in (random_tiny.bundle / "report.html").read_text().lower()
    assert "RANDOM" in random_tiny.outcome.stdout


@pytest.mark.slow
def test_nano_with_random_weights(driver: Driver, tmp_path: Path) -> None:
    """The acceptance case: a published size, all gates that random weights allow, on the real delegate."""
    outcome, seconds, gigabytes = run_measured(
        *("run", "--variant", "nano", "--target", "pixel", "--weights", "random", "--out", "nano"), cwd=tmp_path
    )
    assert outcome.code == 0, outcome.stderr
    assert_lint_residency_and_numerics_passed(tmp_path / "nano", native=True)
    assert gigabytes < 4
    manifest = json.loads((tmp_path / "nano" / "manifest.json").read_text())
    assert len(manifest["classes"]) == 91
    assert manifest["classes"][1] == "person"
    print(f"nano: {seconds:.0f} s, {gigabytes:.1f} GB")


@pytest.mark.slow
@pytest.mark.parametrize("name", ["nano", "small", "medium", "base", "large"])
def test_a_fine_tuned_checkpoint_of_every_published_size(
    driver: Driver, tmp_path: Path, name: str, record_property: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    make_rfdetr_checkpoint(VARIANTS[name], CLASSES, tmp_path / f"{name}.pth")
    outcome, seconds, gigabytes = run_measured(
        *("run", "--weights", f"{name}.pth", "--target", "pixel", "--out", name), cwd=tmp_path
    )
    record_property("seconds", round(seconds, 1))
    record_property("peak_gigabytes", round(gigabytes, 2))
    with capsys.disabled():
        print(f"\n{name}: {seconds:.0f} s, {gigabytes:.1f} GB at the peak")
    assert outcome.code == 0, outcome.stderr
    assert_lint_residency_and_numerics_passed(tmp_path / name, native=True)
    manifest = json.loads((tmp_path / name / "manifest.json").read_text())
    assert manifest["variant"] == name
    assert manifest["classes"] == [*CLASSES, None]
    assert manifest["graphs"]["b"]["outputs"][1]["shape"] == [1, 300, 4]


@pytest.mark.parametrize("form", ["lightning", "dict"])
def test_other_forms_of_a_checkpoint_lead_to_the_same_weights(tmp_path: Path, form: Any) -> None:
    """Loading alone; later stages do not depend on the form."""
    from detr2litert.convert.models.reference import load_reference

    made = [make_rfdetr_checkpoint(VARIANTS["tiny"], CLASSES, tmp_path / f"{f}.pth", f) for f in ("namespace", form)]
    references = [load_reference(None, str(path), None)[0] for path in made]
    assert references[0].sha256 == references[1].sha256
    with torch.no_grad():
        outputs = [reference.module(references[0].example_input()) for reference in references]
    assert torch.equal(outputs[0][1], outputs[1][1])


@pytest.mark.ci
def test_all_four_gates_pass_at_another_resolution_and_on_the_users_pictures(driver: Driver, tmp_path: Path) -> None:
    from detr2litert.convert.demo.scenes import HELD_OUT_START, render

    photos = {f"photo {i}.jpg": tmp_path / f"photo {i}.jpg" for i in range(2)}
    for i, path in enumerate(photos.values()):
        render(HELD_OUT_START + 50 + i, 240).image.save(path, quality=95)
    made = converted(
        *("--variant", "tiny", "--target", "pixel", "--resolution", "200", "--json"),
        *(
            "--image",
            "photo 0.jpg",
            "--image",
            "photo 1.jpg",
            "--resize",
            "bilinear_antialias",
            "--threshold",
            "0.4",
            "--no-native",
            *FEWER_SCENES,
        ),
        out="b",
        files=photos,
    )
    outcome = made.outcome
    assert verdicts(outcome.json["gates"]) == DEMO_PASSED
    assert set(gate_of(outcome.json, "detections")["data"]["scenes"]) == {"photo 0.jpg", "photo 1.jpg"}
    preprocess = json.loads((made.bundle / "manifest.json").read_text())["preprocess"]
    assert (preprocess["height"], preprocess["width"], preprocess["resize"]) == (200, 200, "bilinear_antialias")
