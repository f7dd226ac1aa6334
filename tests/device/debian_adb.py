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
        done = subprocess.run(["apt-get", "download", *_PACKAGES], cwd=work, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise RuntimeError(f"no adb on PATH, and `apt-get download adb` failed: {done.stderr[-400:]}; install adb")
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
