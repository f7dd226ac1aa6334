"""The golden vectors for the Kotlin and the JavaScript runtime are the same every time and cover what they must."""

from __future__ import annotations

import json
from pathlib import Path

import make_goldens
import masks_bundle
import native_bundle
import one_graph_bundle
import pytest
import tiny_bundle
from keypoint_cases import keypoint_cases, keypoint_manifests
from manifest_cases import write_verdicts

from detr2litert.host_runtime.bundle import load_bundle
from detr2litert.host_runtime.manifest import Manifest
from detr2litert.host_runtime.runner import Runner
from detr2litert.host_runtime.tflite.graph import read_graph


def test_cases_are_the_same_every_time(tmp_path: Path):
    for name in ("first", "second"):
        make_goldens.write_host_steps(tmp_path / name)
        make_goldens.write_decodes(tmp_path / f"{name}-decodes")
        make_goldens.write_masks(tmp_path / f"{name}-masks")
        make_goldens.write_mask_layers(tmp_path / f"{name}-layers")
        make_goldens.write_keypoints(tmp_path / f"{name}-keypoints")
        make_goldens.write_random_programs(tmp_path / f"{name}-random")
    for path in sorted(tmp_path.glob("first*/*")):
        other = tmp_path / path.parent.name.replace("first", "second") / path.name
        assert path.read_bytes() == other.read_bytes(), path.name


def test_only_the_sound_manifests_are_read(tmp_path: Path):
    sound = tiny_bundle.write_bundle(tmp_path / "bundle").to_dict()
    one = one_graph_bundle.write_bundle(tmp_path / "one_graph").to_dict()
    masks = masks_bundle.write_bundle(tmp_path / "masks").to_dict()
    make_goldens.write_manifests(tmp_path / "manifests.json", sound, one, masks)
    cases = json.loads((tmp_path / "manifests.json").read_text())
    read = {case["name"] for case in cases if case["verdict"] == "read"}
    plain = {"sound", "no_golden", "height_whole_float", "classes_null", "without_settings", "resize_8bit"}
    settings = {"settings", "settings_empty", "settings_unknown"}
    native = {"version_1", "native", "native_same_files"}
    native |= {"native_pixels_sound", "native_pixels_absent", "native_pixels_padded"}
    graphs = {"one_graph_sound", "one_graph_native", "two_graphs_of_version_3"}
    graphs |= {"masks_sound", "masks_native", "one_graph_of_version_4", "masks_within_boxes", "masks_plain_by_name"}
    assert read == {*plain, *settings, *native, *graphs, "fit_stretch", "fit_letterbox", "fit_letterbox_top_left", "grey"}
    assert Manifest.from_json(next(case["text"] for case in cases if case["name"] == "sound")).to_dict() == sound


def test_the_hand_made_bundle_has_golden_vectors_of_every_stage(tmp_path: Path):
    source = tmp_path / "source"
    tiny_bundle.write_recorded_bundle(source)
    make_goldens.write_bundle(source, tmp_path / "bundles" / "hand_made")
    with make_goldens.load_bundle(tmp_path / "bundles" / "hand_made") as bundle:
        names = {"image", "enc_scores", "memory", "selected_memory", "selected_cells", "boxes", "logits"}
        assert set(bundle.golden_tensors()) == names
    assert json.loads((tmp_path / "bundles" / "hand_made.json").read_text()) == {"threshold": pytest.approx(0.3)}


def test_the_native_bundle_detects_the_same_by_indices(tmp_path: Path):
    native_bundle.write_bundle(tmp_path / "native")
    tiny_bundle.write_recorded_bundle(tmp_path / "hand_made")
    with load_bundle(tmp_path / "native") as bundle:
        indices = bundle.golden_tensors()["indices"]
        assert (indices.dtype, indices.tolist()) == ("int32", [6, 12, 0, 1])
        kinds = {name: [op.name for op in read_graph(path).ops] for name, path in bundle.graphs().items()}
        assert set(kinds) == {"graph_a", "graph_b", "graph_b.native"}, "graph A is the same file in both forms"
        assert [name for name, ops in kinds.items() if "CUSTOM:Resampler" in ops] == ["graph_b.native"]
        with Runner(bundle) as runner, Runner(tmp_path / "hand_made") as other:
            assert runner.form == "portable", "the CPU has no such operator"
            assert runner.detect(tiny_bundle.picture()) == other.detect(tiny_bundle.picture())


def test_the_bundle_with_masks_has_golden_vectors_and_masks(tmp_path: Path):
    masks_bundle.write_bundle(tmp_path / "source", recorded=True)
    make_goldens.write_bundle(tmp_path / "source", tmp_path / "bundles" / "masks")
    with load_bundle(tmp_path / "bundles" / "masks") as bundle:
        assert {"mask_queries", "mask_cells", "kept", "masks"} <= set(bundle.golden_tensors())
        detections = json.loads((bundle.root / "golden/detections.json").read_text())["detections"]
    settings = json.loads((tmp_path / "bundles" / "masks.json").read_text())
    assert settings["masks"] == [item["mask"]["counts"] for item in detections]
    assert len(set(settings["masks"])) == 2, "one of the red cell and one of the green"


def test_the_keypoint_cases_have_what_they_are_for():
    cases = {case.name: case for case in keypoint_cases()}
    for name, case in cases.items():
        scores = [item.score for item in case.found]
        assert scores == sorted(scores, reverse=True) and (len(scores) > 4) == (name != "nothing"), name
    two = cases["two_classes"].found
    assert {item.class_index: len(item.keypoints or ()) for item in two} == {0: 0, 1: 5, 2: 3, 3: 0}
    points = [point for item in cases["letterbox_416x416"].found for point in item.keypoints or ()]
    assert any(point.y < 0 for point in points) and any(point.y > 427 for point in points), "not clamped"
    far = [point.covariance for item in cases["far"].found for point in item.keypoints or ()]
    assert None in far and any(item is not None for item in far)
    without, listed = (cases[name].found for name in ("two_classes", "class_without_keypoints_in_the_schema"))
    assert max(item.score for item in without if item.class_index == 0) > 0.5
    assert max(item.score for item in listed if item.class_index == 0) < 0.5, "s / (1 + s)"


def test_only_the_sound_manifests_with_keypoints_are_read(tmp_path: Path):
    sound = make_goldens.keypoints_bundle.write_bundle(tmp_path / "keypoints").to_dict()
    write_verdicts(tmp_path / "manifests.json", keypoint_manifests(sound))
    cases = json.loads((tmp_path / "manifests.json").read_text())
    read = {case["name"].removeprefix("keypoints_") for case in cases if case["verdict"] == "read"}
    assert read == {"sound", "version_5_without", "weight_zero", "class_without_keypoints", "skeleton_empty"}
    assert Manifest.from_dict(sound).to_dict() == sound


def test_the_bundle_with_keypoints_has_golden_vectors_and_keypoints(tmp_path: Path):
    make_goldens.keypoints_bundle.write_bundle(tmp_path / "source", recorded=True)
    make_goldens.write_bundle(tmp_path / "source", tmp_path / "keypoints")
    with load_bundle(tmp_path / "keypoints") as bundle:
        assert bundle.golden_tensors()["keypoints"].shape == (1, 4, 5, 7)
        detections = json.loads((bundle.root / "golden/detections.json").read_text())["detections"]
    assert [(item["name"], len(item["keypoints"])) for item in detections] == [("red", 3), ("green", 2)]


@pytest.mark.parametrize("steepness", [20.0, 10.0])
def test_another_steepness_gives_other_logits(tmp_path: Path, steepness: float):
    """For tests that must notice which of the two graphs ran."""
    native_bundle.write_bundle(tmp_path, {"graph_b.tflite": native_bundle.graph_b(steepness=steepness)})
    with load_bundle(tmp_path) as bundle:
        assert bundle.golden_tensors()["logits"].max() == pytest.approx(steepness - 10)
