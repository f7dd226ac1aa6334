"""Runs ``android_sample/check.sh``: the core's tests on these bundles, type checks of the app, and ktlint."""

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
TOOLS = ("java", "javac", "npm", "apt-get", "dpkg-deb")


def test_core_app_and_style(tiny: Made, dfine_tiny: Made) -> None:
    check(tiny.bundle, dfine_tiny.bundle)


@pytest.mark.slow
def test_a_small_detector_of_instances(tmp_path: Path) -> None:
    check(convert_small_seg(tmp_path / "small-seg"))


def check(*bundles: Path) -> None:
    missing = [tool for tool in TOOLS if shutil.which(tool) is None]
    if missing and not os.environ.get("CI"):
        pytest.skip(f"the Android sample is checked with a JDK 17, npm and Debian's apt; {', '.join(missing)} missing")
    done = subprocess.run(
        ["bash", str(ROOT / "android_sample/check.sh"), *map(str, bundles)],
        env={**os.environ, "PYTHON": sys.executable},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=1800,
    )
    assert done.returncode == 0, f"{done.stdout[-4000:]}\n{done.stderr[-4000:]}"
    counted = re.search(r"^OK \((\d+) tests\)$", done.stdout, re.MULTILINE)
    assert counted and int(counted[1]) >= 130
    assert done.stdout.rstrip().endswith("all checks passed; nothing ran on a phone")
