"""The real adb program for the tests: this machine's, or Debian's packages, fetched and unpacked without root."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

_PACKAGES = (
    *("adb", "android-libbase", "android-libboringssl", "android-libcutils", "android-liblog", "libusb-1.0-0"),
)  # fmt: skip


def adb_program() -> Path:
    """An adb that runs here.

    Raises:
        RuntimeError: there is none, and Debian's could not be fetched.
    """
    found = shutil.which("adb")
    return Path(found) if found else _fetched()


def _fetched() -> Path:
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "detr2litert" / "adb"
    program = cache / "adb"
    if program.exists():
        return program
    cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=cache) as work:
        _download(Path(work))
        root = Path(work) / "root"
        for package in Path(work).glob("*.deb"):
            subprocess.run(["dpkg-deb", "-x", package, root], check=True)
        real = root / "usr/lib/android-sdk/platform-tools/adb"
        final = cache / "root"
        shutil.rmtree(final, ignore_errors=True)
        root.rename(final)
        libraries = sorted({str(path.parent) for path in final.rglob("*.so*")})
        draft = Path(work) / "adb"
        # exec keeps the pid, so that a test that ends adb ends adb.
        target = final / real.relative_to(root)
        draft.write_text(f'#!/bin/sh\nLD_LIBRARY_PATH={":".join(libraries)} exec {target} "$@"\n', encoding="utf-8")
        draft.chmod(0o755)
        draft.rename(program)
    return program


def _download(work: Path) -> None:
    """The packages, by the machine's package lists if they serve, else by lists of our own."""
    own = [f"-oDir::State={work}/state", f"-oDir::Cache={work}/cache", "-oDir::State::status=/var/lib/dpkg/status"]
    own += ["-oAPT::Sandbox::User=", "-oDebug::NoLocking=1"]
    if _apt(["download", *_PACKAGES], work).returncode != 0:
        # Lists are missing (a bare machine) or name versions that the mirror has since replaced.
        for part in ("state/lists/partial", "cache/archives/partial"):
            (work / part).mkdir(parents=True)
        _apt([*own, "update"], work)
        done = _apt([*own, "download", *_PACKAGES], work)
        if done.returncode != 0:
            raise RuntimeError(f"no adb on PATH, and `apt-get download adb` failed: {done.stderr[-400:]}; install adb")


def _apt(arguments: list[str], work: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["apt-get", "-q", *arguments], cwd=work, capture_output=True, text=True, timeout=600, check=False)
