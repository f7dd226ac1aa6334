"""The command without the converter's packages, as in the base install."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from detr2litert.__main__ import _EXTRA

ROOT = Path(__file__).parents[2]


def without(modules: list[str], arguments: list[str]) -> subprocess.CompletedProcess[str]:
    code = f"""
import sys
for name in {modules!r}:
    sys.modules[name] = None
sys.argv = ["convert", *{arguments!r}]
from detr2litert.__main__ import main
main()
"""
    return subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)


@pytest.mark.parametrize(
    ("modules", "arguments"),
    [
        (["click"], ["--help"]),
        (["rich"], ["variants"]),
        (["torch"], ["run", "--variant", "tiny", "--target", "pixel", "--out", "never-written"]),
    ],
)
def test_a_missing_extra_is_one_line_with_what_to_install(modules, arguments):
    done = without(modules, arguments)
    assert done.returncode == 2, done.stderr
    assert done.stdout == ""
    assert done.stderr.startswith(f"error: {modules[0]} is not installed")
    assert ".[convert]" in done.stderr
    assert done.stderr.count("\n") == 1


def test_the_extras_are_those_that_the_base_install_does_not_bring():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    names = [re.split("[^a-z0-9-]", package)[0] for package in project["optional-dependencies"]["convert"]]
    modules = {"pyyaml": "yaml"}
    assert set(_EXTRA) == {modules.get(name, name.replace("-", "_")) for name in names}


def test_any_other_missing_module_is_an_internal_error():
    done = without(["detr2litert.host_runtime.errors"], ["--help"])
    assert done.returncode == 1
    assert "ModuleNotFoundError" in done.stderr


def test_the_module_runs_the_same_command_under_its_own_name():
    command = [sys.executable, "-m", "detr2litert", "--help"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("Usage: python -m detr2litert [OPTIONS] COMMAND")
