"""host_runtime must work where only its own six dependencies are installed."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest
import tiny_bundle

PACKAGE = Path(__file__).parents[2] / "host_runtime"
OPTIONAL = {"predict/film.py": {"av"}, "predict/prediction.py": {"supervision"}}
"""Imported inside a function that says how to get it."""
ALLOWED = {"detr2litert.host_runtime", "numpy", "PIL", "flatbuffers", "jsonschema", "safetensors", "ai_edge_litert"}


def package(module: str) -> str:
    """The distribution's package, and which of its rooms where it is ours."""
    parts = module.split(".")
    return ".".join(parts[:2]) if parts[0] == "detr2litert" else parts[0]


def test_it_imports_and_runs_without_torch(tmp_path):
    tiny_bundle.write_bundle(tmp_path)
    code = f"""
import importlib, pkgutil, sys
for name in ("torch", "torchvision", "transformers", "tensorflow", "litert_torch", "scipy",
             "detr2litert.convert", "detr2litert.verify", "detr2litert.graphs", "detr2litert.rewrites"):
    sys.modules[name] = None
from detr2litert import host_runtime
for module in pkgutil.walk_packages(host_runtime.__path__, "detr2litert.host_runtime."):
    importlib.import_module(module.name)
from detr2litert.host_runtime.runner import Runner
with Runner({str(tmp_path)!r}) as runner:
    print([item.name for item in runner.detect({str(tmp_path / "golden/image.png")!r})])
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=120, cwd=PACKAGE.parent, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == "['red', 'green']\n"


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.py")), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_it_names_no_other_package(path):
    named = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            named |= {package(alias.name) for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0
            named.add(package(node.module or ""))
    optional = OPTIONAL.get(path.relative_to(PACKAGE).as_posix(), set())
    assert named <= ALLOWED | optional | set(sys.stdlib_module_names)
