"""``convert export``: the file, its record, and bad input."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from PIL import Image

from detr2litert.convert.models.checkpoints import load_checkpoint
from detr2litert.convert.models.variants import VARIANTS
from detr2litert.convert.onnx_export import export as export_module
from detr2litert.convert.onnx_export import request
from detr2litert.convert.proof.scenes import pictures
from tests.conversions import Made
from tests.convert.command import assert_refused, invoke, tree, verdicts
from tests.convert.onnx_export import edits
from tests.convert.onnx_export.edits import edited
from tests.convert.onnx_export.exports import NOTES, exported_tiny

TINY = ("export", "--variant", "tiny")
needs_the_export = pytest.mark.ci
"""It takes 25 s, once for all tests."""


@pytest.fixture(scope="module")
def made() -> Made:
    return exported_tiny()


@pytest.fixture
def written(made: Made, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Replaces the exporter, which takes seconds, by a copy of the file, with a fault planted if one is given."""

    def use(edit: edits.Edit | None = None) -> None:
        def write(_reference: object, _options: object, _names: object, _entries: object, destination: Path) -> None:
            shutil.copyfile(made.bundle, destination) if edit is None else edited(made.bundle, destination, edit)

        monkeypatch.setattr(export_module, "write_onnx", write)

    return use


@needs_the_export
def test_the_record(made: Made) -> None:
    record = made.outcome.json
    assert verdicts(record["gates"]) == {"structure": "passed", "parity": "passed", "detections": "passed"}
    assert record["file"] == "made/tiny.onnx" and record["bytes"] == made.bundle.stat().st_size
    assert record["batch"] is None and record["opset"] == 18
    assert record["outputs"] == {"dets": [40, 4], "labels": [40, 6]}
    stages = re.findall(r"^✓ (\S.*?) {2,}", made.outcome.stderr, re.MULTILINE)
    checks = ["gate: structure", "gate: parity", "gate: detections"]
    assert stages == ["start PyTorch", "load weights", "export to ONNX", "detect with PyTorch", *checks]


@needs_the_export
def test_the_metadata(made: Made) -> None:
    model = onnx.load(str(made.bundle))
    stored = {entry.key: entry.value for entry in model.metadata_props}
    assert stored == made.outcome.json["metadata"]
    assert stored["variant"] == "tiny"
    weights = VARIANTS["tiny"].default_weights
    assert weights is not None and stored["weights_sha256"] == load_checkpoint(weights).sha256
    assert json.loads(stored["notes"]) == NOTES
    assert json.loads(stored["resolution"]) == [160, 160]
    assert json.loads(stored["classes"]) == list(VARIANTS["tiny"].classes)
    preprocess = json.loads(stored["preprocess"])
    assert preprocess["mean"] == [0.485, 0.456, 0.406] and preprocess["channels"] == "RGB"


@needs_the_export
def test_nothing_of_this_machine_is_in_the_file(made: Made) -> None:
    data = made.bundle.read_bytes()
    assert b"stack_trace" not in data and b".py" not in data and str(Path.home()).encode() not in data
    assert b"site-packages" not in data


@needs_the_export
def test_a_program_without_pytorch_detects_with_it(made: Made) -> None:
    """By the metadata alone: the stated pre-processing, a sigmoid, and the boxes as stated."""
    session = onnxruntime.InferenceSession(str(made.bundle), providers=["CPUExecutionProvider"])
    stored = session.get_modelmeta().custom_metadata_map
    preprocess, classes = json.loads(stored["preprocess"]), json.loads(stored["classes"])
    image = pictures(())[0].image.resize((preprocess["width"], preprocess["height"]), Image.Resampling.BILINEAR)
    pixels = np.asarray(image, np.float32) * preprocess["scale"]
    tensor = ((pixels - preprocess["mean"]) / preprocess["std"]).transpose(2, 0, 1)[None].astype(np.float32)
    boxes, logits = session.run(["dets", "labels"], {"input": tensor})
    scores = 1 / (1 + np.exp(-logits[0]))
    found = {classes[column]: boxes[0, query] for query, column in np.argwhere(scores > 0.5)}
    assert set(found) == {"square", "cross"}
    # The README's square, [17, 46, 115, 144] in a picture of 320 × 320, as centre and size.
    np.testing.assert_allclose(found["square"], np.array([66, 95, 98, 98]) / 320, atol=0.02)


@pytest.mark.slow
def test_the_same_bytes_again(made: Made, place: Path) -> None:
    """In another process, with another seed of Python's hashes."""
    outcome = invoke(*TINY, "--dynamic-batch", "--notes", json.dumps(NOTES), "--out", "again.onnx", "--json")
    assert outcome.code == 0
    assert outcome.json["sha256"] == made.outcome.json["sha256"]


@needs_the_export
def test_the_default_place(place: Path, written: Any) -> None:
    written()
    outcome = invoke(*TINY, "--dynamic-batch", "--notes", json.dumps(NOTES))
    assert outcome.code == 0, outcome.stderr
    assert "file     exports/tiny.onnx" in outcome.stdout.splitlines()
    assert tree(place) == {"exports", "exports/tiny.onnx"}


@needs_the_export
def test_a_file_that_fails_is_kept_and_the_exit_code_is_1(place: Path, written: Any) -> None:
    written(edits.transpose_boxes)
    outcome = invoke(*TINY, "--dynamic-batch", "--notes", json.dumps(NOTES), "--out", "wrong.onnx", "--json")
    assert outcome.code == 1
    assert tree(place) == {"wrong.onnx"}
    assert verdicts(outcome.json["gates"]) == {"structure": "passed", "parity": "failed", "detections": "failed"}
    assert "batch 1 / dets" in outcome.json["gates"][1]["summary"]
    assert outcome.stderr.splitlines()[-1] == "wrong.onnx is not verified: do not use it"


@needs_the_export
def test_a_gate_that_did_not_run(place: Path, written: Any) -> None:
    written()
    empty = place.parent / "empty.png"
    Image.new("RGB", (32, 32)).save(empty)
    outcome = invoke(*TINY, "--dynamic-batch", "--notes", json.dumps(NOTES), "--image", empty, "--strict")
    assert outcome.code == 1 and "not verified: these gates did not run: detections" in outcome.stderr
    assert "the reference detects nothing above 0.5" in outcome.stdout


def test_bad_options_are_refused_before_pytorch_starts(place: Path) -> None:
    for arguments, words in (
        (("--opset", "17"), ("--opset 17", "18 to 23")),
        (("--opset", "99"), ("--opset 99", "18 to 23")),
        (("--opset", "new"), ("opset", "new")),
        (("--batch", "0"), ("--batch 0", "from 1 to 256")),
        (("--batch", "2", "--dynamic-batch"), ("--dynamic-batch", "one of the two")),
        (("--notes", "{spring"), ("--notes is not JSON",)),
        (("--format", "tensorflow"), ("tensorflow", "onnx")),
        (("--set", "queries=3"), ("queries",)),
        (("--variant", "tinny"), ("did you mean tiny",)),
    ):
        outcome = invoke(*TINY, *arguments)
        assert_refused(outcome, *words)
        assert "start PyTorch" not in outcome.stderr
    assert tree(place) == set()


def test_a_place_that_cannot_be_written(place: Path) -> None:
    (place / "folder").mkdir()
    (place / "taken.onnx").write_text("mine")
    for out, words in (
        ("folder", ("folder is a folder", "--out")),
        ("taken.onnx", ("taken.onnx exists", "choose another --out")),
        ("taken.onnx/inside.onnx", ("cannot write", "choose another --out")),
        (f"{'x' * 300}.onnx", ("cannot write", "name too long")),
    ):
        assert_refused(invoke(*TINY, "--out", out), *words)
    assert tree(place) == {"folder", "taken.onnx"} and (place / "taken.onnx").read_text() == "mine"


def test_an_exporter_that_fails_leaves_nothing(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    def fail(*_: object, **__: object) -> None:
        raise torch.onnx.OnnxExporterError("advice of several lines\nto a developer") from RuntimeError(
            "the batch is specialised to 2\nmore"
        )

    monkeypatch.setattr(torch.onnx, "export", fail)
    line = assert_refused(
        invoke(*TINY, "--dynamic-batch"), "tiny", "opset 18", "a dynamic batch", "specialised to 2", "--batch"
    )
    assert "advice" not in line
    assert tree(place) == set()


def test_without_the_extra_one_line_says_what_to_install(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(request, "find_spec", lambda name: None)
    outcome = invoke(*TINY)
    assert_refused(outcome, "onnx, onnxscript, onnxruntime", "pip install", ".[onnx]")
    assert "start PyTorch" not in outcome.stderr


@needs_the_export
def test_random_weights_are_marked(place: Path, monkeypatch: pytest.MonkeyPatch, written: Any) -> None:
    written()
    outcome = invoke(*TINY, "--weights", "random", "--dynamic-batch")
    assert outcome.code == 1, "the file is of other weights"
    assert "weights  RANDOM" in outcome.stdout
