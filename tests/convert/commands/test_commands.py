"""A command is one module, with a line in the table."""

from __future__ import annotations

import ast
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import click
import pytest

from detr2litert.convert.cli.main import cli
from detr2litert.convert.commands import COMMANDS
from tests.convert.command import ROOT, environment

FOLDER = ROOT / "convert" / "commands"


def test_the_table_lists_every_module_and_no_other() -> None:
    assert sorted(COMMANDS) == sorted(path.stem for path in FOLDER.glob("[!_]*.py"))
    assert [path.name for path in FOLDER.iterdir() if path.is_dir() and path.name != "__pycache__"] == []


@pytest.mark.parametrize("name", COMMANDS)
def test_a_module_has_one_command_called_like_it(name: str) -> None:
    module = import_module(f"detr2litert.convert.commands.{name}")
    commands = [value for value in vars(module).values() if isinstance(value, click.Command)]
    assert commands == [getattr(module, name)] == [cli.commands[name.replace("_", "-")]]


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_imports_no_other(name: str) -> None:
    tree = ast.parse((FOLDER / f"{name}.py").read_text(encoding="utf-8"))
    imported = {node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert [module for module in imported if module.startswith("detr2litert.convert.commands")] == []


def test_no_module_loads_anything_large(tmp_path: Path) -> None:
    large = ("torch", "transformers", "litert_torch", "ai_edge_litert", "numpy", "PIL", "jsonschema", "jinja2")
    code = f"import sys\nimport detr2litert.convert.cli.main\nprint([name for name in {large} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], env=environment(), cwd=tmp_path, capture_output=True, text=True)
    assert done.stdout == "[]\n", done.stderr
