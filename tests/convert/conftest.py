"""Conversions that several modules of this package use; those of several packages are in ``tests/conftest.py``."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from detr2litert.verify.delegate.adapters import Driver
from tests.conversions import Made, converted
from tests.convert.command import FEWER_SCENES
from tests.convert.exports import exported_once


@pytest.fixture(autouse=True, scope="session")
def one_export_of_each_detector() -> Iterator[None]:
    """For all tests of this package."""
    with exported_once():
        yield


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder of the command, empty."""
    folder = tmp_path / "here"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture(scope="session")
def random_tiny() -> Made:
    """tiny with seeded random weights, without the GPU gates: the same shapes, another checkpoint."""
    arguments = ("--variant", "tiny", "--weights", "random", "--seed", "7", "--target", "pixel", "--no-gpu")
    return converted(*arguments, out="random")


@pytest.fixture(scope="session")
def tiny_tail(driver: Driver) -> Made:
    """The demo detector with the selected tokens' tail on the CPU, whose constants the targets' own layout has not."""
    options = ("--layout", "tail", "--no-native", *FEWER_SCENES, "--json")
    return converted("--variant", "tiny", "--target", "pixel", *options, out="made/tiny-tail")
