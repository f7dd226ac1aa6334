"""The demo detector with masks, end to end: three graphs, and masks that follow the shapes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from detr2litert.convert.demo.scenes import HELD_OUT_START, render
from detr2litert.convert.models.reference import load_reference
from detr2litert.convert.models.variants import VARIANTS
from detr2litert.convert.proof import prove, registry
from detr2litert.convert.proof.reference_path import ReferencePath
from detr2litert.host_runtime.manifest import MASKS_VERSION, Manifest
from detr2litert.host_runtime.masks import Mask
from detr2litert.host_runtime.runner import Runner
from detr2litert.verify.gates import Verdict
from detr2litert.verify.parity.detections import DetectionCase, DetectionLimits, check_detections
from tests.conversions import Made
from tests.convert.command import DEMO_PASSED, assert_refused, gate_of, invoke, verdicts

pytestmark = pytest.mark.slow


def test_every_gate_runs_and_passes(tiny_seg: Made) -> None:
    report = tiny_seg.outcome.json
    assert verdicts(report["gates"]) == DEMO_PASSED
    graphs = gate_of(report, "residency")["data"]["graphs"]
    assert set(graphs) == {"graph_a", "graph_b", "graph_m", "graph_a.native", "graph_b.native"}
    assert all(graph["partitions"] == 1 and graph["non_cpu_fully_accelerated"] for graph in graphs.values())
    assert not [finding for gate in report["gates"] for finding in gate.get("findings", [])]


@pytest.mark.parametrize(("gate", "limit"), [("detections", 0.98), ("fp16", 0.95)])
def test_masks_are_compared_by_detections_and_by_the_chain_in_fp16(tiny_seg: Made, gate: str, limit: float) -> None:
    found = [m for m in gate_of(tiny_seg.outcome.json, gate)["measurements"] if m["metric"] == "lowest mask iou"]
    assert len(found) >= 5 and all(m["limit"] == limit and limit <= m["value"] <= 1 for m in found)


def test_average_precision_of_masks(tiny_seg: Made) -> None:
    gate = gate_of(tiny_seg.outcome.json, "accuracy")
    rows = {(row["side"], row["of"]): row for row in gate["data"]["average_precision"]}
    assert set(rows) == {(side, of) for side in ("reference", "CPU", "fp16") for of in ("boxes", "masks")}
    assert rows["reference", "masks"]["ap50"] >= 0.90 and rows["reference", "boxes"]["ap50"] >= 0.97
    for of in ("boxes", "masks"):
        assert rows["CPU", of]["pictures"] == 200 and abs(rows["CPU", of]["difference"]) < 0.002
        assert rows["fp16", of]["pictures"] >= 1 and abs(rows["fp16", of]["difference"]) < 0.05
    html = (tiny_seg.bundle / "report.html").read_text()
    assert "CPU, masks" in html and ">masks</th>" in html


def test_the_bundle_has_a_third_graph_without_weights(tiny_seg: Made) -> None:
    manifest = Manifest.from_json((tiny_seg.bundle / "manifest.json").read_text())
    assert manifest.schema_version == MASKS_VERSION and manifest.graphs.m is not None
    shapes = {spec.name: spec.shape for spec in (*manifest.graphs.m.inputs, *manifest.graphs.m.outputs)}
    assert shapes == {"mask_queries": (1, 40, 96), "mask_cells": (1, 40, 40, 96), "kept": (32,), "masks": (1, 40, 40, 32)}
    sizes = {name: (tiny_seg.bundle / f"{name}.tflite").stat().st_size for name in ("graph_a", "graph_b", "graph_m")}
    assert sizes["graph_m"] < 20_000 and max(sizes.values()) < 4_000_000


def test_twenty_scenes_have_pytorchs_masks_and_the_shapes(tiny_seg: Made) -> None:
    manifest = Manifest.from_json((tiny_seg.bundle / "manifest.json").read_text())
    reference, _ = load_reference(VARIANTS["tiny-seg"], None, None)
    path = ReferencePath(reference, manifest.classes)
    limits = DetectionLimits()
    cases, overlaps = [], []
    with Runner(tiny_seg.bundle) as runner:
        for index in range(20):
            scene = render(HELD_OUT_START + 1000 + index)
            sides = [side.detect(scene.image, threshold=limits.floor).items for side in (path, runner)]
            cases.append(DetectionCase(f"scene {index}", sides[0], sides[1]))
            shapes = [Mask.of(pixels) for pixels in scene.masks]
            overlaps += [max(item.mask.iou(shape) for shape in shapes) for item in sides[1] if item.mask and item.score > 0.5]
    result = check_detections(cases, limits)
    assert result.verdict is Verdict.PASSED, result.summary
    assert len(overlaps) > 40 and np.median(overlaps) > 0.65


def test_detect_draws_and_writes_the_masks(tiny_seg: Made, tmp_path: Path) -> None:
    scene = render(HELD_OUT_START + 1)
    scene.image.save(tmp_path / "scene.png")
    outcome = invoke("detect", tiny_seg.bundle, tmp_path / "scene.png", "--save", tmp_path / "drawn")
    (listed,) = json.loads(outcome.stdout)
    masks = [Mask.from_dict(item["mask"]) for item in listed["detections"]]
    assert outcome.code == 0 and masks
    with Image.open(tmp_path / "drawn" / "scene.detections.png") as drawn:
        changed = (np.asarray(drawn.convert("RGB")) != np.asarray(scene.image)).any(-1)
    assert all(changed[mask.pixels].mean() > 0.95 for mask in masks)


def test_expected_masks_of_the_users_own_code(tiny_seg: Made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those of the golden picture, as pycocotools writes them: the same pass, others fail, malformed ones are one line."""
    monkeypatch.setattr(prove, "GATES", tuple(gate for gate in registry.GATES if gate.id == "expected"))
    golden = json.loads((tiny_seg.bundle / "golden" / "detections.json").read_text())
    scene = tmp_path / "scene.png"
    scene.write_bytes((tiny_seg.bundle / "golden" / "image.png").read_bytes())
    file = tmp_path / "expected.json"
    arguments = ("verify", tiny_seg.bundle, "--image", scene, "--expected", file, "--no-gpu", "--json")
    rows = [
        {"image_id": "scene.png", "category_id": found["class_index"], "score": found["score"], "segmentation": found["mask"]}
        for found in golden["detections"]
    ]

    def boxed(row: dict[str, Any], found: dict[str, Any]) -> dict[str, Any]:
        left, top, right, bottom = found["box"]
        return {**row, "bbox": [left, top, right - left, bottom - top]}

    boxes = [boxed(row, found) for row, found in zip(rows, golden["detections"], strict=True)]
    file.write_text(json.dumps(boxes))
    same = invoke(*arguments)
    assert same.code == 0 and "of masks 1.0000" in same.json[0]["summary"], same.stderr
    moved = [Mask.of(np.roll(Mask.from_dict(row["segmentation"]).pixels, 6, axis=0)).to_dict() for row in rows]
    file.write_text(json.dumps([{**row, "segmentation": mask} for row, mask in zip(boxes, moved, strict=True)]))
    assert invoke(*arguments).code == 1
    file.write_text(json.dumps([{**boxes[0], "segmentation": {"size": [9, 9], "counts": "8?"}}]))
    assert_refused(invoke(*arguments), "expected.json", "detection 0", "9 x 9 pixels, and its picture has 320 x 320")


def test_yolos_polygons_are_judged_as_masks_and_a_mixture_as_boxes(
    tiny_seg: Made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The polygon around each row's ends of a shape's pixels, which is the shape if it has one run a row."""
    monkeypatch.setattr(prove, "GATES", tuple(gate for gate in registry.GATES if gate.id == "accuracy"))
    names = Manifest.from_json((tiny_seg.bundle / "manifest.json").read_text()).classes
    (tmp_path / "images").mkdir()
    (tmp_path / "labels").mkdir()
    (tmp_path / "data.yaml").write_text(json.dumps({"names": list(names), "val": "images"}))
    for index in range(6):
        scene = render(HELD_OUT_START + index)
        scene.image.save(tmp_path / "images" / f"{index}.png")
        lines = [
            f"{kind} " + " ".join(f"{value:.6f}" for value in _outline(pixels))
            for kind, pixels in zip(scene.labels, scene.masks, strict=True)
        ]
        (tmp_path / "labels" / f"{index}.txt").write_text("\n".join(lines))
    arguments = ("verify", tiny_seg.bundle, "--dataset", tmp_path, "--no-gpu", "--json")
    (gate,) = [g for g in invoke(*arguments).json if g["gate"] == "accuracy"]
    rows = {(row["side"], row["of"]): row["ap50"] for row in gate["data"]["average_precision"] if row["side"] != "fp16"}
    assert rows["reference", "masks"] > 0.6 and abs(rows["CPU", "masks"] - rows["reference", "masks"]) < 0.02
    (tmp_path / "labels" / "3.txt").write_text("0 0.5 0.5 0.2 0.2\n")
    (gate,) = [g for g in invoke(*arguments).json if g["gate"] == "accuracy"]
    assert {row["of"] for row in gate["data"]["average_precision"]} == {"boxes"}
    assert "masks not judged: 1 of" in gate["summary"] and "(first in 3.png)" in gate["summary"]


def _outline(pixels: Any) -> list[float]:
    """Corners x, y, … as fractions: down the left ends of the rows, up the right ones."""
    pixels = np.asarray(pixels)
    rows = [(row, np.flatnonzero(pixels[row])) for row in np.flatnonzero(pixels.any(1))]
    left = [(ends[0], row + half) for row, ends in rows for half in (0, 1)]
    right = [(ends[-1] + 1, row + half) for row, ends in reversed(rows) for half in (1, 0)]
    return (np.array([*left, *right], float) / pixels.shape[::-1]).ravel().tolist()


def test_a_data_set_with_a_malformed_mask_is_one_line(tiny_seg: Made, tmp_path: Path) -> None:
    scene = render(HELD_OUT_START)
    scene.image.save(tmp_path / "a.png")
    box = {"id": 1, "image_id": 1, "category_id": 1, "bbox": [1, 2, 30, 40], "area": 1200, "iscrowd": 0}
    images = [{"id": 1, "file_name": "a.png", "width": 160, "height": 160}]
    annotations = [{**box, "segmentation": [[1, 2, 3, 4]]}]
    record = {"images": images, "annotations": annotations, "categories": [{"id": 1, "name": "star"}]}
    (tmp_path / "_annotations.coco.json").write_text(json.dumps(record))
    outcome = invoke("verify", tiny_seg.bundle, "--dataset", tmp_path, "--no-gpu")
    assert_refused(outcome, "_annotations.coco.json", "annotation 0 has a polygon", "three or more corners")
