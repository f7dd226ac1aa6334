"""The real adb program for the tests: this machine's, or Debian's, fetched without root."""

from __future__ import annotations

import shutil
from pathlib import Path

from tests.debian_program import cache_folder, debian_program

_PROGRAM = "usr/lib/android-sdk/platform-tools/adb"


def adb_program() -> Path:
    """Returns an adb that runs on this machine.

    Raises:
        UserError: there is none, and Debian's could not be fetched.
    """
    found = shutil.which("adb")
    return Path(found) if found else debian_program("adb", _PROGRAM, cache_folder() / "adb", "install adb")
