"""The format of results."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from detr2litert.convert.cli.output import print_result
from detr2litert.verify.gates import GateResult, Measurement, Verdict
from tests.convert.command import environment, spawn


def test_json_has_no_nan_or_infinity(capsys: pytest.CaptureFixture[str]) -> None:
    figures = tuple(
        Measurement("graph_a", "max_abs_diff", value, 1.0, at_least=False) for value in (float("inf"), float("nan"), 0.5)
    )
    data = {"worst": np.float32("-inf"), "file": Path("x"), "verdict": Verdict.FAILED, "count": np.int64(3)}
    print_result([GateResult("numerics", Verdict.FAILED, "off", measurements=figures, data=data)], as_json=True)

    def refuse(constant: str) -> None:
        raise ValueError(constant)

    (gate,) = json.loads(capsys.readouterr().out, parse_constant=refuse)
    assert [figure["value"] for figure in gate["measurements"]] == ["inf", "nan", 0.5]
    assert gate["data"] == {"worst": "-inf", "file": "x", "verdict": "failed", "count": 3}


def _cases() -> list[object]:
    """Arguments of commands, and whether Python's output is buffered; of a quick command both, and the slowest one apart."""
    buffered = [("variants",), ("variants", "--json"), ("--help",), ("run", "--help"), ("--version",)]
    return [
        *(pytest.param(arguments, "", id=" ".join(arguments)) for arguments in buffered),
        pytest.param(("variants",), "1", id="variants unbuffered"),
        pytest.param(("rewrites",), "", id="rewrites", marks=pytest.mark.slow),
    ]


EVERY_COMMAND = pytest.mark.parametrize(("arguments", "unbuffered"), _cases())


def _ending(arguments: tuple[str, ...], unbuffered: str, stdout: int, stderr: int) -> tuple[int, str | None]:
    command = [sys.executable, "-m", "detr2litert", *arguments]
    env = environment(PYTHONUNBUFFERED=unbuffered)
    done = subprocess.run(command, env=env, stdout=stdout, stderr=stderr, text=True, timeout=120, check=False)
    return done.returncode, done.stderr


@EVERY_COMMAND
def test_a_full_disk_under_the_output_is_one_line(arguments: tuple[str, ...], unbuffered: str) -> None:
    with Path("/dev/full").open("w") as full:
        code, message = _ending(arguments, unbuffered, full.fileno(), subprocess.PIPE)
        assert (code, message) == (
            2,
            "error: the output cannot be written (no space left on device); free some space, or redirect it\n",
        )
        assert _ending(arguments, unbuffered, full.fileno(), full.fileno())[0] == 2


@EVERY_COMMAND
def test_a_closed_pipe_is_not_a_failed_gate(arguments: tuple[str, ...], unbuffered: str) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    try:
        assert _ending(arguments, unbuffered, writer, subprocess.PIPE) == (141, "")
    finally:
        os.close(writer)


def test_a_terminal_without_the_marks_does_not_end_the_run(tmp_path: Path) -> None:
    outcome = spawn("check", "x\u2713", cwd=tmp_path, env=environment(PYTHONIOENCODING="latin-1"))
    assert outcome.code == 2 and "no file at x?" in outcome.stderr
