"""The app's messages and files as typed data; android_sample/INSTRUMENTATION.md specifies them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from detr2litert.verify.adb.errors import CommandFailedError
from detr2litert.verify.device.drive import check_written
from detr2litert.verify.device.protocol import TIMED, TensorFile, encode, file_name, given, parse_instrument, parse_result
from tests.verify.device.device_runs import RUN, SHA256, packed, record

HOSTILE = "\x1b]0;title\x07\x1b[2J\nerror: \ud800" + "Pixel" * 1000
OK = """INSTRUMENTATION_STATUS: stage=bundle
INSTRUMENTATION_STATUS_CODE: 1
INSTRUMENTATION_STATUS: stage=run
INSTRUMENTATION_STATUS_CODE: 1
INSTRUMENTATION_RESULT: stage=done
INSTRUMENTATION_RESULT: status=ok
INSTRUMENTATION_CODE: -1
"""


def test_a_run_that_succeeded() -> None:
    for text in (OK, OK.replace("\n", "\r\n")):
        ended = parse_instrument(text)
        assert (ended.status, ended.stage, ended.kind, ended.message) == ("ok", "done", "", "")


def test_a_failure_that_the_app_reports() -> None:
    text = OK.replace("status=ok", "status=failed\nINSTRUMENTATION_RESULT: kind=engine_gpu_refused").replace("done", "compile")
    ended = parse_instrument(f"{text}INSTRUMENTATION_RESULT: message=a = b: c\n")
    assert (ended.status, ended.stage, ended.kind, ended.message) == ("failed", "compile", "engine_gpu_refused", "a = b: c")


def test_a_process_that_died_or_was_cut_off() -> None:
    begun = OK[: OK.index("INSTRUMENTATION_RESULT")]
    ended = parse_instrument(f"{begun}INSTRUMENTATION_RESULT: shortMsg=Process crashed.\nINSTRUMENTATION_CODE: 0\n")
    assert (ended.status, ended.stage, ended.message) == ("crashed", "run", "Process crashed.")
    ended = parse_instrument(begun)
    assert (ended.status, ended.stage, ended.message) == ("crashed", "run", "the process died")
    assert parse_instrument("").stage == "start"
    assert parse_instrument(OK.replace("status=ok", "status=fine")).status == "crashed"


def test_the_form_of_the_graphs() -> None:
    older = parse_result(packed(record()), RUN, SHA256)
    assert (older.form, older.refusal) == ("portable", ""), "an app before the native form records none"
    native = record() | {"graphs": {"form": "native", "a": "a.tflite", "b": "b.native.tflite", "native_refused": None}}
    assert parse_result(packed(native), RUN, SHA256).form == "native"
    refused = record() | {"graphs": {"form": "portable", "native_refused": "b.native.tflite\nis refused"}}
    result = parse_result(packed(refused), RUN, SHA256)
    assert (result.form, result.refusal) == ("portable", "b.native.tflite is refused")


def test_a_result() -> None:
    result = parse_result(packed(record()), RUN, SHA256)
    assert result.pid == 4711
    assert result.thermal == (0, None)
    assert result.milliseconds == dict.fromkeys(TIMED, (1.0, 2.5))
    (tensor,) = result.tensors
    assert (tensor.stage, tensor.name, tensor.shape, tensor.length) == ("a", "m", (1, 2), 8)
    without = {key: value for key, value in record().items() if key != "thermal"}
    assert parse_result(packed(without), RUN, SHA256).thermal == (None, None)


@pytest.mark.parametrize(
    ("keys", "value", "words"),
    [
        (("protocol",), 2, "uses parity protocol 2, not 1; install"),
        (("request", "run"), "runs/convert-0/run-1", "another run .runs/convert-0/run-1, not"),
        (("bundle", "manifest_sha256"), "cd" * 32, "another bundle; `convert push`"),
        (("app",), {}, "'pid'"),
        (("app", "pid"), "x", "not of protocol 1"),
        (("device",), None, "not of protocol 1"),
        (("device",), "Pixel", "not of protocol 1"),
        (("milliseconds", "run_a"), None, "not of protocol 1"),
        (("milliseconds", "run_a"), ["fast"], "not of protocol 1"),
        (("graphs",), {"form": "mixed"}, "the form 'mixed' of the graphs"),
        (("graphs",), {"form": None}, "the form None of the graphs"),
        (("graphs",), ["native"], "not of protocol 1"),
        (("thermal",), [1], "not of protocol 1"),
        (("thermal", "before"), "hot", "not of protocol 1"),
        (("thermal", "before"), float("nan"), "not of protocol 1"),
        (("protocol",), "\x1b[2J", "unprintable"),
        (("protocol",), "2" * 10**5, "not of protocol 1"),
        (("request", "run"), ["run"] * 10**5, "not of protocol 1"),
        (("thermal", "before"), float("inf"), "not of protocol 1"),
        (("app", "pid"), float("inf"), "not of protocol 1"),
        (("milliseconds", "run_a"), [float("nan")], "not of protocol 1"),
        (("milliseconds", "run_a"), [-1], "not of protocol 1"),
        (("tensors",), None, "not of protocol 1"),
        (("tensors",), [None] * 10**5, "not of protocol 1"),
        (("tensors", 0, "shape"), [1] * 10**5 + [-1], "not of protocol 1"),
        (("tensors", 0, "shape"), [float("inf")], "not of protocol 1"),
        (("tensors", 0, "file"), "out/" + "a/" * 10**5 + "m", "not of protocol 1"),
        (("tensors", 0, "dtype"), "float64", "float64"),
        (("tensors", 0, "stage"), "c", "stage c"),
        (("tensors", 0, "shape"), [-1, 2], "-1 is less than the minimum"),
        (("tensors", 0, "shape"), None, "not of protocol 1"),
        (("tensors", 0, "file"), "../../shared_prefs/x.xml", "shared_prefs"),
        (("tensors", 0, "file"), "/data/x", "/data/x"),
        (("tensors", 0, "file"), "in/a/m.f32", "in/a/m.f32"),
        ((), [], "not of protocol 1"),
        ((), None, "not of protocol 1"),
    ],
)
def test_a_result_that_is_refused(keys: tuple[Any, ...], value: Any, words: str) -> None:
    changed: Any = record()
    if not keys:
        changed = value
    else:
        inner = changed
        for key in keys[:-1]:
            inner = inner[key]
        inner[keys[-1]] = value
    with pytest.raises(CommandFailedError, match=words) as caught:
        parse_result(packed(changed), RUN, SHA256)
    assert len(str(caught.value)) < 2500
    assert str(caught.value).isprintable()


@pytest.mark.parametrize(
    "facts",
    [
        {"model": HOSTILE},
        {"abis": ["arm64-v8a", HOSTILE]},
        {HOSTILE: 1},
        {"clock": 1e999},
        {f"fact {number}": number for number in range(1000)},
        {"model": "m" * 10**5},
    ],
    ids=["text", "list", "name", "infinite", "many", "long"],
)
def test_what_describes_a_device_is_printed_and_so_must_be_printable(facts: dict[str, Any]) -> None:
    with pytest.raises(CommandFailedError, match="not of protocol 1") as caught:
        parse_result(packed(record() | {"device": facts}), RUN, SHA256)
    assert str(caught.value).isprintable() and len(str(caught.value)) < 1000


def test_a_refusal_of_several_lines_becomes_one() -> None:
    refused = record() | {"graphs": {"form": "portable", "native_refused": "graph_a:\n\tCUSTOM: not supported" + "x" * 5000}}
    refusal = parse_result(packed(refused), RUN, SHA256).refusal
    assert refusal.startswith("graph_a: CUSTOM: not supported") and refusal.isprintable() and len(refusal) <= 1000


def test_how_a_run_ended_is_shown_without_effect() -> None:
    ended = parse_instrument(f"INSTRUMENTATION_STATUS: stage=\nINSTRUMENTATION_RESULT: message={HOSTILE * 100}\n{'x' * 10**6}")
    assert (ended.status, ended.stage) == ("crashed", "start")
    text = f"INSTRUMENTATION_STATUS: stage={'s' * 10**6}\nINSTRUMENTATION_RESULT: shortMsg={HOSTILE.splitlines()[0]}"
    ended = parse_instrument(text + "y" * 10**6)
    assert len(ended.stage) == 100
    assert ended.message.startswith("\\x1b]0;title") and len(ended.message) < 1100 and ended.message.isprintable()


def test_the_outputs_that_were_written() -> None:
    outputs = {"a": {"m": (1, 2), "n": (3,)}, "host": {}}

    def files(*named: tuple[str, tuple[int, ...]]) -> list[TensorFile]:
        return [TensorFile("a", name, "float32", shape, f"out/a/{name}.f32", SHA256) for name, shape in named]

    right = (("n", (3,)), ("m", (1, 2)))
    check_written(files(*right), outputs)
    for named, words in (
        (right[:1], r"wrote 1 outputs of a, not the bundle's 2 \(m\); install"),
        ((*right, ("m", (1, 2))), r"wrote 3 outputs of a, not the bundle's 2 \(m, m, n\)"),
        ((*right, *((f"\x1b{number}", (1,)) for number in range(10**4))), r"wrote 10002 outputs of a, .*x1b1000, …\)"),
        ((("n", (3,)), ("m", (2**40, 2**40))), r"wrote m of a as \[1099511627776, 1099511627776\], not \[1, 2\]; install"),
        ((("n", (3,)), ("m", (1,) * 10**5)), r"wrote m of a as \[1, .*\] and more, not"),
    ):
        with pytest.raises(CommandFailedError, match=words) as caught:
            check_written(files(*named), outputs)
        assert len(str(caught.value)) < 500 and str(caught.value).isprintable()


@pytest.mark.parametrize("data", [b"", b"{", b"\xff\xfe", b"null", packed(record())[:-9], b"[" * 10**6, b"9" * 10**5])
def test_a_result_that_is_cut_short(data: bytes) -> None:
    with pytest.raises(CommandFailedError, match=r"not of protocol 1 \(.*\); install the app's build"):
        parse_result(data, RUN, SHA256)


@pytest.mark.parametrize(
    ("name", "file"),
    [
        ("memory", "memory.f32"),
        ("a:0", "a%3A0.f32"),
        ("serving/out_1-b", "serving%2Fout_1-b.f32"),
        (".hidden", "%2Ehidden.f32"),
        ("a.b", "a.b.f32"),
        ("..", "%2E..f32"),
        ("../up", "%2E.%2Fup.f32"),
        ("größe", "gr%C3%B6%C3%9Fe.f32"),
        ("点", "%E7%82%B9.f32"),
        ("a b%", "a%20b%25.f32"),
        ("²", "%C2%B2.f32"),
        ("", ".f32"),
    ],
)
def test_a_tensors_file(name: str, file: str) -> None:
    assert file_name(name, "float32") == file


def test_suffixes() -> None:
    assert [file_name("x", dtype) for dtype in ("float32", "int32")] == ["x.f32", "x.i32"]


@pytest.mark.parametrize("dtype", ["int64", "bool", "float16"])
def test_a_result_of_another_dtype_is_refused(dtype: str) -> None:
    changed = record()
    changed["tensors"][0]["dtype"] = dtype
    with pytest.raises(CommandFailedError, match=f"not of protocol 1 .*{dtype}"):
        parse_result(packed(changed), RUN, SHA256)


@pytest.mark.parametrize(
    ("values", "stored"),
    [
        (np.array([[1.5, -0.0], [np.inf, np.nan]], np.float32), "float32"),
        (np.array([[1, -(2**31)]], np.int32), "int32"),
        (np.zeros((1, 0, 4), np.float32), "float32"),
        (np.array(3.0, np.float32), "float32"),
        (np.arange(12, dtype=np.float32).reshape(3, 4).T, "float32"),
    ],
    ids=["float32", "int32", "empty", "scalar", "transposed"],
)
def test_round_trip(values: np.ndarray, stored: str) -> None:
    file = TensorFile("a", "x", stored, values.shape, "out/a/x", "")
    data = encode(values)
    assert len(data) == file.length
    assert np.array_equal(file.decode(data), values, equal_nan=stored == "float32")


def test_bytes_are_little_endian_and_row_major() -> None:
    assert encode(np.array([[1, 2], [3, 4]], np.int32).T) == bytes([1, 0, 0, 0, 3, 0, 0, 0, 2, 0, 0, 0, 4, 0, 0, 0])
    assert encode(np.array([1.0], ">f4").astype(np.float32)) == b"\x00\x00\x80\x3f"


def test_inputs_of_a_stage() -> None:
    tensors = {"a:0": np.array([1], np.int32), "other": np.zeros(3, np.float32)}
    assert given(["a:0"], tensors, "host") == {"in/host/a%3A0.i32": b"\x01\x00\x00\x00"}
