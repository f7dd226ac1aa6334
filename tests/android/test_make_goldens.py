"""The golden vectors for the Kotlin and the JavaScript runtime are the same every time and cover what they must."""

from __future__ import annotations

import json
from pathlib import Path

import make_goldens
import pytest
import tiny_bundle

from detr2litert.host_runtime.manifest import Manifest


def test_cases_are_the_same_every_time(tmp_path: Path):
    for name in ("first", "second"):
        make_goldens.write_host_steps(tmp_path / name)
        make_goldens.write_decodes(tmp_path / f"{name}-decodes")
        make_goldens.write_random_programs(tmp_path / f"{name}-random")
    for path in sorted(tmp_path.glob("first*/*")):
        other = tmp_path / path.parent.name.replace("first", "second") / path.name
        assert path.read_bytes() == other.read_bytes(), path.name


def test_only_the_sound_manifests_are_read(tmp_path: Path):
    sound = tiny_bundle.write_bundle(tmp_path / "bundle").to_dict()
    make_goldens.write_manifests(tmp_path / "manifests.json", sound)
    cases = json.loads((tmp_path / "manifests.json").read_text())
    read = {case["name"] for case in cases if case["verdict"] == "read"}
    plain = {"sound", "no_golden", "height_whole_float", "classes_null", "without_settings", "resize_8bit"}
    settings = {"settings", "settings_empty", "settings_unknown"}
    assert read == {*plain, *settings, "fit_stretch", "fit_letterbox", "fit_letterbox_top_left", "grey"}
    assert Manifest.from_json(next(case["text"] for case in cases if case["name"] == "sound")).to_dict() == sound


def test_the_hand_made_bundle_has_golden_vectors_of_every_stage(tmp_path: Path):
    source = make_goldens.hand_made_bundle(tmp_path / "source")
    make_goldens.write_bundle(source, tmp_path / "bundles" / "hand_made")
    with make_goldens.load_bundle(tmp_path / "bundles" / "hand_made") as bundle:
        names = {"image", "enc_scores", "memory", "selected_memory", "selected_cells", "boxes", "logits"}
        assert set(bundle.golden_tensors()) == names
    assert json.loads((tmp_path / "bundles" / "hand_made.json").read_text()) == {"threshold": pytest.approx(0.3)}
