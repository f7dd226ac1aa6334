from __future__ import annotations

import dataclasses
import json

import jsonschema
import pytest
import tiny_bundle

from detr2litert.host_runtime.errors import UserError
from detr2litert.host_runtime.host_table import host_table
from detr2litert.host_runtime.manifest import (
    MAX_CLASS_NAME,
    HostOp,
    HostProgram,
    Manifest,
    NativeFiles,
    Postprocess,
    TensorSpec,
    load_schema,
)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    return tiny_bundle.write_bundle(tmp_path_factory.mktemp("whole"))


def test_what_the_converter_writes_is_what_the_runtime_reads(whole):
    assert Manifest.from_json(whole.to_json()) == whole
    assert Manifest.from_json(whole.to_json()).to_json() == whole.to_json()


def test_the_layout_is_the_contracts(whole):
    data = json.loads(whole.to_json())
    assert data["schema_version"] == 2
    assert data["graphs"]["a"]["inputs"] == [{"name": "image", "shape": [1, 3, 8, 8], "dtype": "float32"}]
    assert data["host_step"]["ops"][0] == {
        "op": "topk",
        "inputs": ["enc_scores"],
        "output": "indices",
        "attributes": {"k": 4, "axis": 1},
    }
    assert set(data["files"]["graph_a.tflite"]) == {"sha256", "bytes"}


def test_optional_parts_may_be_absent(whole):
    bare = dataclasses.replace(whole, golden=None)
    assert "golden" not in bare.to_dict()
    assert Manifest.from_json(bare.to_json()) == bare
    data = whole.to_dict()
    del data["postprocess"]["ignored_classes"]
    assert Manifest.from_dict(data).postprocess.ignored_classes == ()
    del data["host_step"]["ops"][0]["attributes"]
    assert HostProgram.from_dict(data["host_step"]).ops[0].attributes == {}


def test_what_a_bundle_was_protected_by_is_kept_if_it_says_so(whole):
    assert "protection" not in whole.to_dict()
    forced = dataclasses.replace(whole, protection="all")
    assert forced.to_dict()["protection"] == "all"
    assert Manifest.from_json(forced.to_json()) == forced
    with pytest.raises(UserError, match="protection"):
        Manifest.from_dict({**whole.to_dict(), "protection": "some"})


def with_native(whole, **files):
    records = dict.fromkeys(files.values(), whole.files["graph_b.tflite"])
    return dataclasses.replace(whole, native=NativeFiles(**files), files={**whole.files, **records})


def test_version_1_is_read_and_stays_version_1(whole):
    data = {**whole.to_dict(), "schema_version": 1}
    old = Manifest.from_dict(data)
    assert (old.schema_version, old.native, old.native_graphs) == (1, None, None)
    assert old.to_dict() == data
    assert list(old.graphs_by_name) == ["graph_a", "graph_b"]


def test_version_2_may_have_a_native_form(whole):
    assert "native" not in whole.to_dict()
    both = with_native(whole, a="graph_a.native.tflite", b="graph_b.native.tflite")
    assert both.to_dict()["native"] == {"a": "graph_a.native.tflite", "b": "graph_b.native.tflite"}
    assert Manifest.from_json(both.to_json()) == both
    native = both.native_graphs
    assert (native.a.file, native.b.file) == ("graph_a.native.tflite", "graph_b.native.tflite")
    assert (native.a.inputs, native.b.outputs) == (whole.graphs.a.inputs, whole.graphs.b.outputs)
    assert {name: spec.file for name, spec in both.graphs_by_name.items()} == {
        "graph_a": "graph_a.tflite",
        "graph_b": "graph_b.tflite",
        "graph_a.native": "graph_a.native.tflite",
        "graph_b.native": "graph_b.native.tflite",
    }


def test_a_graph_that_is_the_same_in_both_forms_is_listed_once(whole):
    both = with_native(whole, a="graph_a.tflite", b="graph_b.native.tflite")
    assert list(both.graphs_by_name) == ["graph_a", "graph_b", "graph_b.native"]


@pytest.mark.parametrize(
    ("native", "words"),
    [
        ({"a": "graph_a.tflite"}, "the native form has one graph and the portable one not"),
        ({"a": "graph_a.tflite", "b": "lost.tflite"}, "lost.tflite is used but not listed"),
        ({"a": "graph_a.tflite", "b": "../graph_b.tflite"}, "graph_b.tflite is used but not listed"),
        ({"a": "graph_a.tflite", "b": "graph_b.tflite", "c": "graph_b.tflite"}, "'c' was unexpected"),
    ],
)
def test_a_native_form_that_is_not_whole_is_refused(whole, native, words):
    with pytest.raises(UserError, match=words):
        Manifest.from_dict({**whole.to_dict(), "native": native})


def of_pixels(whole, native=None, **changed):
    data = {**whole.to_dict(), "schema_version": 6, **changed}
    data["native"] = {"a": "graph_b.tflite", "b": "graph_b.tflite", "pixels": "pixels", **(native or {})}
    data["preprocess"] = {"resize": "bilinear_8bit", **changed.get("preprocess", {})}
    data["preprocess"] = {**whole.to_dict()["preprocess"], **data["preprocess"]}
    return data


def test_since_version_6_a_native_form_may_take_pixels(whole):
    both = Manifest.from_dict(of_pixels(whole))
    (pixels,) = both.native_graphs.a.inputs
    side = whole.preprocess.height
    assert (pixels.name, pixels.shape, pixels.dtype) == ("pixels", (1, side, side, 3), "uint8")
    assert both.graphs.a.inputs == whole.graphs.a.inputs
    assert Manifest.from_json(both.to_json()) == both and both.to_dict()["native"]["pixels"] == "pixels"


@pytest.mark.parametrize(
    ("native", "changed", "words"),
    [
        ({}, {"schema_version": 5}, "takes pixels, which that of a bundle of schema version 5 does not"),
        ({}, {"preprocess": {"resize": "bilinear"}}, "preprocess gives none of whole numbers"),
        ({}, {"preprocess": {"fit": "letterbox", "fill": [1.5, 0, 0]}}, "preprocess gives none of whole numbers"),
        ({"pixels": "image"}, {}, "native.pixels names another tensor of graph a: 'image'"),
        ({"pixels": "memory"}, {}, "native.pixels names another tensor of graph a: 'memory'"),
        ({"a": "graph_a.tflite"}, {}, "its graph a is the portable one, which takes the image"),
        ({"pixels": ""}, {}, "native.pixels"),
        ({"pixels": True}, {}, "native.pixels"),
    ],
)
def test_pixels_that_do_not_fit_are_refused(whole, native, changed, words):
    with pytest.raises(UserError, match=words):
        Manifest.from_dict(of_pixels(whole, native, **changed))


def test_bytes_are_no_other_input(whole):
    data = whole.to_dict()
    data["graphs"]["a"]["inputs"][0]["dtype"] = "uint8"
    with pytest.raises(UserError, match="dtype"):
        Manifest.from_dict(data)


def test_class_names_need_not_be_ascii_and_may_have_holes(whole):
    named = dataclasses.replace(whole, classes=("Fußgänger", None, "猫"))
    assert "猫" in named.to_json()
    assert Manifest.from_json(named.to_json()).classes == ("Fußgänger", None, "猫")


def test_not_a_number_is_not_written(whole):
    bad = dataclasses.replace(whole.host_step, ops=(HostOp("clamp", ("memory",), "x", {"min": float("nan")}),))
    with pytest.raises(ValueError):
        dataclasses.replace(whole, host_step=bad).to_json()


def test_a_newer_schema_asks_for_an_upgrade(whole):
    data = {**whole.to_dict(), "schema_version": 7, "something": "new"}
    with pytest.raises(UserError, match=r"schema version 7 .* reads up to 6; upgrade the runtime"):
        Manifest.from_dict(data)


@pytest.mark.parametrize("text", ["", "{", "[" * 100_000, "\x00"])
def test_text_that_is_not_json_is_refused(text):
    with pytest.raises(UserError, match="is not JSON"):
        Manifest.from_json(text)


@pytest.mark.parametrize(
    ("path", "value", "words"),
    [
        ((), [], "is not of type"),
        (("schema_version",), 0, "schema_version"),
        (("schema_version",), "1", "schema_version"),
        (("variant",), None, "variant"),
        (("extra",), 1, "extra"),
        (("preprocess", "resize"), "nearest", "resize"),
        (("preprocess", "std"), [0, 1, 1], "std"),
        (("preprocess", "channels"), "BGR", "channels"),
        (("preprocess", "layout"), "NHWC", "layout"),
        (("host_step", "ops", 1, "op"), 3, r"ops\[1\].op: 3"),
        (("host_step", "ops", 1, "op"), "where", "host step's op 'where' is not one that this runtime knows: upgrade"),
        (("host_step", "constants", 0, "dtype"), "bool", r"constants\[0\].dtype: 'bool'"),
        (("graphs", "b", "inputs", 0, "dtype"), "int64", r"inputs\[0\].dtype: 'int64'"),
        (("weights", "sha256"), "abc", "sha256"),
        (("graphs", "a", "inputs"), [], "inputs"),
        (("graphs", "a", "outputs"), [{"name": "x", "shape": [1, 2, 3, 4, 5], "dtype": "float32"}], "outputs"),
        (("graphs", "b", "outputs"), [{"name": "x", "shape": [1], "dtype": "float64"}], "outputs"),
        (("postprocess", "num_select"), 0, "num_select"),
        (("classes",), [], "classes"),
        (("files", "graph_a.tflite"), {"sha256": "0" * 64}, "bytes"),
    ],
)
def test_a_wrong_field_is_named(whole, path, value, words):
    data = whole.to_dict()
    if not path:
        data = value
    else:
        inner = data
        for key in path[:-1]:
            inner = inner[key]
        inner[path[-1]] = value
    with pytest.raises(UserError, match=words) as caught:
        Manifest.from_dict(data, "here.json")
    assert str(caught.value).startswith("here.json")
    assert "\n" not in str(caught.value)


def graph(whole, side, **fields):
    changed = dataclasses.replace(getattr(whole.graphs, side), **fields)
    return {"graphs": dataclasses.replace(whole.graphs, **{side: changed})}


def host(whole, **fields):
    return {"host_step": dataclasses.replace(whole.host_step, **fields)}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda m: graph(m, "a", file="other.tflite"), "other.tflite is used but not listed"),
        (lambda m: graph(m, "a", inputs=(TensorSpec("image", (1, 3, 8, 9)),)), r"one image of shape \(1, 3, 8, 8\)"),
        (lambda m: graph(m, "a", outputs=m.graphs.a.outputs * 2), "names a tensor twice"),
        (lambda m: graph(m, "b", inputs=(TensorSpec("stranger", (1, 4)),)), "reads 'stranger'"),
        (lambda m: graph(m, "b", inputs=(TensorSpec("memory", (1, 4, 3)),)), r"'memory' leaves graph a as \(1, 16, 3\)"),
        (lambda m: graph(m, "b", outputs=(TensorSpec("boxes", (1, 4, 4)),)), "does not give 'logits'"),
        (
            lambda m: graph(m, "b", outputs=(TensorSpec("boxes", (1, 4, 5)), TensorSpec("logits", (1, 4, 3)))),
            "postprocess wants boxes",
        ),
        (lambda m: host(m, inputs=("enc_scores", "memory", "lost")), "reads 'lost', which graph a does not give"),
        (lambda m: host(m, outputs=("selected_memory", "selected_cells", "lost")), "'lost' is never computed"),
        (lambda m: host(m, ops=m.host_step.ops + m.host_step.ops[:1]), "assigns 'indices' twice"),
        (lambda m: {"classes": ("red", "green")}, "2 entries but there are 3 logit columns"),
        (lambda m: {"postprocess": Postprocess(4, ignored_classes=(3,))}, "ignored class 3"),
        (lambda m: {"files": {k: v for k, v in m.files.items() if "params" not in k}}, "host_params.safetensors is used"),
        (lambda m: {"files": {k: v for k, v in m.files.items() if "png" not in k}}, "golden/image.png is used"),
    ],
)
def test_what_does_not_fit_together_is_named(whole, change, words):
    with pytest.raises(UserError, match=words):
        Manifest.from_dict(dataclasses.replace(whole, **change(whole)).to_dict())


def test_the_schema_itself_is_valid():
    jsonschema.Draft202012Validator.check_schema(load_schema())


def test_the_schema_has_the_dtypes_and_the_rank_of_the_table():
    tensor = load_schema()["$defs"]["tensor"]["properties"]
    assert tensor["dtype"] == {"enum": list(host_table().dtypes)}
    assert tensor["shape"]["maxItems"] == host_table().max_rank


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999"])
def test_a_number_that_is_not_finite_is_not_json(whole, number):
    text = whole.to_json().replace('"threshold": 0.3', f'"threshold": {number}')
    with pytest.raises(UserError, match=r"is not JSON .*not a finite number"):
        Manifest.from_json(text)


def test_a_whole_number_may_be_written_with_a_fraction_of_zero(whole):
    data = whole.to_dict()
    data["preprocess"]["height"] = 8.0
    data["graphs"]["b"]["inputs"][0]["shape"] = [1.0, 4.0, 3.0]
    data["files"]["labels.txt"]["bytes"] = float(data["files"]["labels.txt"]["bytes"])
    data["schema_version"] = 2.0
    read = Manifest.from_dict(data)
    assert read == whole
    numbers = (read.preprocess.height, *read.graphs.b.inputs[0].shape, read.files["labels.txt"].bytes, read.schema_version)
    assert all(type(number) is int for number in numbers)


def test_a_hash_has_no_line_break(whole):
    data = whole.to_dict()
    data["weights"]["sha256"] += "\n"
    with pytest.raises(UserError, match=r"weights\.sha256"):
        Manifest.from_dict(data)


def test_the_longest_class_name_is_the_schemas(whole):
    assert load_schema()["properties"]["classes"]["items"]["maxLength"] == MAX_CLASS_NAME
    data = whole.to_dict()
    data["classes"][0] = "猫" * MAX_CLASS_NAME
    assert Manifest.from_dict(data).classes[0] == data["classes"][0]


def test_scripts_and_emoji_with_joiners_are_printable(whole):
    data = whole.to_dict()
    data["classes"] = ["می\u200cخواهم", "👩\u200d🚀", "क्\u200dष"]
    assert list(Manifest.from_dict(data).classes) == data["classes"]


def test_the_schemas_limits_are_the_tables():
    schema = load_schema()
    assert schema["properties"]["host_step"]["properties"]["ops"]["maxItems"] == host_table().max_ops
    assert schema["$defs"]["extent"]["maximum"] == host_table().max_elements
