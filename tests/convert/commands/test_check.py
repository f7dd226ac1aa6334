"""``convert check`` on files that this project did not write."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from detr2litert.host_runtime.tflite.writer import ModelWriter
from detr2litert.verify.delegate.adapters import Driver
from detr2litert.verify.probe.suite import SUITE
from tests.conversions import Made
from tests.convert import foreign_files as foreign
from tests.convert.command import Outcome, assert_refused, invoke, verdicts

HOSTILE = "x\x1b[31mred\x1b]0;title\x07\u202eevil\n[bold]日本"


def _lint(path: Path, *arguments: object) -> Outcome:
    return invoke("check", path, "--no-gpu", *arguments)


def _findings(path: Path, gate: int = 0, *arguments: object) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = invoke("check", path, "--json", *arguments).json[gate]["findings"]
    return found


def test_json_has_place_tensors_reason_and_suggested_fix_as_fields(tmp_path: Path) -> None:
    path = foreign.one_op(tmp_path / "model.tflite", "GATHER_ND", HOSTILE, "taken")
    (found,) = _findings(path, 0, "--no-gpu")
    assert (found["graph"], found["op"], found["operator"]) == ("model", 0, "GATHER_ND")
    assert found["tensors"] == [{"index": 2, "name": "taken", "shape": [1, 4, 4, 8], "dtype": "float32"}]
    assert found["rule"] == "gather-nd" and found["severity"] == "refused"
    assert "not supported" in found["why"] and "one-hot" in found["advice"] and "fixed_by" in found


def test_text_groups_places_under_their_rule(tmp_path: Path) -> None:
    w = ModelWriter()
    x = w.input("x", foreign.SHAPE)
    for i in range(5):
        x = w.op("RELU_0_TO_1", [x], {f"pkg.A_a/pkg.B_{i};7": foreign.SHAPE})
    outcome = _lint(w.write(tmp_path / "model.tflite", [x]))
    assert outcome.stdout.count("relu-0-to-1") == outcome.stdout.count("drop the clamp") == 1
    assert "5 places" in outcome.stdout and "… and 2 more" in outcome.stdout
    assert "model op 1 RELU_0_TO_1: RELU_0_TO_1 is refused  [#2 A_a/B_1" in outcome.stdout
    assert "float32[1, 4, 4, 8]" in " ".join(outcome.stdout.split())


def test_control_characters_of_a_name_are_escaped(tmp_path: Path) -> None:
    path = foreign.one_op(tmp_path / "model\x1b[1m.tflite", f"CUSTOM:{HOSTILE}", HOSTILE, f"{HOSTILE}2")
    for arguments in ((), ("--no-gpu",), ("--fail-on", "risk"), ("--target", "\x1b[1mpixle")):
        outcome = invoke("check", path, *arguments)
        for character in "\x1b\x07\u202e\x00":
            assert character not in outcome.stdout + outcome.stderr
    outcome = invoke("check", path, "--json")
    assert "\x1b" not in outcome.stdout
    assert outcome.json[0]["findings"][0]["operator"] == f"CUSTOM:{HOSTILE}"  # a program gets the file's own text
    assert_refused(invoke("check", tmp_path / "none\x1b[1m"), "none\\x1b[1m")


def test_a_long_name_does_not_fill_the_screen(tmp_path: Path) -> None:
    outcome = _lint(foreign.one_op(tmp_path / "model.tflite", "GATHER_ND", "x", "y" * 100_000))
    assert len(outcome.stdout) < 2000


@pytest.mark.parametrize(
    ("severity", "codes"),
    [("refused", (1, 1, 1)), ("wrong", (0, 1, 1)), ("risk", (0, 0, 1)), ("", (0, 0, 0))],
    ids=["refused", "wrong", "risk", "nothing"],
)
def test_fail_on(severity: str, codes: tuple[int, ...], tmp_path: Path) -> None:
    path = tmp_path / "model.tflite"
    if severity == "wrong":
        w = ModelWriter()
        w.op("SOFTMAX", [w.input("x", (16,))], {"y": (16,)}, beta=1.0)
        w.write(path, ["y"])
    else:
        foreign.one_op(path, {"refused": "GATHER_ND", "risk": "CUSTOM:moe"}.get(severity, "MUL"))
    for level, code in zip(("refused", "wrong", "risk"), codes, strict=True):
        assert _lint(path, "--fail-on", level).code == code, level
    assert _lint(path).code == codes[1]
    assert _lint(path, "--fail-on", "sometimes").code == 2


def test_the_delegate_counts_as_its_findings_do(driver: Driver, tmp_path: Path) -> None:
    w = ModelWriter()
    w.op("BATCH_MATMUL", [w.input("a", (8, 4, 4100)), w.input("b", (8, 4100, 8))], {"y": (8, 4, 8)})
    path = w.write(tmp_path / "texture.tflite", ["y"])
    outcome = invoke("check", path, "--no-numbers", "--json")
    assert verdicts(outcome.json) == {"lint": "failed", "residency": "failed"}
    mild = invoke("check", path, "--no-numbers", "--fail-on", "refused")
    assert mild.code == 0 and "less severe than --fail-on refused, so not counted: residency" in mild.stderr
    refused = foreign.one_op(tmp_path / "mystery.tflite", "CUSTOM:Mystery")
    assert invoke("check", refused, "--fail-on", "refused").code == 1


def test_every_signature_is_checked(driver: Driver, tmp_path: Path) -> None:
    good = foreign.edit(foreign.one_op(tmp_path / "good.tflite"), foreign.add_signature)
    assert verdicts(invoke("check", good, "--json").json) == dict.fromkeys(("lint", "residency", "numbers"), "passed")
    path = foreign.one_op(tmp_path / "model.tflite")
    foreign.edit(path, lambda model: foreign.add_signature(model, "Mystery"))
    outcome = invoke("check", path, "--json")
    (lint,), (residency,), () = (gate["findings"] for gate in outcome.json)
    assert (lint["graph"], lint["op"], lint["operator"]) == ("model:other", 0, "CUSTOM:Mystery")
    assert (residency["op"], residency["operator"]) == (0, "CUSTOM:Mystery") and "what the lint finds" in residency["advice"]
    assert set(outcome.json[0]["data"]["op_counts"]) == {"model:serving_default", "model:other"}


def test_a_refusal_names_its_operator_and_whether_the_lint_knows_it(driver: Driver, tmp_path: Path) -> None:
    w = ModelWriter()
    x = w.op("ABS", [w.input("x", (1, 2, 3, 4, 5))], {"five": (1, 2, 3, 4, 5)})
    (found, *_) = _findings(w.write(tmp_path / "rank.tflite", [x]), 1)
    assert (found["op"], found["operator"]) == (0, "ABS") and "what the lint finds" in found["advice"]
    assert found["tensors"][0]["shape"] == [1, 2, 3, 4, 5]


def test_each_gate_finds_a_miscomputation_without_the_others(driver: Driver, tmp_path: Path) -> None:
    path = next(probe for probe in SUITE if probe.name == "split_difference").write(tmp_path)
    lint = invoke("check", path, "--no-numbers", "--json")
    assert lint.code == 1 and verdicts(lint.json) == {"lint": "failed", "residency": "passed"}
    numbers = invoke("check", path, "--no-lint", "--json")
    assert numbers.code == 1 and verdicts(numbers.json) == {"residency": "passed", "numbers": "failed"}
    assert numbers.json[1]["findings"][0]["operator"] == "SUB"
    assert_refused(invoke("check", path, "--no-lint", "--no-gpu"), "nothing is left to check")


def test_given_inputs_are_compared_on(driver: Driver, tmp_path: Path) -> None:
    path = foreign.one_op(tmp_path / "m.tflite")
    np.savez(tmp_path / "in.npz", x=np.ones(foreign.SHAPE, np.float32), z=np.ones(foreign.SHAPE, np.float32))
    good = invoke("check", path, "--inputs", tmp_path / "in.npz", "--json")
    assert good.code == 0 and good.json[2]["data"]["graphs"]["m"]["sets"][0] == "the given inputs"
    np.savez(tmp_path / "bad.npz", x=np.ones(3))
    assert_refused(invoke("check", path, "--inputs", tmp_path / "bad.npz"), "bad.npz", "the inputs of m are x, z")


def test_a_rule_of_another_backend_is_a_note_without_a_target(tmp_path: Path) -> None:
    path = next(probe for probe in SUITE if probe.name == "tokens_two_readers").write(tmp_path)
    (found,) = _findings(path, 0, "--no-gpu")
    assert (found["rule"], found["severity"]) == ("token-fan-out", "risk") and "opencl" in found["why"]
    assert _lint(path).code == 0 and _lint(path, "--target", "pixel").code == 1


def test_malformed_operators_are_findings(tmp_path: Path) -> None:
    path = foreign.edit(foreign.one_op(tmp_path / "model.tflite", "SOFTMAX"), foreign.without_operands)
    found = _findings(path, 0, "--no-gpu")
    assert (found[-1]["rule"], found[-1]["op"], found[-1]["severity"]) == ("malformed-op", 0, "refused")


def test_minimal_files(driver: Driver, tmp_path: Path) -> None:
    plain = foreign.edit(foreign.one_op(tmp_path / "unsigned"), foreign.without_signature)
    assert invoke("check", plain).code == 0
    empty = foreign.edit(foreign.one_op(tmp_path / "empty.tflite"), foreign.without_operators)
    outcome = invoke("check", empty)
    assert outcome.code == 1 and "no operators" in outcome.stdout
    open_ended = foreign.edit(foreign.one_op(tmp_path / "open.tflite"), foreign.with_open_dimension)
    assert invoke("check", open_ended, "--strict").code == 0
    (found,) = _findings(open_ended, 0, "--no-gpu")
    assert found["rule"] == "dynamic-shape" and found["op"] is None and found["tensors"][0]["name"] == "x"


def test_ten_thousand_operators(tmp_path: Path) -> None:
    w = ModelWriter()
    x = w.input("x", foreign.SHAPE)
    for i in range(10_000):
        x = w.op("RELU_0_TO_1" if i % 2 else "ABS", [x], {f"t{i}": foreign.SHAPE})
    path = w.write(tmp_path / "many.tflite", [x])
    outcome = _lint(path)
    assert outcome.code == 1 and "5000 places" in outcome.stdout and len(outcome.stdout) < 2000
    assert len(json.loads(_lint(path, "--json").stdout)[0]["findings"]) == 5000


def test_the_delegate_has_a_time_limit(driver: Driver, tmp_path: Path) -> None:
    w = ModelWriter()
    x = w.input("x", foreign.SHAPE)
    for i in range(2000):
        x = w.op("SIN" if i % 2 else "ABS", [x], {f"t{i}": foreign.SHAPE})
    outcome = invoke("check", w.write(tmp_path / "many.tflite", [x]), "--timeout", 1)
    assert outcome.code == 1 and "timed out" in outcome.stdout and "give it more time" in outcome.stdout


def test_a_file_that_is_not_a_model_is_identified(tiny: Made, tmp_path: Path) -> None:
    (tmp_path / "model.onnx").write_bytes(b"\x08\x07\x12\x07pytorch" + bytes(100))
    (tmp_path / "weights.pth").write_bytes(bytes(100))
    (tmp_path / "pointer.tflite.txt").write_text("version https://git-lfs.github.com/spec/v1\n")
    (tmp_path / "pointer.tflite").write_text("version https://git-lfs.github.com/spec/v1\n")
    folder = tmp_path / "folder"
    folder.mkdir()
    foreign.one_op(folder / "inner.tflite")
    for name, words in {
        "model.onnx": ("ONNX", "onnx2tf"),
        "weights.pth": ("checkpoint", "convert run --weights"),
        "pointer.tflite.txt": ("Git LFS", "git lfs pull"),
        "pointer.tflite": ("Git LFS", "git lfs pull"),
        "folder": ("no manifest.json", "inner.tflite"),
        "none": ("no file at", ".tflite"),
    }.items():
        assert_refused(invoke("check", tmp_path / name), name, *words)
    assert invoke("check", tiny.bundle.with_suffix(".zip"), "--no-gpu").code == 0
