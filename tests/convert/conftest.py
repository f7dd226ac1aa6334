"""Conversions that several modules look at, each made once a session."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.convert.command import Outcome, environment, spawn
from verify.adapters import Driver


@dataclass(frozen=True)
class Made:
    """A conversion: the folder it was started in, the bundle, and what was printed."""

    cwd: Path
    bundle: Path
    outcome: Outcome


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


@pytest.fixture(scope="session")
def random_tiny(tmp_path_factory: pytest.TempPathFactory) -> Made:
    """tiny with seeded random weights, without the GPU gates: of the same shapes, and of another checkpoint."""
    cwd = tmp_path_factory.mktemp("random")
    outcome = spawn(
        *("run", "--variant", "tiny", "--weights", "random", "--seed", "7", "--target", "pixel", "--out", "random", "--no-gpu"),
        cwd=cwd,
    )
    assert outcome.code == 0, outcome.stderr
    return Made(cwd, cwd / "random", outcome)
