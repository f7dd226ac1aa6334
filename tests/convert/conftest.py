"""Conversions that several modules of this package look at; those that more packages use are in ``tests/conftest.py``."""

from __future__ import annotations

import pytest

from tests.conversions import Made, converted


@pytest.fixture(scope="session")
def random_tiny() -> Made:
    """tiny with seeded random weights, without the GPU gates: of the same shapes, and of another checkpoint."""
    arguments = ("--variant", "tiny", "--weights", "random", "--seed", "7", "--target", "pixel", "--no-gpu")
    return converted(*arguments, out="random")
