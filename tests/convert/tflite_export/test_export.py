"""``convert export --format tflite --backbone-only``: the file, its record and gates, and bad input."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from ai_edge_litert.interpreter import Interpreter

from detr2litert.convert.models.backbone import maps_inside
from detr2litert.convert.models.reference import build_reference, load_reference
from detr2litert.convert.models.variants import VARIANTS
from detr2litert.convert.notes import METADATA as NOTES
from detr2litert.convert.progress import Progress
from detr2litert.convert.proof.scenes import pictures
from detr2litert.convert.targets import find_target
from detr2litert.convert.tflite_export import export as export_module
from detr2litert.convert.tflite_export.export import export_backbone
from detr2litert.convert.tflite_export.metadata import METADATA
from detr2litert.convert.tflite_export.request import BackboneOptions
from detr2litert.host_runtime.tflite.container import parse_model, text
from detr2litert.verify.delegate.adapters import Driver
from detr2litert.verify.gates import Verdict
from tests.conversions import Made, converted
from tests.convert.command import assert_refused, invoke, tree, verdicts
from tests.convert.shrunken import shrunken

TINY = ("export", "--format", "tflite", "--backbone-only", "--variant", "tiny", "--target", "pixel")
PASSED = dict.fromkeys(("lint", "residency", "numerics", "fp16"), "passed")


@pytest.fixture(scope="module")
def made(driver: Driver) -> Made:
    return converted(*TINY[1:], "--notes", '{"run": 7}', "--json", out="made/tiny.tflite", command="export")


def stored(file: Path) -> dict[str, Any]:
    """The JSON values in a file's metadata by name."""
    model = parse_model(file.read_bytes())
    entries = {text(entry.name): bytes(model.buffers[entry.buffer].data) for entry in model.metadata}
    return {name: json.loads(data) for name, data in entries.items() if name in (METADATA, NOTES)}


@pytest.mark.ci
def test_every_gate_passes_and_the_record_describes_the_file(made: Made) -> None:
    record = made.outcome.json
    assert verdicts(record["gates"]) == PASSED
    assert record["bytes"] == made.bundle.stat().st_size and record["variant"] == "tiny"
    assert record["outputs"] == {"features": [1, 96, 16, 16]}
    assert stored(made.bundle) == {METADATA: record["metadata"], NOTES: {"run": 7}}
    assert record["metadata"]["preprocess"]["mean"] == [0.485, 0.456, 0.406]
    assert str(made.cwd) not in made.bundle.read_bytes().decode("latin-1")


@pytest.mark.ci
def test_a_program_of_its_own_gets_the_detectors_feature_map(made: Made) -> None:
    reference, _ = load_reference(VARIANTS["tiny"], None)
    image = reference.example_input(seed=3)
    (expected,) = maps_inside(reference.module, image)
    interpreter = Interpreter(str(made.bundle))
    found = interpreter.get_signature_runner("serving_default")(input=image.numpy())["features"]
    assert np.corrcoef(found.ravel(), expected.numpy().ravel())[0, 1] > 0.9999


@pytest.mark.ci
def test_a_file_with_other_values_fails(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def other(module: torch.nn.Module, image: torch.Tensor) -> tuple[torch.Tensor, ...]:
        return tuple(value.flip(-1) for value in maps_inside(module, image))

    monkeypatch.setattr(export_module, "maps_inside", other)
    monkeypatch.chdir(tmp_path)
    outcome = invoke(*TINY, "--no-gpu", "--json")
    assert outcome.code == 1 and verdicts(outcome.json["gates"])["numerics"] == "failed"
    assert "not verified: do not use it" in outcome.stderr and tree(tmp_path / "exports") == {"tiny.tflite"}


def test_bad_options_are_refused_before_pytorch_starts(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    whole = [word for word in TINY if word != "--backbone-only"]
    for arguments, words in (
        (whole, ("--backbone-only", "detr2litert run")),
        (TINY[:-2], ("--target", "convert targets")),
        ((*TINY[:-1], "pixle"), ("unknown target 'pixle'", "pixel")),
        ((*TINY, "--dynamic-batch"), ("--dynamic-batch does not apply to --format tflite",)),
        ((*TINY, "--batch", "2"), ("--batch does not apply",)),
        ((*TINY, "--notes", "{"), ("--notes is no file and not JSON",)),
        (("export", "--variant", "tiny", "--precision", "int8"), ("--precision does not apply to --format onnx",)),
        (("export", "--variant", "tiny", "--no-gpu"), ("--gpu does not apply to --format onnx",)),
    ):
        outcome = invoke(*arguments)
        assert_refused(outcome, *words)
        assert "start PyTorch" not in outcome.stderr
    assert tree(tmp_path) == set()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "maps"), [("nano", 1), ("dfine-s", 3), ("rtdetrv2-r18", 3), ("lwdetr-tiny", 1), ("deimv2-atto", 1)]
)
def test_a_backbone_of_each_family(driver: Driver, tmp_path: Path, name: str, maps: int) -> None:
    reference = build_reference(shrunken(name))
    options = BackboneOptions(find_target("pixel"), fp16=False)
    written = export_backbone(tmp_path / "backbone.tflite", reference, options, pictures(())[:2], Progress())
    found = {gate.gate: gate.verdict for gate in written.gates}
    assert found == {"lint": Verdict.PASSED, "residency": Verdict.PASSED, "numerics": Verdict.PASSED, "fp16": Verdict.NOT_RUN}
    assert list(written.outputs) == (["features"] if maps == 1 else [f"features_{level}" for level in range(maps)])
