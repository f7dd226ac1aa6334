"""Conversions that several modules of this package look at; those that more packages use are in ``tests/conftest.py``."""

from __future__ import annotations

import pytest

from tests.conftest import Made
from tests.convert.command import spawn


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
