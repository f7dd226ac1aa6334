"""host_runtime must work where only its own six dependencies are installed."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest
import tiny_bundle

PACKAGE = Path(__file__).parents[2] / "host_runtime"
ALLOWED = {"host_runtime", "numpy", "PIL", "flatbuffers", "jsonschema", "safetensors", "ai_edge_litert"}


def test_it_imports_and_runs_without_torch(tmp_path):
    tiny_bundle.write_bundle(tmp_path)
    code = f"""
import importlib, pkgutil, sys
for name in ("torch", "torchvision", "transformers", "tensorflow", "litert_torch", "scipy",
             "convert", "verify", "graphs", "rewrites"):
    sys.modules[name] = None
import host_runtime
for module in pkgutil.walk_packages(host_runtime.__path__, "host_runtime."):
    importlib.import_module(module.name)
from host_runtime.runner import Runner
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
            named |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0
            named.add((node.module or "").split(".")[0])
    assert named <= ALLOWED | set(sys.stdlib_module_names)
