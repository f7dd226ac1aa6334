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
from tests.convert.small_seg import convert_small_seg

ROOT = Path(__file__).parents[2]
NODE = ("node", "npm")
USE_OR_TOOL = 2
"""check.sh's exit code for a missing tool that cannot be installed."""


def test_the_page_in_a_browser(tiny: Made, dfine_tiny: Made, tmp_path: Path) -> None:
    check(tmp_path, tiny.bundle, dfine_tiny.bundle)
    assert (tmp_path / "shots/tiny-light.png").stat().st_size > 10_000
    assert (tmp_path / "shots/masks-picture.png").stat().st_size > 10_000


@pytest.mark.slow
def test_a_small_detector_of_instances(tmp_path: Path) -> None:
    check(tmp_path, convert_small_seg(tmp_path / "small-seg"))


def check(folder: Path, *bundles: Path) -> None:
    """Runs check.sh with bundles, which must all agree; screenshots go to the folder's `shots`."""
    may_skip = not os.environ.get("CI")
    missing = [tool for tool in NODE if shutil.which(tool) is None]
    if missing and may_skip:
        pytest.skip(f"the web demo is checked with Node 20 and npm; {', '.join(missing)} missing")
    done = subprocess.run(
        ["bash", str(ROOT / "web_demo/check.sh"), *map(str, bundles)],
        env={**os.environ, "PYTHON": sys.executable, "SHOTS": str(folder / "shots")},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=1200,
    )
    if done.returncode == USE_OR_TOOL and may_skip:
        pytest.skip(done.stderr.strip().splitlines()[-1])
    assert done.returncode == 0, f"{done.stdout[-4000:]}\n{done.stderr[-4000:]}"
    for name in ("hand-made bundle", *(bundle.name for bundle in bundles)):
        assert re.search(rf"^✔ .*{name} agrees", done.stdout, re.MULTILINE), name
    assert done.stdout.rstrip().splitlines()[-1].startswith("== all checks passed, on a GPU in software")
