"""The places where adb is searched for, in order."""

from __future__ import annotations

from pathlib import Path

import pytest

from detr2litert.verify.adb.binary import find_adb
from detr2litert.verify.adb.errors import NoAdbError


def program(folder: Path, name: str = "adb") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / name
    path.write_text("#!/bin/sh\n")
    path.chmod(0o755)
    return path


def test_the_order(tmp_path: Path) -> None:
    """Each place is used only if those before it have no adb."""
    home = tmp_path / "home"
    environment = {
        "ADB": str(program(tmp_path / "own", "my-adb")),
        "PATH": str(tmp_path / "bin"),
        "ANDROID_HOME": str(tmp_path / "sdk"),
        "ANDROID_SDK_ROOT": str(tmp_path / "root"),
    }
    places = [
        tmp_path / "own/my-adb",
        *map(program, (tmp_path / "bin", tmp_path / "sdk/platform-tools", tmp_path / "root/platform-tools")),
        program(home / "Android/Sdk/platform-tools"),
        program(home / "Library/Android/sdk/platform-tools"),
    ]
    for place in places:
        assert find_adb(environment, home) == place
        environment.pop("ADB", None)
        place.unlink()
    with pytest.raises(NoAdbError, match=r"not found on PATH or in an Android SDK.*apt-get install adb"):
        find_adb(environment, home)


def test_a_wrong_adb_variable_is_an_error_without_fallback(tmp_path: Path) -> None:
    program(tmp_path / "bin")
    with pytest.raises(NoAdbError, match=r"ADB is set to /no/such/adb, which is not a program; correct or unset it"):
        find_adb({"ADB": "/no/such/adb", "PATH": str(tmp_path / "bin")}, tmp_path)


def test_a_file_without_execute_permission_is_skipped(tmp_path: Path) -> None:
    program(tmp_path / "bin").chmod(0o644)
    with pytest.raises(NoAdbError):
        find_adb({"PATH": str(tmp_path / "bin")}, tmp_path)


def test_adb_may_be_a_name_on_the_path(tmp_path: Path) -> None:
    place = program(tmp_path / "bin", "adb-36")
    assert find_adb({"ADB": "adb-36", "PATH": str(tmp_path / "bin")}, tmp_path) == place
