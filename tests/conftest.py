"""Fixtures for all packages: a Vulkan driver, and conversions that several modules use."""

from __future__ import annotations

import pytest

from detr2litert.convert.cli.process import tune_process

# Before anything loads PyTorch, whose spinning threads are slowest with two workers on two cores.
tune_process()

from detr2litert.verify.delegate.adapters import Driver  # noqa: E402
from detr2litert.verify.delegate.driver import HOW_TO_GET, HOW_TO_GET_FP16, find_driver, find_fp16_driver  # noqa: E402
from tests.conversions import Made, converted  # noqa: E402
from tests.summary import pytest_terminal_summary  # noqa: E402

__all__ = ["pytest_terminal_summary"]  # a hook

# The slowest modules, scheduled first so that none of them runs alone at the end. Android's check and the web's both wait for
# a conversion, so they are not adjacent.
_FIRST = (
    "tests/convert/test_run_tiny.py",
    "tests/expected/test_expected.py",
    "tests/android/test_check.py",
    "tests/convert/planted/test_compiler_faults.py",
    "tests/device/test_device_command.py",
    "tests/convert/commands/test_verify.py",
    "tests/convert/test_run_families.py",
    "tests/convert/planted/test_host_faults.py",
    "tests/convert/test_targets_tail.py",
    "tests/convert/test_run_real.py",
    "tests/web/test_web_check.py",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Called by pytest once all tests are known."""
    places = {module: place for place, module in enumerate(_FIRST)}
    items.sort(key=lambda item: places.get(item.nodeid.partition("::")[0], len(places)))


@pytest.fixture(scope="session")
def driver() -> Driver:
    """A Vulkan driver. Without one the tests fail instead of being skipped."""
    found = find_driver()
    if found is None:
        pytest.fail(f"no Vulkan adapter: {HOW_TO_GET}")
    return found


@pytest.fixture(scope="session")
def fp16_driver() -> Driver:
    """A driver on which the delegate computes in fp16; without one the tests fail, as above."""
    found = find_fp16_driver()
    if found is None:
        pytest.fail(f"no adapter that computes in fp16: {HOW_TO_GET_FP16}")
    return found


@pytest.fixture(scope="session")
def tiny(driver: Driver) -> Made:
    """``convert run --variant tiny --target pixel --zip --json``, all gates included."""
    arguments = ("--variant", "tiny", "--target", "pixel", "--zip", "--json")
    return converted(*arguments, out="made/tiny", env={"PYTHONHASHSEED": "1"})


@pytest.fixture(scope="session")
def dfine_tiny(driver: Driver) -> Made:
    """``convert run --variant dfine-tiny --target pixel --json``, all gates included."""
    return converted("--variant", "dfine-tiny", "--target", "pixel", "--json", out="made/dfine-tiny")


@pytest.fixture(scope="session")
def tiny_seg(driver: Driver) -> Made:
    """``convert run --variant tiny-seg --target pixel --json``, all gates included."""
    return converted("--variant", "tiny-seg", "--target", "pixel", "--json", out="made/tiny-seg")
