"""The installed release of a package, and the nearest of several known releases to a given one."""

from __future__ import annotations

from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, version

from packaging.version import InvalidVersion, Version


def installed_release(package: str) -> str:
    """Returns a package's installed version, "" if it is not installed."""
    try:
        return version(package)
    except PackageNotFoundError:
        return ""


def nearest_release(known: Iterable[str], wanted: str) -> str:
    """Returns the newest known release that is not later than the wanted one, else the oldest.

    Versions are ordered as PEP 440 has it: 2.3.0rc1 comes before 2.3.0, and 2.10.0 after it. Text that is not a version, and
    "" for a package that is not installed, counts as earlier than all: nothing newer may be assumed of an unknown runtime.

    Args:
        known: at least one.
        wanted: any text.
    """
    ordered = sorted(known, key=_order)
    return next((release for release in reversed(ordered) if _order(release) <= _order(wanted)), ordered[0])


def _order(release: str) -> tuple[bool, Version]:
    try:
        return True, Version(release)
    except InvalidVersion:
        return False, Version("0")
