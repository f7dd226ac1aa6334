"""A service's day in two minutes: detections and bundles, at constant memory, descriptors and threads."""

from __future__ import annotations

import json
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.conversions import Made
from tests.convert.command import environment

DETECTIONS, BUNDLES = 500, 30
GROWTH = 8 * 2**20
"""Bytes by which the resident memory may grow: the allocator's own noise is half of it, and a leak of 16 kB a detection or of
a tenth of a bundle's graphs is found."""

# What it does once before it measures fills the caches of the runtime, of Pillow and of the allocator.
SERVICE = f"""
import json, os, sys
from PIL import Image
from detr2litert.host_runtime.errors import UserError
from detr2litert.host_runtime.runner import Runner

folder, archive, damaged = sys.argv[1:]
picture = folder + "/golden/image.png"
pixels = Image.open(picture).convert("RGB")
sizes = [pixels.resize((160 + 40 * step, 400 - 40 * step)) for step in range(6)]

def held():
    status = dict(line.split(":", 1) for line in open("/proc/self/status"))
    tasks = len(os.listdir("/proc/self/task"))
    return {{"rss": int(status["VmRSS"].split()[0]) * 1024, "descriptors": len(os.listdir("/proc/self/fd")), "threads": tasks}}

def refused(call):
    try:
        call()
    except UserError:
        return
    raise AssertionError("not refused")

def detections(runner, count):
    for number in range(count):
        assert len(runner.detect(picture if number % 2 else sizes[number // 2 % 6])) > 0 or number % 2 == 0
        if number % 10 == 0:
            refused(lambda: runner.detect(folder + "/no such picture.png"))

def bundles(count):
    for number in range(count):
        with Runner(archive if number % 2 else folder) as runner:
            runner.detect(picture)
        refused(lambda: Runner(damaged))

found = {{}}
with Runner(folder) as runner:
    detections(runner, 30)
    found["before detections"] = held()
    detections(runner, {DETECTIONS})
    found["after detections"] = held()
bundles(6)
found["before bundles"] = held()
bundles({BUNDLES})
found["after bundles"] = held()
print(json.dumps(found))
"""


@pytest.mark.slow
def test_memory_descriptors_and_threads_are_constant(tiny: Made, tmp_path: Path) -> None:
    archive, damaged = tmp_path / "whole.zip", tmp_path / "damaged.zip"
    for path, left_out in ((archive, ""), (damaged, "graph_b.tflite")):
        with zipfile.ZipFile(path, "w") as target:
            for file in sorted(tiny.bundle.rglob("*")):
                if file.is_file() and file.name != left_out:
                    target.write(file, file.relative_to(tiny.bundle).as_posix())
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    done = subprocess.run(
        [sys.executable, "-c", SERVICE, str(tiny.bundle), str(archive), str(damaged)],
        env=environment(TMPDIR=str(temporary)),
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    for what in ("detections", "bundles"):
        before, after = found[f"before {what}"], found[f"after {what}"]
        assert after["descriptors"] == before["descriptors"], found
        assert after["threads"] == before["threads"], found
        assert after["rss"] - before["rss"] < GROWTH, found
    assert list(temporary.iterdir()) == []
