"""Planted faults are tested in continuous integration."""

from __future__ import annotations

from pathlib import Path

import pytest

FOLDER = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Marks the tests of this folder; pytest passes all collected tests."""
    for item in items:
        if FOLDER in item.path.parents:
            item.add_marker(pytest.mark.ci)
