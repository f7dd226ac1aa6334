"""Planted faults are tested in continuous integration; a conversion whose host step has constants."""

from __future__ import annotations

from pathlib import Path

import pytest

from detr2litert.verify.delegate.adapters import Driver
from tests.conversions import Made, converted

FOLDER = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Marks the tests of this folder; pytest passes all collected tests."""
    for item in items:
        if FOLDER in item.path.parents:
            item.add_marker(pytest.mark.ci)


@pytest.fixture(scope="session")
def tiny_tail(driver: Driver) -> Made:
    """The demo detector with the selected tokens' tail on the CPU, whose constants the targets' own layout has not."""
    return converted("--variant", "tiny", "--target", "pixel", "--layout", "tail", "--json", out="made/tiny-tail")
