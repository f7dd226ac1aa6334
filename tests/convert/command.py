"""Runs the command as a user does, and checks its exit."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from click.testing import CliRunner

from detr2litert.convert.cli.main import cli
from detr2litert.host_runtime.bundle import file_sha256
from detr2litert.verify.parity.tensorflow_run import installed

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Outcome:
    """Exit code and what was printed."""

    code: int
    stdout: str
    stderr: str

    @property
    def json(self) -> Any:
        """Standard output as JSON; fails if there is anything else on it."""
        return json.loads(self.stdout)


def environment(**added: str) -> dict[str, str]:
    """This process's environment with the repository importable, no colours and 80 columns."""
    paths = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH", ""))))
    return {**os.environ, "PYTHONPATH": paths, "COLUMNS": "80", "NO_COLOR": "1", **added}


def spawn(*arguments: object, cwd: Path, env: Mapping[str, str] | None = None) -> Outcome:
    """``python -m detr2litert ARGUMENTS`` in a separate process."""
    command = [sys.executable, "-m", "detr2litert", *map(str, arguments)]
    done = subprocess.run(
        command, cwd=cwd, env=env or environment(), capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=1800
    )
    return Outcome(done.returncode, done.stdout, done.stderr)


def start(*arguments: object, cwd: Path) -> subprocess.Popen[str]:
    """Starts ``python -m detr2litert ARGUMENTS`` in a separate process group, as a terminal does."""
    return subprocess.Popen(
        [sys.executable, "-m", "detr2litert", *map(str, arguments)],
        cwd=cwd,
        env=environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def invoke(*arguments: object) -> Outcome:
    """The command in this process, which has PyTorch loaded already."""
    result = CliRunner().invoke(cli, [str(argument) for argument in arguments])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return Outcome(result.exit_code, result.stdout, result.stderr)


def assert_refused(outcome: Outcome, *words: object) -> str:
    """Checks for exit code 2, no standard output, and a last line ``error: …`` on standard error that has all words."""
    lines = outcome.stderr.splitlines()
    assert outcome.code == 2, outcome
    assert outcome.stdout == ""
    assert "Traceback" not in outcome.stderr
    assert [line for line in lines if line.startswith("error: ")] == lines[-1:], outcome.stderr
    for word in words:
        assert str(word) in lines[-1], lines[-1]
    return lines[-1]


def tree(folder: Path) -> set[str]:
    """Every file and folder below ``folder``, hidden ones included."""
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*")}


def rehash(bundle: Path, *names: str) -> None:
    """Writes the hashes and sizes of changed files into the manifest, as in a forged bundle."""
    path = bundle / "manifest.json"
    manifest = json.loads(path.read_text())
    for name in names:
        manifest["files"][name] = {"sha256": file_sha256(bundle / name), "bytes": (bundle / name).stat().st_size}
    path.write_text(json.dumps(manifest))


def gate_of(report: dict[str, Any], name: str) -> dict[str, Any]:
    """One gate of a report."""
    return next(gate for gate in report["gates"] if gate["gate"] == name)


def verdicts(gates: list[dict[str, Any]]) -> dict[str, str]:
    """Gate → verdict."""
    return {gate["gate"]: gate["verdict"] for gate in gates}


# The second runtime is a gate only if it is installed.
GATES = (
    "rewrites",
    "lint",
    "residency",
    "numerics",
    *(["second runtime"] if installed() else []),
    "fp16",
    "host",
    "detections",
)
ALL_PASSED = dict.fromkeys(GATES, "passed")
FEWER_SCENES = ("--dataset-size", "40", "--dataset-fp16", "2")
"""Of the demo scenes, where a conversion is about something else: two hundred take half a minute."""
DEMO_PASSED = ALL_PASSED | {"accuracy": "passed"}
"""Of a demo detector that is converted with its own weights: the demo scenes are its data set."""
