"""A small relative of RF-DETR Seg nano as a bundle, converted with random weights, for the slow tests of other runtimes."""

from __future__ import annotations

from pathlib import Path

import pytest

from detr2litert.convert.models.variants import table
from tests.convert.command import invoke
from tests.convert.shrunken import shrunken

NAME = "seg-nano"


def convert_small_seg(folder: Path) -> Path:
    """Writes the bundle into a folder that does not exist; without the GPU gates, which other tests run."""
    options = ("--target", "pixel", "--weights", "random", "--no-gpu", "--no-fp16")
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(table.VARIANTS, NAME, shrunken(NAME))  # type: ignore[attr-defined]
        outcome = invoke("run", "--variant", NAME, *options, "--out", folder)
    assert (folder / "manifest.json").exists(), outcome
    return folder
