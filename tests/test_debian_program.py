"""Debian programs for the tests: starting one after its packages are unpacked, without network."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

from detr2litert.host_runtime.errors import UserError
from tests import debian_program as subject


def _packages(monkeypatch: pytest.MonkeyPatch, *names: str) -> list[str]:
    """Stand-ins for apt-get and dpkg-deb: a program that prints its environment, a library and a font."""
    unpacked: list[str] = []

    def unpack(packages: Sequence[Path], into: Path, _: str) -> None:
        unpacked.extend(path.name for path in packages)
        for name in ("usr/lib/libx.so.1", "usr/share/fonts/x.ttf", "usr/share/doc/x"):
            (into / name).parent.mkdir(parents=True, exist_ok=True)
            (into / name).write_text("")
        program = into / "usr/lib/x/x"
        program.parent.mkdir()
        program.write_text('#!/bin/sh\necho "$LD_LIBRARY_PATH" "$FONTCONFIG_FILE" "$@"\n')
        program.chmod(0o755)

    monkeypatch.setattr(subject, "require_tools", lambda *_: None)
    monkeypatch.setattr(subject, "download_with_missing", lambda *_: [Path(name) for name in names])
    monkeypatch.setattr(subject, "unpack", unpack)
    return unpacked


def test_it_starts_with_its_libraries_and_fonts_and_is_fetched_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    unpacked = _packages(monkeypatch, "x_1_amd64.deb", "libc6_2_amd64.deb")
    folder = tmp_path / "a folder"
    program = subject.debian_program("x", "usr/lib/x/x", folder, "install x")
    printed = subprocess.run([program, "one argument"], capture_output=True, text=True, check=True).stdout
    assert printed == f"{folder}/root/usr/lib {folder}/root/fonts.conf one argument\n"
    assert f"<dir>{folder}/root/usr/share/fonts</dir>" in (folder / "root/fonts.conf").read_text()
    assert not (folder / "root/usr/share/doc").exists()
    assert subject.debian_program("x", "usr/lib/x/x", folder, "install x") == program
    assert unpacked == ["x_1_amd64.deb"], "the machine's C library is used"
    assert sorted(path.name for path in folder.iterdir()) == ["root", "x"]


def test_a_machine_without_apt_gets_advice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda _: None)
    with pytest.raises(UserError, match=r"apt-get is not on this machine; install x$"):
        subject.debian_program("x", "usr/lib/x/x", tmp_path, "install x")
