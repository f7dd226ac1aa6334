"""Runs a piece of Python in a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from pathlib import Path


def child(code: str, *arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
    code = textwrap.dedent(code)
    root = Path(__file__).parents[2]
    path = os.pathsep.join((str(root / "src"), str(root)))
    return subprocess.run(
        [sys.executable, "-c", code, *arguments],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env={"PATH": "/usr/bin:/bin", **env, "PYTHONPATH": path},
    )
