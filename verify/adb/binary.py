"""Finds the adb program.

Search order: $ADB, PATH, then ``platform-tools`` of the SDK: $ANDROID_HOME, $ANDROID_SDK_ROOT, and where Android Studio puts it
on Linux, macOS and Windows (developer.android.com/tools/variables).
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from pathlib import Path

from detr2litert.verify.adb.errors import NoAdbError

HOW_TO_GET = (
    "install it (Debian: apt-get install adb; macOS: brew install android-platform-tools; or the SDK's platform-tools), "
    "or point ADB at the program"
)
_USUAL = ("Android/Sdk", "Library/Android/sdk", "AppData/Local/Android/Sdk")


def find_adb(environment: Mapping[str, str] | None = None, home: Path | None = None) -> Path:
    """Returns the path of the adb program.

    Args:
        environment: variables to look at [default: this process's].
        home: the user's home folder [default: this user's].

    Raises:
        NoAdbError: it is in none of these places, or $ADB names something that cannot be run.
    """
    environment = os.environ if environment is None else environment
    named = environment.get("ADB")
    if named:
        found = shutil.which(named, path=environment.get("PATH", ""))
        if found is None:
            raise NoAdbError(f"ADB is set to {named}, which is not a program; correct or unset it")
        return Path(found)
    folders = [Path(environment[name]) for name in ("ANDROID_HOME", "ANDROID_SDK_ROOT") if environment.get(name)]
    folders += [(home or Path.home()) / place for place in _USUAL]
    tools = [str(folder / "platform-tools") for folder in folders]
    found = shutil.which("adb", path=os.pathsep.join(filter(None, (environment.get("PATH", ""), *tools))))
    if found is None:
        raise NoAdbError(f"adb was not found on PATH or in an Android SDK: {HOW_TO_GET}")
    return Path(found)
