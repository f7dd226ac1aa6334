"""Texts of manifests for the other runtimes, with the verdict of the Python one."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import native_bundle
from hostile_manifests import hostile_manifests

from detr2litert.host_runtime.errors import UserError
from detr2litert.host_runtime.manifest import PIXELS_VERSION, SCHEMA_VERSION, Fit, Manifest

FITS: tuple[Fit, ...] = ("letterbox", "letterbox_top_left")


def manifest_cases(sound: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Yields name and text of manifests: `sound` itself, and copies invalid in one place each."""
    yield "sound", json.dumps(sound)
    yield "not_json", json.dumps(sound)[:-1]
    yield "trailing", json.dumps(sound) + "x"
    yield "array", "[]"
    yield "no_golden", json.dumps({key: value for key, value in sound.items() if key != "golden"})

    def changed(name: str, path: list[str | int], value: Any) -> tuple[str, str]:
        data = copy.deepcopy(sound)
        place: Any = data
        for step in path[:-1]:
            place = place[step]
        if value is KeyError:
            del place[path[-1]]
        else:
            place[path[-1]] = value
        return name, json.dumps(data)

    yield changed("version_1", ["schema_version"], 1)
    yield changed("newer", ["schema_version"], SCHEMA_VERSION + 1)
    yield changed("version_0", ["schema_version"], 0)
    yield changed("version_text", ["schema_version"], "1")
    yield changed("version_flag", ["schema_version"], True)
    same = {key: sound["graphs"][key]["file"] for key in ("a", "b")}
    yield changed("native_same_files", ["native"], same)
    native = {**same, "b": native_bundle.NATIVE_B}
    files = {**sound["files"], native["b"]: sound["files"][same["b"]]}
    yield "native", json.dumps({**sound, "files": files, "native": native})
    yield changed("native_not_listed_a", ["native"], {**same, "a": "graph_a.native.tflite"})
    yield changed("native_not_listed_b", ["native"], native)
    yield changed("native_without_b", ["native"], {"a": same["a"]})
    yield changed("native_extra", ["native"], {**same, "c": same["a"]})
    yield changed("native_number", ["native"], {**same, "b": 1})
    yield changed("native_empty_name", ["native"], {**same, "b": ""})
    yield changed("native_null", ["native"], None)
    yield changed("extra", ["surprise"], 1)
    yield changed("extra_deep", ["preprocess", "surprise"], 1)
    for name in sound:
        if name != "golden":
            yield changed(f"without_{name}", [name], KeyError)
    for name in ("height", "resize", "std", "layout"):
        yield changed(f"without_preprocess_{name}", ["preprocess", name], KeyError)
    yield changed("empty_variant", ["variant"], "")
    yield changed("height_zero", ["preprocess", "height"], 0)
    yield changed("height_whole_float", ["preprocess", "height"], float(sound["preprocess"]["height"]))
    yield changed("height_fraction", ["preprocess", "height"], 8.5)
    yield changed("scale_zero", ["preprocess", "scale"], 0)
    yield changed("std_zero", ["preprocess", "std"], [1, 0, 1])
    yield changed("mean_two", ["preprocess", "mean"], [0, 0])
    yield changed("resize_unknown", ["preprocess", "resize"], "nearest")
    yield changed("resize_8bit", ["preprocess", "resize"], "bilinear_8bit")
    yield changed("channels_unknown", ["preprocess", "channels"], "RGBA")
    yield changed("channels_bgr", ["preprocess", "channels"], "BGR")
    record = {"value": [8, 8], "origin": "the default of cells; the file does not say", "requested": False}
    settings = {
        "resolution": record,
        "resize": {"value": "bilinear", "origin": "x"},
        "num_select": {"value": 4, "origin": "requested", "requested": True},
    }
    yield changed("settings", ["settings"], settings)
    yield changed("settings_empty", ["settings"], {})
    yield changed("settings_unknown", ["settings"], {"surprise": record})
    yield changed("settings_list", ["settings"], [record])
    yield changed("setting_without_origin", ["settings"], {"resolution": {"value": 8}})
    yield changed("setting_extra", ["settings"], {"resolution": {**record, "surprise": 1}})
    yield changed("setting_requested_text", ["settings"], {"resolution": {**record, "requested": "no"}})
    for name, value in (("null", None), ("flag", True), ("empty", []), ("texts", ["a"]), ("many", [1] * 65), ("object", {})):
        yield changed(f"setting_{name}", ["settings"], {"resolution": {**record, "value": value}})

    def picture(name: str, **fields: Any) -> tuple[str, str]:
        return changed(name, ["preprocess"], {**sound["preprocess"], **fields})

    yield picture("fit_stretch", fit="stretch")
    for fit in FITS:
        yield picture(f"fit_{fit}", fit=fit, fill=[114, 0.5, 0])
        yield picture(f"fit_{fit}_without_fill", fit=fit)
        yield picture(f"fit_{fit}_one_fill", fit=fit, fill=[114])
    yield picture("fit_unknown", fit="crop", fill=[114, 114, 114])
    yield picture("fill_of_nothing", fill=[114, 114, 114])
    yield picture("fill_empty", fill=[])
    yield picture("fill_text", fit="letterbox", fill="mean")
    yield picture("grey_with_three_means", channels="L")
    yield picture("grey_of_a_colour_graph", channels="L", mean=[0], std=[1])
    grey = copy.deepcopy(sound)
    grey["preprocess"].update(channels="L", mean=[0.4], std=[0.2])
    grey["graphs"]["a"]["inputs"][0]["shape"][1] = 1
    yield "grey", json.dumps(grey)
    yield changed("layout_nhwc", ["preprocess", "layout"], "NHWC")
    yield "scale_infinite", json.dumps(sound).replace(f'"scale": {sound["preprocess"]["scale"]}', '"scale": 1e999')
    yield changed("sha_upper", ["weights", "sha256"], "A" * 64)
    yield changed("sha_short", ["weights", "sha256"], "a" * 63)
    yield changed("random_number", ["weights", "random"], 0)
    yield changed("versions_number", ["versions"], {"torch": 2})
    yield changed("rank_five", ["graphs", "a", "outputs", 0, "shape"], [1, 1, 1, 1, 1])
    for dtype in ("float16", "int64", "bool"):
        yield changed(f"dtype_{dtype}", ["graphs", "a", "outputs", 0, "dtype"], dtype)
    yield changed("constant_bool", ["host_step", "constants", 0, "dtype"], "bool")
    for op in ("where", "reduce_max", "toString"):
        yield changed(f"host_op_{op}", ["host_step", "ops", 1, "op"], op)
    yield changed("no_outputs", ["graphs", "a", "outputs"], [])
    yield changed("twice", ["graphs", "a", "outputs", 1, "name"], sound["graphs"]["a"]["outputs"][0]["name"])
    yield changed("graph_c", ["graphs", "c"], sound["graphs"]["a"])
    yield changed("file_not_listed", ["graphs", "a", "file"], "other.tflite")
    yield changed("image_shape", ["preprocess", "width"], 16)
    yield changed("host_reads_unknown", ["host_step", "inputs"], ["nothing"])
    yield changed("host_output_unknown", ["host_step", "outputs"], ["nothing"])
    yield changed("host_op_without_output", ["host_step", "ops", 0, "output"], KeyError)
    yield changed("host_assigns_twice", ["host_step", "ops", 1, "output"], sound["host_step"]["ops"][0]["output"])
    yield changed("b_reads_unknown", ["graphs", "b", "inputs", 0, "name"], "nothing")
    yield changed("boxes_unknown", ["postprocess", "boxes"], "nothing")
    yield changed("boxes_are_logits", ["postprocess", "boxes"], sound["postprocess"]["logits"])
    yield changed("kind_unknown", ["postprocess", "kind"], "softmax")
    yield changed("select_zero", ["postprocess", "num_select"], 0)
    yield changed("ignored_unknown", ["postprocess", "ignored_classes"], [len(sound["classes"])])
    yield changed("ignored_negative", ["postprocess", "ignored_classes"], [-1])
    yield changed("classes_short", ["classes"], sound["classes"][:-1])
    yield changed("classes_null", ["classes"], [None] * len(sound["classes"]))
    yield changed("classes_number", ["classes"], [1] * len(sound["classes"]))
    yield changed("bytes_negative", ["files", "labels.txt", "bytes"], -1)
    yield changed("threshold_high", ["golden", "threshold"], 1.5)
    yield changed("golden_not_listed", ["golden", "image"], "golden/other.png")


def pixels_cases(two: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Yields name and text of manifests whose native form takes pixels, from a sound one of two graphs without."""
    graphs = two["graphs"]
    native = {"a": graphs["b"]["file"], "b": graphs["b"]["file"], "pixels": "pixels"}
    sound = {**two, "schema_version": PIXELS_VERSION, "native": native}
    sound["preprocess"] = {**two["preprocess"], "resize": "bilinear_8bit"}

    def changed(name: str, **fields: Any) -> tuple[str, str]:
        return f"native_pixels_{name}", json.dumps({**sound, **fields})

    def prepared(name: str, **fields: Any) -> tuple[str, str]:
        return changed(name, preprocess={**sound["preprocess"], **fields})

    yield changed("sound")
    yield changed("of_version_5", schema_version=5)
    yield changed("absent", native={"a": native["a"], "b": native["b"]})
    yield changed("null", native={**native, "pixels": None})
    yield changed("of_the_portable_graph", native={**native, "a": graphs["a"]["file"]})
    yield changed("empty", native={**native, "pixels": ""})
    yield changed("number", native={**native, "pixels": 1})
    yield changed("named_image", native={**native, "pixels": graphs["a"]["inputs"][0]["name"]})
    yield changed("named_output", native={**native, "pixels": graphs["a"]["outputs"][0]["name"]})
    yield prepared("of_floats", resize="bilinear")
    yield prepared("padded", fit="letterbox", fill=[114, 0, 255.0])
    yield prepared("padded_between", fit="letterbox", fill=[114.5, 0, 255])
    yield prepared("padded_beyond", fit="letterbox", fill=[114, 0, 256])
    yield prepared("padded_below", fit="letterbox", fill=[114, -1, 255])
    a = copy.deepcopy(graphs["a"])
    a["inputs"][0]["dtype"] = "uint8"
    yield changed("portable_too", graphs={**graphs, "a": a})


def one_graph_cases(one: dict[str, Any], two: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Yields name and text of manifests of one graph, from a sound one and one of two graphs."""
    only = one["graphs"]["a"]["file"]

    def changed(name: str, **fields: Any) -> tuple[str, str]:
        return f"one_graph_{name}", json.dumps({**one, **fields})

    yield changed("sound")
    yield changed("of_version_2", schema_version=2)
    yield changed("of_version_1", schema_version=1)
    yield changed("null", graphs={**one["graphs"], "b": None})
    yield changed("b_alone", graphs={"b": one["graphs"]["a"]})
    yield changed("with_a_host_step", host_step=two["host_step"])
    yield changed("reading_indices", host_step={**one["host_step"], "inputs": ["indices"]})
    yield changed("without_logits", postprocess={**one["postprocess"], "logits": "nothing"})
    yield changed("native", native={"a": only})
    yield changed("native_b", native={"a": only, "b": only})
    yield changed("native_null", native={"a": only, "b": None})
    yield changed("and_another", graphs={**one["graphs"], "b": two["graphs"]["b"]})
    yield "two_graphs_of_version_3", json.dumps({**two, "schema_version": 3})
    yield "two_graphs_without_b", json.dumps({**two, "schema_version": 3, "graphs": {"a": two["graphs"]["a"]}})


def masks_cases(masks: dict[str, Any], one: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Yields name and text of manifests with masks, from a sound one and one without."""
    graphs, post = masks["graphs"], masks["postprocess"]

    def changed(name: str, **fields: Any) -> tuple[str, str]:
        return f"masks_{name}", json.dumps({**masks, **fields})

    def other(name: str, **fields: Any) -> tuple[str, str]:
        return changed(name, postprocess={**post, "masks": {**post["masks"], **fields}})

    def tensors(case: str, side: str, place: int, **fields: Any) -> tuple[str, str]:
        m = copy.deepcopy(graphs["m"])
        m[side][place].update(fields)
        return changed(case, graphs={**graphs, "m": m})

    (kept,) = (place for place, spec in enumerate(graphs["m"]["inputs"]) if spec["name"] == post["masks"]["kept"])
    yield changed("sound")
    yield changed("of_version_3", schema_version=3)
    yield changed("without_graph", graphs=one["graphs"])
    yield changed("without_spec", postprocess=one["postprocess"])
    yield changed("null", graphs={**graphs, "m": None})
    yield changed("null_spec", postprocess={**post, "masks": None})
    yield changed("file_not_listed", files={name: file for name, file in masks["files"].items() if name != graphs["m"]["file"]})
    yield changed("native", native={"a": graphs["a"]["file"], "m": graphs["m"]["file"]})
    yield changed("native_without_m", native={"a": graphs["a"]["file"]})
    yield changed("native_m_not_listed", native={"a": graphs["a"]["file"], "m": "graph_m.native.tflite"})
    yield (
        "masks_of_native_alone",
        json.dumps({**one, "schema_version": 4, "native": {"a": "graph_a.tflite", "m": "graph_a.tflite"}}),
    )
    yield "one_graph_of_version_4", json.dumps({**one, "schema_version": 4})
    yield other("kind_unknown", kind="nearest")
    within = {**post, "masks": {**post["masks"], "within_box": True, "activation": "sigmoid"}}
    yield changed("within_boxes", postprocess=within, schema_version=5)
    yield changed("within_boxes_of_version_4", postprocess=within)
    yield other("plain_by_name", within_box=False, activation="none")
    yield other("activation_unknown", activation="tanh")
    yield other("within_box_a_number", within_box=1)
    yield other("kept_unknown", kept="chosen")
    yield other("output_unknown", output="mask")
    yield other("extra", threshold=0.5)
    yield other("empty_name", kept="")
    yield tensors("kept_float", "inputs", kept, dtype="float32")
    yield tensors("kept_of_two_dimensions", "inputs", kept, shape=[1, *graphs["m"]["inputs"][kept]["shape"]])
    yield tensors("embedding_of_another_shape", "inputs", (kept + 1) % 3, shape=[1, 4, 4, 2])
    yield tensors("output_of_another_room", "outputs", 0, shape=[1, 4, 4, 3])
    yield tensors("output_of_rank_three", "outputs", 0, shape=[4, 4, 2])
    yield tensors("output_of_indices", "outputs", 0, dtype="int32")
    yield tensors("output_of_two_pictures", "outputs", 0, shape=[2, 4, 4, 2])
    yield tensors("too_many_elements", "outputs", 0, shape=[1, 8192, 8192, 2])
    yield tensors("named_twice", "inputs", kept, name=graphs["m"]["inputs"][(kept + 1) % 3]["name"])


def write_manifests(path: Path, sound: dict[str, Any], one: dict[str, Any], masks: dict[str, Any]) -> None:
    write_verdicts(path, (*manifest_cases(sound), *pixels_cases(sound), *one_graph_cases(one, sound), *masks_cases(masks, one)))


def write_verdicts(path: Path, named: Iterable[tuple[str, str]]) -> None:
    """Writes names and texts with the verdict of the Python runtime."""
    cases = []
    for name, text in named:
        try:
            Manifest.from_json(text)
            verdict = "read"
        except UserError:
            verdict = "refused"
        cases.append({"name": name, "text": text, "verdict": verdict})
    path.write_text(json.dumps(cases))


def write_hostile(path: Path, sound: dict[str, Any]) -> None:
    lines = [json.dumps({"name": name, "text": text}) for name, text in hostile_manifests(sound)]
    path.write_text("\n".join(lines) + "\n")
