"""The second demo detector, end to end: many levels, a memory of tokens, distributions for boxes, quality estimation."""

from __future__ import annotations

import json

import pytest

from detr2litert.convert.demo.scenes import HELD_OUT_START, render
from detr2litert.convert.models.reference import load_reference
from detr2litert.convert.models.variants import VARIANTS
from detr2litert.convert.proof.reference_path import ReferencePath
from detr2litert.host_runtime.manifest import Manifest
from detr2litert.host_runtime.runner import Runner
from detr2litert.verify.gates import Verdict
from detr2litert.verify.parity.detections import DetectionCase, DetectionLimits, check_detections
from tests.conversions import Made
from tests.convert.command import DEMO_PASSED, gate_of, verdicts
from tools.demo_training.evaluate import bundle_detector, evaluate


def test_every_gate_runs_and_passes(dfine_tiny: Made) -> None:
    report = dfine_tiny.outcome.json
    assert verdicts(report["gates"]) == DEMO_PASSED
    graphs = gate_of(report, "residency")["data"]["graphs"]
    assert all(graph["partitions"] == 1 and graph["non_cpu_fully_accelerated"] for graph in graphs.values())
    assert not [finding for gate in report["gates"] for finding in gate.get("findings", [])]
    assert "Warning" not in dfine_tiny.outcome.stderr


def test_the_native_graph_a_takes_the_pictures_pixels(dfine_tiny: Made) -> None:
    manifest = Manifest.from_json((dfine_tiny.bundle / "manifest.json").read_text())
    native = manifest.native_graphs
    assert manifest.preprocess.resize == "bilinear_8bit" and native is not None
    assert [(spec.name, spec.shape, spec.dtype) for spec in native.a.inputs] == [("pixels", (1, 160, 160, 3), "uint8")]
    assert [(spec.name, spec.dtype) for spec in manifest.graphs.a.inputs] == [("image", "float32")]


def test_graph_a_outputs_scores_and_memory_and_the_host_step_is_the_top_k(dfine_tiny: Made) -> None:
    manifest = json.loads((dfine_tiny.bundle / "manifest.json").read_text())
    assert [(o["name"], o["shape"]) for o in manifest["graphs"]["a"]["outputs"]] == [
        ("enc_scores", [1, 525]),
        ("memory", [1, 21, 25, 96]),
    ]
    assert [op["op"] for op in manifest["host_step"]["ops"]] == ["reshape", "topk"]
    assert manifest["host_step"]["outputs"] == ["indices"]
    assert [(i["name"], i["dtype"]) for i in manifest["graphs"]["b"]["inputs"]] == [("memory", "float32"), ("indices", "int32")]
    assert [o["shape"] for o in manifest["graphs"]["b"]["outputs"]] == [[1, 40, 4], [1, 40, 6]]
    assert manifest["preprocess"]["mean"] == [0, 0, 0] and manifest["preprocess"]["std"] == [1, 1, 1]


def test_fifty_scenes_have_pytorchs_detections(dfine_tiny: Made) -> None:
    manifest = Manifest.from_json((dfine_tiny.bundle / "manifest.json").read_text())
    reference, _ = load_reference(VARIANTS["dfine-tiny"], None, None)
    path = ReferencePath(reference, manifest.classes)
    limits = DetectionLimits()
    cases = []
    with Runner(dfine_tiny.bundle) as runner:
        for index in range(50):
            picture = render(HELD_OUT_START + 1000 + index).image
            sides = [side.detect(picture, threshold=limits.floor).items for side in (path, runner)]
            cases.append(DetectionCase(f"scene {index}", sides[0], sides[1]))
    result = check_detections(cases, limits)
    assert result.verdict is Verdict.PASSED, result.summary
    assert sum(len(case.reference) for case in cases) > 100


def test_the_bundle_detects(dfine_tiny: Made) -> None:
    _, detect = bundle_detector(dfine_tiny.bundle)
    figures = evaluate(detect, (render(HELD_OUT_START + i) for i in range(200)))
    assert figures["AP50"] >= 0.90


@pytest.mark.parametrize("name", ["graph_a.tflite", "graph_b.tflite"])
def test_weights_are_small(dfine_tiny: Made, name: str) -> None:
    assert (dfine_tiny.bundle / name).stat().st_size < 4e6
