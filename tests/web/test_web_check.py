"""Runs ``web_demo/check.sh``: the page in a real Chromium, on WebGPU in software, with the session's bundles."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conversions import Made

ROOT = Path(__file__).parents[2]
NODE = ("node", "npm")
USE_OR_TOOL = 2
"""check.sh's exit code for a missing tool that cannot be installed."""


def test_the_page_in_a_browser(tiny: Made, dfine_tiny: Made, tmp_path: Path) -> None:
    may_skip = not os.environ.get("CI")
    missing = [tool for tool in NODE if shutil.which(tool) is None]
    if missing and may_skip:
        pytest.skip(f"the web demo is checked with Node 20 and npm; {', '.join(missing)} missing")
    done = subprocess.run(
        ["bash", str(ROOT / "web_demo/check.sh"), str(tiny.bundle), str(dfine_tiny.bundle)],
        env={**os.environ, "PYTHON": sys.executable, "SHOTS": str(tmp_path / "shots")},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=1200,
    )
    if done.returncode == USE_OR_TOOL and may_skip:
        pytest.skip(done.stderr.strip().splitlines()[-1])
    assert done.returncode == 0, f"{done.stdout[-4000:]}\n{done.stderr[-4000:]}"
    for name in ("hand-made bundle", "tiny", "dfine-tiny"):
        assert re.search(rf"^✔ .*{name} agrees", done.stdout, re.MULTILINE), name
    assert (tmp_path / "shots/tiny-light.png").stat().st_size > 10_000
    assert done.stdout.rstrip().splitlines()[-1].startswith("== all checks passed, on a GPU in software")
