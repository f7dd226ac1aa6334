"""Planted faults are continuous integration's."""

from __future__ import annotations

from pathlib import Path

import pytest

FOLDER = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Marks what is in this folder; pytest hands over all that was collected."""
    for item in items:
        if FOLDER in item.path.parents:
            item.add_marker(pytest.mark.ci)
