"""Prints the path of a Chromium for the web demo's tests: `python -m tests.web.chromium`.

It is what the variable CHROMIUM names, else the machine's, else Debian's, fetched without root into the user's cache: 400 MB
unpacked, on a machine that lacks all that it needs.
"""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

from detr2litert.host_runtime.errors import UserError
from tests.debian_program import cache_folder, debian_program

_NAMES = ("chromium", "chromium-browser", "google-chrome-stable", "google-chrome")
_INSTEAD = "install Chromium or Chrome, or name one in CHROMIUM"


def chromium() -> Path:
    """Returns the path of an installed Chromium, or downloads one.

    Raises:
        UserError: CHROMIUM names no program; or there is none, and Debian's could not be fetched.
    """
    named = os.environ.get("CHROMIUM")
    found = next(filter(None, map(shutil.which, [named] if named else _NAMES)), None)
    if found:
        return Path(found)
    if named:
        raise UserError(f"CHROMIUM={named} is not a program; {_INSTEAD}, or unset it")
    return debian_program("chromium", "usr/lib/chromium/chromium", cache_folder() / "chromium", _INSTEAD)


if __name__ == "__main__":
    try:
        print(chromium())
    except UserError as error:
        sys.exit(f"error: {error}")
