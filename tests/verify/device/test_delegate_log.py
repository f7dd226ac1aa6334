"""The delegate's own line, found among those of other processes and assigned to the right file."""

from __future__ import annotations

import time

import pytest

from detr2litert.verify.device.delegate_log import Delegated, last_pid, parse_log


def line(pid: int, tag: str, text: str) -> str:
    return f"11-21 08:00:00.123  {pid:5d}  4712 I {tag:<8}: {text}"


def compiling(pid: int, file: str) -> str:
    return line(pid, "DetrSample", f"compiling {file} for the GPU")


def replacing(pid: int, taken: int, nodes: int, partitions: int = 1, name: str = "TfLiteGpuDelegateV2") -> str:
    message = f"Replacing {taken} out of {nodes} node(s) with delegate ({name}) node"
    return line(pid, "tflite", f"{message}, yielding {partitions} partitions for subgraph 0.")


LOG = "\n".join(
    [
        "--------- beginning of main",
        compiling(900, "graph_a.tflite"),
        replacing(900, 1, 9),
        compiling(4711, "graph_a.tflite"),
        replacing(900, 2, 9),
        replacing(4711, 120, 120),
        line(4711, "tflite", "Created TensorFlow Lite delegate for GPU."),
        compiling(4711, "graph_b.tflite"),
        replacing(4711, 40, 45, 3),
        replacing(4711, 5, 45, 2, "TfLiteXNNPackDelegate"),
        "",
        "not a line of logcat (4711)",
    ]
)


def test_lines_of_one_process_by_file() -> None:
    assert parse_log(LOG, 4711) == (
        Delegated("graph_a.tflite", "TfLiteGpuDelegateV2", 120, 120, 1),
        Delegated("graph_b.tflite", "TfLiteGpuDelegateV2", 40, 45, 3),
        Delegated("graph_b.tflite", "TfLiteXNNPackDelegate", 5, 45, 2),
    )
    assert [found.taken for found in parse_log(LOG, 900)] == [1, 2]
    assert parse_log(LOG, 471) == ()
    assert parse_log("", 4711) == ()


def test_a_line_before_any_file_is_ignored() -> None:
    assert [found.file for found in parse_log(replacing(7, 3, 3), 7)] == [""]


def test_a_file_that_is_compiled_again_counts_from_there() -> None:
    """Graph A is the same file in both forms; native graph B is refused, so both portable ones follow."""
    log = [compiling(7, "graph_a.tflite"), replacing(7, 9, 9), compiling(7, "graph_b.native.tflite"), replacing(7, 1, 3, 2)]
    log += [compiling(7, "graph_a.tflite"), replacing(7, 9, 9), compiling(7, "graph_b.tflite"), replacing(7, 4, 4)]
    assert [(found.file, found.taken) for found in parse_log("\n".join(log), 7)] == [
        ("graph_b.native.tflite", 1),
        ("graph_a.tflite", 9),
        ("graph_b.tflite", 4),
    ]


def test_the_last_process() -> None:
    assert last_pid(LOG) == 4711
    assert last_pid(LOG, 900) == 900
    assert last_pid(LOG, 901) is None
    assert last_pid("") is None
    assert last_pid(replacing(7, 3, 3)) is None


@pytest.mark.parametrize(
    ("found", "whole"),
    [
        (Delegated("a", "TfLiteGpuDelegateV2", 9, 9, 1), True),
        (Delegated("a", "TfLiteGpuDelegateV2", 8, 9, 1), False),
        (Delegated("a", "TfLiteGpuDelegateV2", 9, 9, 2), False),
        (Delegated("a", "TfLiteGpuDelegateV2", 0, 0, 1), False),
        (Delegated("a", "TfLiteXNNPackDelegate", 9, 9, 1), False),
    ],
)
def test_whole(found: Delegated, whole: bool) -> None:
    assert found.whole is whole


@pytest.mark.parametrize(
    "line",
    [
        "11-27 10:00:00.000  4711  4711 I " + " " * 10**6,
        "11-27 10:00:00.000  4711  4711 I " + " :" * 10**6,
        " " * 10**6,
        "1" * 10**6,
        "11-27 10:00:00.000  " + "4" * 10**6 + "  4711 I tflite: x",
        "11-27 10:00:00.000  4711  4711 I tflite: Replacing " + "1" * 10**4 + " out of 1 node(s) with delegate (x) node, "
        "yielding 1 partitions for subgraph 0.",
    ],
    ids=["blanks", "colons", "only blanks", "digits", "a process", "nodes"],
)
def test_a_hostile_line_is_skipped_at_once(line: str) -> None:
    start = time.monotonic()
    assert parse_log(f"{line}\n{LOG}", 4711) == parse_log(LOG, 4711)
    assert last_pid(f"{LOG}\n{line}") == last_pid(LOG)
    assert time.monotonic() - start < 5


def test_lines_of_delegates_are_read_up_to_a_limit() -> None:
    assert len(parse_log("\n".join(replacing(7, 3, 3) for _ in range(10**4)), 7)) == 100
