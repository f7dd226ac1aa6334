"""Packages import in one order only, and each fact of the delegate and of file formats is in one module."""

from __future__ import annotations

import ast
import re
import tomllib
from functools import cache
from pathlib import Path

import pytest
from setuptools import find_packages

ROOT = Path(__file__).parents[1]
FLOORS = ("host_runtime", "graphs", "rewrites", "verify", "convert")
"""The packages in order: each imports from those before it only."""
FACTS = {
    r"\b8192\b": "graphs/delegate.py",
    r"\b65504(\.0)?\b": "graphs/delegate.py",
    r"finfo\((np|torch)\.float16\)": "",
    r"TFL3": "host_runtime/tflite/container.py",
    r"deprecatedBuiltinCode": "host_runtime/tflite/container.py",
    r"\bflatbuffers\.Builder": "host_runtime/tflite/container.py",
    r"GetRootAs|InitFromPackedBuf": "host_runtime/tflite/container.py",
    r"'\.webp'": "host_runtime/preprocess.py",
}
"""A pattern of code (without strings) for each fact, and the one module that contains it."""


def modules(package: str) -> list[Path]:
    return sorted((ROOT / package).rglob("*.py"))


def imported(path: Path) -> set[str]:
    """The rooms that a module imports, anywhere in it."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return {name.split(".")[1] for name in names if name.startswith("detr2litert.")}


@pytest.mark.parametrize("package", FLOORS)
def test_a_package_imports_from_the_floors_below_it(package: str) -> None:
    above = set(FLOORS[FLOORS.index(package) + 1 :])
    wrong = {str(path.relative_to(ROOT)): imported(path) & above for path in modules(package)}
    assert {path: names for path, names in wrong.items() if names} == {}


def test_no_module_imports_a_room_by_its_bare_name() -> None:
    """From the repository's root both names work, but a module loaded under two names exists twice."""
    places = [path for folder in (*FLOORS, "tools", "tests") for path in modules(folder)]
    bare = re.compile(rf"^\s*(from|import) ({'|'.join(FLOORS)})\b", re.MULTILINE)
    assert [str(path.relative_to(ROOT)) for path in places if bare.search(path.read_text(encoding="utf-8"))] == []


@pytest.mark.parametrize("pattern", FACTS)
def test_each_fact_is_in_one_module(pattern: str) -> None:
    written = {
        str(path.relative_to(ROOT)) for package in FLOORS for path in modules(package) if re.search(pattern, _code(path))
    }
    assert written == ({FACTS[pattern]} if FACTS[pattern] else set())


@cache
def _code(path: Path) -> str:
    """A module without its docstrings and comments."""
    tree = ast.parse(path.read_text())
    for node in ast.walk(tree):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            node.value.value = ""
    return ast.unparse(tree)


def test_the_wheel_has_one_package_at_the_top_and_no_tools() -> None:
    packages = find_packages(str(ROOT / "src"))
    assert {name.partition(".")[0] for name in packages} == {"detr2litert"}
    rooms = {name.split(".")[1] for name in packages if "." in name}
    assert rooms == set(FLOORS)
    assert not [name for name in packages if "benchmark" in name or "training" in name]


def test_the_wheel_has_every_file_of_data() -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    patterns = settings["tool"]["setuptools"]["package-data"]["*"]
    files = [path for room in FLOORS for path in (ROOT / room).rglob("*") if path.is_file()]
    data = [path for path in files if path.suffix != ".py" and "__pycache__" not in path.parts]
    assert {path.name for path in data} >= {"count_dispatches.c", "op_support.json", "report.html.jinja"}
    # Folders without __init__.py are packages too, to setuptools.
    assert [path for path in data if not any(path.match(pattern) for pattern in patterns)] == []
