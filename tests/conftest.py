"""Fixtures for all packages."""

from __future__ import annotations

import pytest

from verify.adapters import Driver
from verify.driver import HOW_TO_GET, find_driver


@pytest.fixture(scope="session")
def driver() -> Driver:
    """A Vulkan driver. A machine without one fails here rather than skip what the project is about."""
    found = find_driver()
    if found is None:
        pytest.fail(f"no Vulkan adapter: {HOW_TO_GET}")
    return found
