"""``convert verify`` passes on a valid bundle, and finds each kind of invalid one."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from detr2litert.convert.commands import verify
from detr2litert.convert.models.variants import VARIANTS
from detr2litert.convert.proof import prove, registry
from detr2litert.host_runtime.errors import UserError
from detr2litert.host_runtime.manifest import SCHEMA_VERSION, TensorSpec, Weights
from detr2litert.verify.delegate.adapters import Driver
from tests.conversions import Made
from tests.convert.command import ALL_PASSED, assert_refused, invoke, rehash, tree, verdicts
from tests.convert.rfdetr_checkpoints import make_rfdetr_checkpoint
from tests.host_runtime import tiny_bundle

GOLDEN = "golden/golden.safetensors"


@pytest.fixture
def copy(tiny: Made, tmp_path: Path) -> Path:
    """A copy of the bundle, to tamper with."""
    return Path(shutil.copytree(tiny.bundle, tmp_path / "copy"))


@pytest.fixture
def gates(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Leaves out all gates but those that a test is about: others take most of the time."""

    def only(*names: str) -> None:
        monkeypatch.setattr(prove, "GATES", tuple(gate for gate in registry.GATES if gate.id in names))

    return only


def manifest_with(bundle: Path, **changed: Any) -> None:
    path = bundle / "manifest.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changed}))


def test_a_good_bundle_passes_every_gate(copy: Path, tmp_path: Path) -> None:
    before = tree(copy)
    outcome = invoke("verify", copy, "--json", "--report", tmp_path / "new" / "report")
    assert outcome.code == 0, outcome.stderr
    assert verdicts(outcome.json) == ALL_PASSED | {"golden": "passed"}
    assert "gate: golden" in outcome.stderr
    assert tree(copy) == before
    report = json.loads((tmp_path / "new" / "report" / "report.json").read_text())
    assert report["verdict"] == "passed"
    assert (tmp_path / "new" / "report" / "report.html").exists()


def test_a_zip_is_a_bundle_too(tiny: Made, gates: Callable[..., None]) -> None:
    gates("residency", "golden")
    outcome = invoke("verify", tiny.bundle.parent / "tiny.zip", "--no-gpu")
    assert outcome.code == 0, outcome.stderr
    assert "golden" in outcome.stdout
    assert "not verified: these gates did not run: residency" in outcome.stderr


def test_a_changed_graph_is_refused(copy: Path) -> None:
    data = bytearray((copy / "graph_a.tflite").read_bytes())
    data[len(data) // 2] ^= 1
    (copy / "graph_a.tflite").write_bytes(data)
    assert_refused(invoke("verify", copy), "graph_a.tflite", "sha256")


def test_missing_and_truncated_graphs_are_refused(copy: Path) -> None:
    data = (copy / "graph_b.tflite").read_bytes()
    (copy / "graph_b.tflite").write_bytes(data[:-1])
    assert_refused(invoke("verify", copy), "graph_b.tflite", "cut short")
    (copy / "graph_b.tflite").unlink()
    assert_refused(invoke("verify", copy), "graph_b.tflite", "missing")


@pytest.mark.parametrize(("protection", "all_of_them"), [("all", True), ("none", False)])
def test_the_bundles_own_protection_is_compiled(
    copy: Path, tmp_path: Path, gates: Callable[..., None], protection: str, all_of_them: bool
) -> None:
    """Not the target's: the records and places of a report are those of the shipped graphs."""
    gates("lint")
    manifest_with(copy, protection=protection)
    invoke("verify", copy, "--no-gpu", "--report", tmp_path / "report")
    report = json.loads((tmp_path / "report" / "report.json").read_text())
    norms = sum("layer_norm" in entry["op"] for entry in report["ranges"])
    protected = sum(step["fired"] for step in report["rewrites"] if step["name"] == "protect_layer_norm")
    assert norms > 10 and protected == (norms if all_of_them else 0)


def test_a_path_that_escapes_is_refused(copy: Path) -> None:
    files = json.loads((copy / "manifest.json").read_text())["files"]
    manifest_with(copy, files={**files, "../outside.txt": {"sha256": "0" * 64, "bytes": 1}})
    assert_refused(invoke("verify", copy), "../outside.txt")


def test_a_newer_schema_is_refused(copy: Path) -> None:
    manifest_with(copy, schema_version=SCHEMA_VERSION + 1)
    assert_refused(invoke("verify", copy), f"schema version {SCHEMA_VERSION + 1}", "upgrade")


def test_stale_golden_vectors_fail_their_gate(copy: Path, gates: Callable[..., None]) -> None:
    """Their hash is right, so only recomputing them shows it."""
    gates("golden", "detections")
    tensors = load_file(copy / GOLDEN)
    save_file({**tensors, "boxes": tensors["boxes"] + np.float32(0.01)}, copy / GOLDEN)
    rehash(copy, GOLDEN)
    outcome = invoke("verify", copy, "--no-gpu", "--json")
    assert outcome.code == 1
    golden = next(gate for gate in outcome.json if gate["gate"] == "golden")
    assert golden["verdict"] == "failed"
    assert "boxes" in golden["summary"]
    assert "stale" in golden["advice"]
    assert verdicts(outcome.json)["detections"] == "passed"


@pytest.mark.parametrize("damage", ["missing tensor", "not a number", "detections"])
def test_golden_vectors_without_tensors_fail(copy: Path, gates: Callable[..., None], damage: str) -> None:
    gates("golden")
    tensors = load_file(copy / GOLDEN)
    if damage == "missing tensor":
        del tensors["memory"]
    elif damage == "not a number":
        tensors["memory"][0, 0, 0] = np.nan
    else:
        path = copy / "golden" / "detections.json"
        detections = json.loads(path.read_text())
        detections["detections"][0]["class_index"] = (detections["detections"][0]["class_index"] + 1) % 6
        path.write_text(json.dumps(detections))
    save_file(tensors, copy / GOLDEN)
    rehash(copy, GOLDEN, "golden/detections.json")
    outcome = invoke("verify", copy, "--no-gpu", "--json")
    assert outcome.code == 1
    assert verdicts(outcome.json)["golden"] == "failed"


def test_a_host_program_that_does_not_fit_the_graphs_is_refused(copy: Path) -> None:
    manifest = json.loads((copy / "manifest.json").read_text())
    next(op for op in manifest["host_step"]["ops"] if op["op"] == "topk")["attributes"]["k"] = 100_000
    manifest_with(copy, host_step=manifest["host_step"])
    assert_refused(invoke("verify", copy), "host step op 1 'topk'", "the 100000 largest of 256", "make the bundle again")


def test_a_graph_of_another_checkpoint_fails_numerics(
    copy: Path, tmp_path: Path, random_tiny: Made, gates: Callable[..., None]
) -> None:
    gates("numerics", "detections")
    shutil.copy(random_tiny.bundle / "graph_b.tflite", copy / "graph_b.tflite")
    rehash(copy, "graph_b.tflite")
    outcome = invoke("verify", copy, "--no-gpu", "--report", tmp_path / "report")
    assert outcome.code == 1
    assert "✗ gate: numerics" in outcome.stderr and "graph_b" in outcome.stdout
    judged = json.loads((tmp_path / "report" / "report.json").read_text())["gates"]
    numerics = next(gate for gate in judged if gate["gate"] == "numerics")
    assert numerics["verdict"] == "failed"
    assert numerics["findings"]
    assert all("graph_b" in found["place"] for found in numerics["findings"])
    assert {m["subject"].split(" / ")[0] for m in numerics["measurements"] if not m["passed"]} == {"graph_b"}
    assert verdicts(judged)["detections"] == "failed"


def test_other_weights_are_refused(tiny: Made, tmp_path: Path) -> None:
    other = make_rfdetr_checkpoint(VARIANTS["tiny"], ["a", "b", "c"], tmp_path / "other.pth")
    line = assert_refused(invoke("verify", tiny.bundle, "--weights", other), "other.pth", "made from tiny", "--weights")
    assert line.count("sha256") == 2


def test_random_weights_are_rebuilt_from_their_seed(random_tiny: Made, gates: Callable[..., None]) -> None:
    gates("host", "golden")
    outcome = invoke("verify", random_tiny.bundle, "--no-gpu", "--json")
    assert outcome.code == 0, outcome.stderr
    assert verdicts(outcome.json)["golden"] == "passed"


def test_an_invalid_manifest_is_refused(copy: Path) -> None:
    weights = json.loads((copy / "manifest.json").read_text())["weights"]
    manifest_with(copy, weights={**weights, "source": "shapes.pth"})
    assert_refused(invoke("verify", copy), "made from shapes.pth", "--weights")
    manifest_with(copy, weights={**weights, "source": "random, seed many", "random": True})
    assert_refused(invoke("verify", copy), "random, seed many", "--weights")
    manifest_with(copy, weights=weights, variant="giant")
    assert_refused(invoke("verify", copy), "giant")
    manifest_with(copy, variant="tiny", target="toaster")
    assert_refused(invoke("verify", copy), "toaster")


_ODD = '{"width": 1, "height": 1, "detections": [{"class_index": %s, "name": "x", "score": %s, "box": [1, 2, 3, 4]}]}'


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"golden/detections.json": (_ODD % ("1e400", "0.5")).encode()}, "[0].class_index is not a finite number"),
        ({"golden/detections.json": (_ODD % ("1", "1" + "0" * 400)).encode()}, "[0].score is not a finite number"),
        ({"golden/detections.json": b"[" * 200_000}, "nested deeper than 32"),
        ({"golden/golden.safetensors": b"nothing"}, "is not a safetensors file"),
    ],
    ids=["index", "score", "deep", "tensors"],
)
def test_golden_vectors_are_read_before_the_minutes_of_the_gates(
    changed: dict[str, bytes], words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(verify, "_reference", lambda *_: pytest.fail("went on"))
    tiny_bundle.write_bundle(tmp_path / "b", changed)
    assert_refused(invoke("verify", tmp_path / "b"), *changed, words, "make the bundle again")


def test_a_seed_of_many_digits_is_refused(tmp_path: Path) -> None:
    weights = Weights(f"random, seed {'9' * 900}", "0" * 64, random=True)
    tiny_bundle.write_bundle(tmp_path / "b", variant="tiny", weights=weights)
    line = assert_refused(invoke("verify", tmp_path / "b"), "made from random, seed 999", "9…; give its path with", "--weights")
    assert len(line) < 400


@pytest.mark.parametrize(
    ("odd", "words"),
    [
        (TensorSpec("mem", (1, 16, 3)), "graph_a's output 'mem' is [1, 16, 3] in the bundle and absent here"),
        (TensorSpec("memory", (1, 9, 3)), "graph_a's output 'memory' is [1, 9, 3] in the bundle and [1, 16, 3] here"),
    ],
    ids=["name", "shape"],
)
def test_graphs_with_another_interface_are_of_another_version(odd: TensorSpec, words: str) -> None:
    ours = tiny_bundle.manifest().graphs
    parts: Any = {
        name: SimpleNamespace(input_names=[t.name for t in spec.inputs], output_names=[t.name for t in spec.outputs])
        for name, spec in ours.by_name.items()
    }
    tensors = (t for spec in ours.by_name.values() for t in (*spec.inputs, *spec.outputs))
    values = {t.name: np.zeros(t.shape, np.float32) for t in tensors}
    verify.check_interfaces(ours, parts, values)
    theirs = replace(ours, a=replace(ours.a, outputs=(ours.a.outputs[0], odd)))
    with pytest.raises(UserError) as refused:
        verify.check_interfaces(theirs, parts, values)
    for message in ("made by another version", words, "make the bundle again"):
        assert message in str(refused.value)


def test_a_report_that_cannot_be_written(copy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is refused before the minutes of the gates."""
    monkeypatch.setattr(prove, "prove", lambda *_: pytest.fail("the gates ran"))
    (tmp_path / "file").touch()
    assert_refused(invoke("verify", copy, "--no-gpu", "--report", tmp_path / "file" / "r"), "cannot write", "--report")


def test_detections_of_the_users_own_are_compared(copy: Path, tmp_path: Path, gates: Callable[..., None]) -> None:
    """The bundle's own, as a user's code would write them; then with every class shifted by one."""
    gates("expected")
    golden = json.loads((copy / "golden" / "detections.json").read_text())
    shutil.copyfile(copy / "golden" / "image.png", tmp_path / "scene.png")
    rows = []
    for found in golden["detections"]:
        left, top, right, bottom = found["box"]
        row = {"image_id": "scene.png", "category_id": found["class_index"], "score": found["score"]}
        rows.append({**row, "bbox": [left, top, right - left, bottom - top]})
    file = tmp_path / "expected.json"
    file.write_text(json.dumps(rows))
    arguments = ("verify", copy, "--image", tmp_path / "scene.png", "--expected", file, "--no-gpu")
    outcome = invoke(*arguments, "--json")
    assert outcome.code == 0, outcome.stderr
    assert (outcome.json[0]["gate"], outcome.json[0]["verdict"]) == ("expected", "passed")
    file.write_text(json.dumps([{**row, "category_id": row["category_id"] - 1} for row in rows]))
    outcome = invoke(*arguments)
    assert outcome.code == 1
    assert "classes are shifted by +1" in outcome.stderr and "not compared with anything" not in outcome.stdout
    file.write_text("[{}]")
    assert_refused(invoke(*arguments), "expected.json", "detection 0")


def test_a_data_set_of_the_users_own_is_evaluated(copy: Path, tmp_path: Path, gates: Callable[..., None]) -> None:
    gates("accuracy")
    assert_refused(invoke("verify", copy, "--dataset", tmp_path), "no annotations there")
    outcome = invoke("verify", copy, "--dataset", "demo", "--dataset-size", "8", "--dataset-ap", "0.2", "--no-gpu", "--json")
    (gate,) = [gate for gate in outcome.json if gate["gate"] == "accuracy"]
    assert gate["verdict"] == "not run" and "fp16 not run" in gate["summary"]
    assert [row["pictures"] for row in gate["data"]["average_precision"]] == [8, 8, 0]


@pytest.mark.gpu
def test_as_many_pictures_in_fp16_as_are_asked_for(copy: Path, gates: Callable[..., None], fp16_driver: Driver) -> None:
    gates("accuracy")
    sizes = ("--dataset-size", "12", "--dataset-fp16", "10")
    outcome = invoke("verify", copy, "--dataset", "demo", *sizes, "--json")
    (gate,) = outcome.json
    assert gate["verdict"] == "passed", gate["summary"]
    # More than a GPU in software computes by default.
    assert [row["pictures"] for row in gate["data"]["average_precision"]] == [12, 12, 10]
