"""Generated JSON of every kind that others may write: each ends in success, or in one line with exit code 2, within 20 s.

``tests/hostile_json.py`` changes members of valid documents. Commands run in this process, as ``invoke`` does; their exceptions
propagate, so a traceback fails the test. A file is judged by the first command that reads it, before anything that takes long.
"""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.numpy
from hypothesis import given
from hypothesis import strategies as st

from detr2litert.convert.models.classes import resolve_classes
from detr2litert.convert.models.reference import build_reference, load_reference
from detr2litert.convert.models.variants import VARIANTS
from detr2litert.host_runtime.errors import UserError
from detr2litert.host_runtime.host_table import host_table
from detr2litert.verify.device.protocol import parse_result
from detr2litert.verify.probe.table import read_measured
from detr2litert.verify.report.report import write_report
from tests.convert.command import Outcome, assert_refused, invoke, rehash, tree
from tests.host_runtime import tiny_bundle
from tests.hostile_json import Literal, generated, mutated, values
from tests.verify.device.device_runs import RUN, SHA256, record
from tests.verify.report.sample_report import sample

COCO = [{"image_id": "picture", "category_id": 1, "category_name": "red", "bbox": [1, 2, 3, 4], "score": 0.5}]
ARRAYS = {"picture.png": {"xyxy": [[1, 2, 4, 6]], "class_id": [1], "confidence": [0.5], "data": {"class_name": ["red"]}}}
ULTRALYTICS = [{"name": "red", "class": 0, "confidence": 0.5, "box": {"x1": 1, "y1": 2, "x2": 3, "y2": 4}, "image": "picture"}]
ANNOTATIONS = {
    "images": [{"id": 1, "file_name": "picture.png", "width": 8, "height": 8}],
    "annotations": [{"image_id": 1, "category_id": 1, "bbox": [1, 2, 3, 4], "iscrowd": 0, "segmentation": [[1.0, 2.0]]}],
    "categories": [{"id": 1, "name": "red"}, {"id": 2, "name": "green"}],
}


def ended(outcome: Outcome) -> None:
    """Success, or one line and exit code 2."""
    if outcome.code != 0:
        line = assert_refused(outcome)
        assert line.isprintable() and len(line) < 2100


def one_line(error: UserError) -> None:
    assert "\n" not in str(error)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """``tiny_bundle``'s, which a test may change if it writes every changed file anew."""
    folder = tmp_path_factory.mktemp("hostile") / "bundle"
    tiny_bundle.write_bundle(folder)
    tiny_bundle.picture().save(folder.parent / "picture.png")
    return folder


@pytest.fixture(scope="module")
def manifest(bundle: Path) -> dict[str, Any]:
    sound: dict[str, Any] = json.loads((bundle / "manifest.json").read_text())
    sound["settings"] = {"num_select": {"value": 4, "origin": "requested", "requested": True}}
    return sound


@generated(50)
@given(data=st.data())
def test_a_manifest(bundle: Path, manifest: dict[str, Any], data: st.DataObject) -> None:
    (bundle / "manifest.json").write_bytes(data.draw(mutated(manifest)))
    before = tree(bundle.parent)
    ended(invoke("detect", bundle, bundle.parent / "picture.png"))
    assert tree(bundle.parent) == before


@st.composite
def programs(draw: st.DrawFn, sound: dict[str, Any]) -> dict[str, Any]:
    """The sound host step with more ops: of the table, or not, on any tensors and with any attributes."""
    host = json.loads(json.dumps(sound))
    names = [*host["inputs"], "cells", *(op["output"] for op in host["ops"])]
    for number in range(draw(st.integers(1, 6))):
        name = draw(st.sampled_from([*host_table().ops, "where", "toString"]))
        rule = host_table().ops.get(name)
        attributes = {key: draw(_attribute(item.type)) for key, item in rule.attributes.items()} if rule else {}
        most = min(rule.arity[1], 8) if rule else 2
        inputs = draw(
            st.lists(st.sampled_from([*names, "nowhere"] if draw(st.integers(0, 9)) == 0 else names), min_size=1, max_size=most)
        )
        output = draw(st.sampled_from([f"t{number}"] * 9 + ["indices"]))
        host["ops"].append({"op": name, "inputs": inputs, "output": output, "attributes": attributes})
        names.append(output)
    return dict(host)


def _attribute(kind: str) -> st.SearchStrategy[Any]:
    usual: dict[str, st.SearchStrategy[Any]] = {
        "integer": st.integers(-4, 17),
        "number": st.floats(1e-6, 1),
        "text": st.sampled_from(["none", "tanh"]),
        "integers": st.lists(st.sampled_from([-1, 1, 2, 3, 4, 12, 16, 48, 64]), max_size=5),
    }
    return st.one_of(usual[kind], usual[kind], usual[kind], values.filter(lambda value: not isinstance(value, Literal)))


@generated(25)
@given(data=st.data())
def test_a_host_step(bundle: Path, manifest: dict[str, Any], data: st.DataObject) -> None:
    host = data.draw(programs(manifest["host_step"]))
    (bundle / "manifest.json").write_text(json.dumps({**manifest, "host_step": host}))
    ended(invoke("detect", bundle, bundle.parent / "picture.png"))


HEADER = {"cells": {"dtype": "F32", "shape": [1, 16, 4], "data_offsets": [0, 256]}}
TYPES = ("F4", "F8_E4M3", "F8_E8M0", "F6_E2M3", "BF16", "F16", "F64", "I64", "U64", "C64", "BOOL", "", "F32")


@generated(20)
@given(data=st.data())
def test_host_parameters(bundle: Path, manifest: dict[str, Any], data: st.DataObject) -> None:
    (bundle / "manifest.json").write_text(json.dumps(manifest))
    header = data.draw(mutated(HEADER) if data.draw(st.booleans()) else st.sampled_from(TYPES).map(_header))
    length = data.draw(st.sampled_from([len(header)] * 8 + [0, 2**63, 2**64 - 1]))
    (bundle / "host_params.safetensors").write_bytes(struct.pack("<Q", length) + header + bytes(256))
    rehash(bundle, "host_params.safetensors")
    outcome = invoke("detect", bundle, bundle.parent / "picture.png")
    tiny_bundle.write_bundle(bundle)
    ended(outcome)


def _header(dtype: str) -> bytes:
    return json.dumps({"cells": {**HEADER["cells"], "dtype": dtype}}).encode()


@generated(15)
@given(data=st.data())
def test_golden_detections(bundle: Path, data: st.DataObject) -> None:
    """``verify`` reads them first; a sound file lets it come to the checkpoint, which this bundle has none of."""
    found = {"width": 8, "height": 8, "detections": [{"class_index": 1, "name": "green", "score": 0.5, "box": [0, 1, 2, 3.5]}]}
    golden = safetensors.numpy.save({"image": np.zeros((1, 3, 8, 8), np.float32)})
    tiny_bundle.write_bundle(bundle, {"golden/detections.json": data.draw(mutated(found)), "golden/golden.safetensors": golden})
    outcome = invoke("verify", bundle, "--no-gpu")
    tiny_bundle.write_bundle(bundle)
    assert outcome.code == 2
    ended(outcome)


def detecting_nothing(bundle: Path) -> None:
    """Writes the bundle with golden vectors that are sound and empty, so that ``verify`` goes on to the file it is given."""
    golden = json.dumps({"width": 8, "height": 8, "detections": []}).encode()
    tiny_bundle.write_bundle(
        bundle, {"golden/detections.json": golden, "golden/golden.safetensors": safetensors.numpy.save({})}
    )


@generated(20)
@given(data=st.data())
def test_expected_detections(bundle: Path, data: st.DataObject) -> None:
    path = bundle.parent / "expected.json"
    path.write_bytes(data.draw(mutated(data.draw(st.sampled_from([COCO, ARRAYS, ULTRALYTICS])))))
    detecting_nothing(bundle)
    outcome = invoke("verify", bundle, "--no-gpu", "--expected", path, "--image", bundle.parent / "picture.png")
    assert outcome.code == 2
    ended(outcome)


@generated(15)
@given(data=st.data())
def test_annotations(bundle: Path, data: st.DataObject) -> None:
    path = bundle.parent / "annotations.json"
    path.write_bytes(data.draw(mutated(ANNOTATIONS)))
    detecting_nothing(bundle)
    outcome = invoke("verify", bundle, "--no-gpu", "--dataset", path)
    assert outcome.code == 2
    ended(outcome)


@generated(25)
@given(data=st.data())
def test_class_names(tmp_path: Path, data: st.DataObject) -> None:
    document = data.draw(st.sampled_from([["red", None, "green"], {"0": "red", "2": "green"}, ANNOTATIONS]))
    path = tmp_path / "classes.json"
    path.write_bytes(data.draw(mutated(document)))
    try:
        names = resolve_classes(VARIANTS["tiny"], 3, None, path).names
    except UserError as error:
        one_line(error)
    else:
        assert len(names) == 3 and all(name is None or len(name) <= 256 for name in names)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint of the demo detector in transformers' form."""
    place = tmp_path_factory.mktemp("hostile-folder")
    build_reference(VARIANTS["tiny"]).module.model.save_pretrained(place)
    size = {"height": 160, "width": 160}
    preprocessor = {"do_resize": True, "size": size, "rescale_factor": 1 / 255, "image_mean": [0.5] * 3, "image_std": [0.2] * 3}
    (place / "sound.json").write_bytes((place / "config.json").read_bytes())
    (place / "sound_preprocessor.json").write_text(json.dumps({**preprocessor, "resample": 2, "do_pad": False}))
    return place


@generated(15)
@given(data=st.data())
def test_a_transformers_configuration(folder: Path, data: st.DataObject) -> None:
    for name, sound in (("config.json", "sound.json"), ("preprocessor_config.json", "sound_preprocessor.json")):
        text = (folder / sound).read_bytes()
        (folder / name).write_bytes(data.draw(mutated(json.loads(text))) if data.draw(st.booleans()) else text)
    try:
        reference, checkpoint = load_reference(None, str(folder))
        resolve_classes(reference.variant, reference.logit_columns, checkpoint.classes if checkpoint else None)
    except UserError as error:
        one_line(error)


@generated(30)
@given(data=st.data())
def test_a_phones_result(data: st.DataObject) -> None:
    try:
        result = parse_result(data.draw(mutated(record())), RUN, SHA256)
    except UserError as error:
        one_line(error)
    else:
        assert all(0 <= time < 1e10 for times in result.milliseconds.values() for time in times)
        assert all(tensor.length >= 0 for tensor in result.tensors)


@generated(15)
@given(data=st.data())
def test_a_report(tmp_path: Path, data: st.DataObject) -> None:
    document = json.loads(write_report(sample(), tmp_path / "sound.json").read_text())
    (tmp_path / "report.json").write_bytes(data.draw(mutated(document)))
    ended(invoke("rewrites", "--explain", tmp_path))


@generated(10)
@given(data=st.data())
def test_a_measurement(tmp_path: Path, data: st.DataObject) -> None:
    document = {
        "schema_version": 1, "runtime": "2.3.0", "backend": "webgpu", "adapter": "x", "precision": "fp32", "date": "2026-11-21",
        "probes": {"add": {"outcome": "right"}},
    }  # fmt: skip
    path = tmp_path / "measured.json"
    path.write_bytes(data.draw(mutated(document)))
    try:
        read_measured(path)
    except UserError as error:
        one_line(error)
