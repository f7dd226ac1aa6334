"""Manifests that are wrong on purpose, each in one place: numbers, texts, nesting, and host steps that would take all memory.

Python, Kotlin and JavaScript must refuse every one with one line (``tests/android/make_goldens.py`` writes them, one a line).
They are made from a sound manifest, that of ``tiny_bundle``: graph A gives ``enc_scores`` [1, 16] and ``memory`` [1, 16, 3].
"""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from typing import Any

Path = tuple[str | int, ...]
_PLACE = "@@literal@@"


class Literal(str):
    """JSON text that is put into the manifest as it is: a number or an escape that ``json.dumps`` does not write."""


FAR = Literal("1" + "0" * 400)
NOT_NUMBERS: dict[str, Any] = {"text": "1", "null": None, "flag": True, "list": [1], "infinite": Literal("1e999"), "far": FAR}
WHOLE: dict[Path, tuple[str, ...]] = {
    ("preprocess", "height"): ("negative", "fraction", "large", "far", "null"),
    ("graphs", "a", "inputs", 0, "shape", 2): ("large", "fraction", "negative", "flag"),
    ("graphs", "a", "outputs", 0, "shape", 1): ("large", "infinite", "text"),
    ("graphs", "b", "inputs", 0, "shape", 1): ("large", "fraction"),
    ("host_step", "constants", 0, "shape", 0): ("large", "far", "fraction"),
    ("host_step", "ops", 0, "attributes", "k"): ("large", "fraction", "negative", "far"),
    ("host_step", "ops", 1, "attributes", "axis"): ("large", "fraction", "nan", "null"),
    ("postprocess", "num_select"): ("large", "fraction", "far", "list"),
    ("postprocess", "ignored_classes"): ("list_large", "list_fraction", "list_many"),
    ("files", "labels.txt", "bytes"): ("large", "fraction", "negative", "infinite"),
    ("schema_version",): ("fraction", "negative", "far", "null"),
}
"""Where a whole number belongs: what is put there instead, by the names of ``_whole_values``."""
REAL: dict[Path, tuple[str, ...]] = {
    ("preprocess", "scale"): ("far", "infinite", "nan", "negative", "tiny", "text"),
    ("preprocess", "mean", 0): ("far", "nan", "large", "null", "flag"),
    ("preprocess", "std", 2): ("infinite", "negative", "tiny", "huge"),
    ("golden", "threshold"): ("far", "negative", "nan", "text"),
    ("settings",): ("setting_far", "setting_nan", "setting_large", "setting_nested"),
}
TEXTS: dict[Path, tuple[str, ...]] = {
    ("variant",): ("escape", "surrogate", "long", "line"),
    ("target",): ("nul", "long"),
    ("weights", "source"): ("escape", "reversed", "line", "long"),
    ("versions",): ("version_escape", "version_name", "version_many"),
    ("classes", 0): ("escape", "nul", "surrogate", "long", "label", "next_line"),
    ("graphs", "a", "signature"): ("nul", "surrogate"),
    ("host_step", "ops", 2, "output"): ("escape", "long"),
    ("settings",): ("setting_text", "setting_origin", "setting_name"),
    ("files",): ("file_escape", "file_long", "file_many"),
}
_TEXT_VALUES = {
    "escape": "\x1b[2J\x1b]0;owned\x07",
    "nul": "a\0b",
    "surrogate": Literal('"\\ud800"'),
    "long": "x" * 5000,
    "label": "x" * 257,
    "line": "a\nerror: b",
    "reversed": "a\u202eb",
    "next_line": "a\x85b",
}
_WHOLE_VALUES = {"negative": -1, "fraction": 1.5, "large": 10**30, "tiny": 1e-300, "huge": 1e300, "nan": Literal("NaN")}


def hostile_manifests(sound: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Yields name and text, more than a hundred, always the same."""
    text = json.dumps(sound)
    yield from _syntax(text)
    for table in (WHOLE, REAL, TEXTS):
        for path, names in table.items():
            for name in names:
                label = f"{'_'.join(map(str, path))}_{name}"
                yield label, _changed(sound, path, _value(name, sound))
    for name, path in (("constructor", ("constructor",)), ("proto", ("preprocess", "__proto__"))):
        yield name, _changed(sound, path, {"height": 8})
    yield "classes_many", _changed(sound, ("classes",), ["c"] * 70_000)
    yield "outputs_many", _changed(sound, ("graphs", "a", "outputs"), [_tensor(f"t{n}", 1) for n in range(200)])
    yield "rank_five", _changed(sound, ("graphs", "b", "outputs", 0, "shape"), [1] * 5)
    yield "tensor_of_a_tebibyte", _with_outputs(sound, _tensor("big", 2**13, 2**13, 2**13, 2**8))
    yield "tensors_of_a_gibibyte", _with_outputs(sound, *(_tensor(f"big{n}", 2**13, 2**12) for n in range(8)))
    for name, changes in host_steps().items():
        yield f"host_{name}", json.dumps(_with_host(sound, changes))


def _syntax(text: str) -> Iterator[tuple[str, str]]:
    yield "nested_arrays", "[" * 100_000
    yield "nested_arrays_closed", "[" * 100_000 + "]" * 100_000
    yield "nested_objects", '{"a":' * 100_000
    yield "larger_than_the_limit", text + " " * (5 * 2**20)
    yield "given_twice", text[:-1] + ', "variant": "other"}'
    yield "given_twice_escaped", text[:-1] + ', "v\\u0061riant": "other"}'
    yield "given_twice_inside", text.replace('"height":', '"height": 8, "height":')
    yield "byte_order_mark", "\ufeff" + text
    yield "comment", text + "// more"
    yield "single_quotes", text.replace('"', "'")
    yield "leading_zero", text.replace('"num_select": ', '"num_select": 0')
    yield "raw_control_character", text.replace('"variant": "', '"variant": "\x1b')
    yield "nothing", ""
    yield "null", "null"


def _value(name: str, sound: dict[str, Any]) -> Any:
    setting = {"value": 1, "origin": "requested"}
    files = {**sound["files"]}
    record = files["labels.txt"]
    others: dict[str, Any] = {
        "list_large": [10**30],
        "list_fraction": [0.5],
        "list_many": [0] * 70_000,
        "setting_far": {"x": {**setting, "value": FAR}},
        "setting_nan": {"x": {**setting, "value": [Literal("NaN")]}},
        "setting_nested": {"x": {**setting, "value": Literal("[" * 40 + "]" * 40)}},
        "setting_large": {"x": {**setting, "value": 1e300}},
        "setting_text": {"x": {**setting, "value": "\x1b[31m"}},
        "setting_origin": {"x": {**setting, "origin": "x" * 4000}},
        "setting_name": {"x\n": setting},
        "version_escape": {"torch": "\x1b[2J"},
        "version_name": {"x" * 200: "1"},
        "version_many": {f"p{n}": "1" for n in range(200)},
        "file_escape": {**files, "\x1b[2J": record},
        "file_long": {**files, "x" * 2000: record},
        "file_many": {**files, **{f"f{n}": record for n in range(300)}},
    }
    return {**NOT_NUMBERS, **_WHOLE_VALUES, **_TEXT_VALUES, **others}[name]


def _changed(sound: dict[str, Any], path: Path, value: Any) -> str:
    """The text of a manifest with another value at a place; one `Literal` in it is written as it is."""
    data = copy.deepcopy(sound)
    place: Any = data
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] = value
    literals = list(_literals(data))
    text = json.dumps(_replaced(data))
    assert len(literals) <= 1
    return text.replace(f'"{_PLACE}"', literals[0]) if literals else text


def _literals(value: Any) -> Iterator[Literal]:
    if isinstance(value, Literal):
        yield value
    elif isinstance(value, dict | list):
        for item in value.values() if isinstance(value, dict) else value:
            yield from _literals(item)


def _replaced(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _replaced(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_replaced(item) for item in value]
    return _PLACE if isinstance(value, Literal) else value


def _tensor(name: str, *shape: int) -> dict[str, Any]:
    return {"name": name, "shape": list(shape), "dtype": "float32"}


def _with_outputs(sound: dict[str, Any], *tensors: dict[str, Any]) -> str:
    return _changed(sound, ("graphs", "a", "outputs"), [*sound["graphs"]["a"]["outputs"], *tensors])


def _with_host(sound: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """A manifest whose host step has more ops, outputs or constants, or other ones."""
    data = copy.deepcopy(sound)
    host = data["host_step"]
    host["ops"] = [*changes.get("first", host["ops"]), *changes.get("ops", [])]
    host["outputs"] += changes.get("outputs", [])
    host["constants"] += changes.get("constants", [])
    return data


def _op(op: str, output: str, *inputs: str, **attributes: Any) -> dict[str, Any]:
    return {"op": op, "inputs": list(inputs), "output": output, "attributes": attributes}


def host_steps() -> dict[str, dict[str, Any]]:
    """By name, what is added to the host step; what the ops give is an output only where that is the fault."""
    # [1, 16] -> 2^10 -> 2^16 -> 2^22 -> 2^28 elements.
    grow = [_op("concat", f"x{n + 1}", *[f"x{n}" if n else "enc_scores"] * 64, axis=1) for n in range(4)]
    side = 393_216
    row, column = _tensor("row", 1, side), _tensor("column", side, 1)
    topk, first, second = (
        _op("topk", "indices", "enc_scores", k=4, axis=1),
        _op("gather", "selected_memory", "memory", "indices", axis=1),
        _op("gather", "selected_cells", "cells", "indices", axis=1),
    )
    return {
        "concatenates_to_a_gibibyte": {"ops": grow},
        "broadcasts_to_576_gibibytes": {"ops": [_op("add", "sum", "row", "column")], "constants": [row, column]},
        "broadcasts_to_8_mebibytes": {
            "ops": [_op("add", "sum", "row", "column")],
            "constants": [_tensor("row", 1, 2**11), _tensor("column", 2**10, 1)],
        },
        "multiplies_for_a_minute": {
            "ops": [_op("linear", "y", "left", "right")],
            "constants": [_tensor("left", 2**11, 2**12), _tensor("right", 2**12, 2**12)],
        },
        "grows_by_small_steps": {"ops": [_op("relu", f"r{n}", "x2" if n == 0 else f"r{n - 1}") for n in range(40)], "first": [
            topk, first, second, *grow[:2]]},
        "513_ops": {"ops": [_op("relu", f"r{n}", "enc_scores") for n in range(513)]},
        "60000_ops": {"ops": [{"op": "relu", "inputs": ["memory"], "output": f"r{n}"} for n in range(60_000)]},
        "output_that_graph_b_does_not_read": {"outputs": ["indices"]},
        "output_of_another_shape": {"first": [{**topk, "attributes": {"k": 3, "axis": 1}}, first, second]},
        "output_of_another_type": {"first": [
            _op("topk", "selected_cells", "enc_scores", k=4, axis=1),
            _op("gather", "selected_memory", "memory", "selected_cells", axis=1),
        ]},
        "k_beyond": {"first": [{**topk, "attributes": {"k": 17, "axis": 1}}, first, second]},
        "k_text": {"first": [{**topk, "attributes": {"k": "4", "axis": 1}}, first, second]},
        "k_of_ten_levels": {"first": [{**topk, "attributes": {"k": [[[[[[4]]]]]], "axis": 1}}, first, second]},
        "attribute_unknown": {"first": [{**topk, "attributes": {"k": 4, "axis": 1, "__proto__": 1}}, first, second]},
        "attributes_many": {"first": [{**topk, "attributes": {f"a{n}": 1 for n in range(50)}}, first, second]},
        "attribute_escape": {"ops": [_op("gelu", "g", "memory", approximate="\x1b[2J")]},
        "eps_far": {"ops": [_op("layer_norm", "n", "memory", eps=1e300)]},
        "reads_itself": {"ops": [_op("relu", "r", "r")]},
        "reads_an_inherited_name": {"ops": [_op("relu", "r", "toString")]},
        "inherited_op": {"ops": [_op("constructor", "r", "memory")]},
        "inputs_many": {"ops": [_op("concat", "c", *["memory"] * 5000, axis=1)]},
        "constants_many": {"constants": [_tensor(f"c{n}", 1) for n in range(600)]},
        "slice_of_nothing": {"ops": [_op("slice", "s", "memory", axis=1, start=16, end=17)]},
        "reshape_to_2_to_the_64": {"ops": [_op("reshape", "s", "memory", shape=[65536] * 4)]},
    }  # fmt: skip
