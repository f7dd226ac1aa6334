"""Fixtures for all packages: a Vulkan driver, and conversions that are made once a session.

A test that changes a bundle changes a copy of it.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.convert.command import Outcome, environment, spawn
from verify.delegate.adapters import Driver
from verify.delegate.driver import HOW_TO_GET, HOW_TO_GET_FP16, find_driver, find_fp16_driver


@dataclass(frozen=True)
class Made:
    """A conversion: the folder it was started in, the bundle, and what was printed."""

    cwd: Path
    bundle: Path
    outcome: Outcome


@pytest.fixture(scope="session")
def driver() -> Driver:
    """A Vulkan driver. A machine without one fails here rather than skip what the project is about."""
    found = find_driver()
    if found is None:
        pytest.fail(f"no Vulkan adapter: {HOW_TO_GET}")
    return found


@pytest.fixture(scope="session")
def fp16_driver() -> Driver:
    """A driver on which the delegate computes in fp16; a machine without one fails here, as above."""
    found = find_fp16_driver()
    if found is None:
        pytest.fail(f"no adapter that computes in fp16: {HOW_TO_GET_FP16}")
    return found


@pytest.fixture(scope="session")
def tiny(driver: Driver, tmp_path_factory: pytest.TempPathFactory) -> Made:
    """``convert run --variant tiny --target pixel --zip --json``, all gates included."""
    cwd = tmp_path_factory.mktemp("tiny")
    outcome = spawn(
        *("run", "--variant", "tiny", "--target", "pixel", "--out", "made/tiny", "--zip", "--json"),
        cwd=cwd,
        env=environment(PYTHONHASHSEED="1"),
    )
    assert outcome.code == 0, outcome.stderr
    return Made(cwd, cwd / "made" / "tiny", outcome)


@pytest.fixture(scope="session")
def dfine_tiny(driver: Driver, tmp_path_factory: pytest.TempPathFactory) -> Made:
    """``convert run --variant dfine-tiny --target pixel --json``, all gates included."""
    cwd = tmp_path_factory.mktemp("dfine-tiny")
    outcome = spawn("run", "--variant", "dfine-tiny", "--target", "pixel", "--out", "made/dfine-tiny", "--json", cwd=cwd)
    assert outcome.code == 0, outcome.stderr
    return Made(cwd, cwd / "made" / "dfine-tiny", outcome)
