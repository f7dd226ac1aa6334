"""The files for the web demo's browser test have the properties that it relies on."""

from __future__ import annotations

from pathlib import Path

import make_files
import pytest
import tiny_bundle
from PIL import Image

from detr2litert.host_runtime.bundle import load_bundle
from detr2litert.host_runtime.preprocess import preprocess
from detr2litert.host_runtime.runner import Runner


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("web")
    tiny_bundle.write_bundle(folder / "sound")
    make_files.make(folder / "out", folder / "sound")
    return folder / "out"


def test_the_cpu_runs_what_the_gpu_refuses(files: Path):
    for name in ("partly", "wholly"):
        with Runner(files / name) as runner:
            outputs = runner.run(preprocess(tiny_bundle.picture(), runner.bundle.manifest.preprocess))
        assert outputs.graph_b["boxes"].max() == 0.875


def test_the_zip_is_a_bundle_and_the_picture_has_its_cell(files: Path):
    with load_bundle(files / "bundle.zip") as bundle:
        assert bundle.manifest.variant == "cells"
    assert Image.open(files / "other.png").getpixel((39, 0)) == (0, 0, 255)
