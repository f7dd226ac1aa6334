"""Debian programs that the machine lacks, for tests: a package and its dependencies, unpacked without root."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

from detr2litert.verify.delegate.debian import download_with_missing, require_tools, unpack

# The machine's C library is used: it must match the loader that starts the program.
_NEVER = ("libc6_", "libc-bin_", "libc-l10n_")
_USELESS = ("usr/share/doc", "usr/share/man", "usr/share/locale", "usr/share/icons")


def cache_folder() -> Path:
    """This project's folder in the user's cache."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "detr2litert"


def debian_program(package: str, program: str, folder: Path, instead: str) -> Path:
    """A script that starts a program of a Debian package; fetched once, then cached.

    Args:
        package: its name, which is also the script's.
        program: the program's path in the package.
        folder: of the script and the package.
        instead: an alternative, for messages.

    Raises:
        UserError: no apt-get or dpkg-deb, no such package, no network, or no disk space.
    """
    script = folder / package
    if script.exists():
        return script
    require_tools(f"{package} would be fetched from Debian's packages", instead)
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="work-", dir=folder) as scratch:
        work = Path(scratch)
        packages = [path for path in download_with_missing(package, work, instead) if not path.name.startswith(_NEVER)]
        unpack(packages, work / "root", instead)
        for part in _USELESS:
            shutil.rmtree(work / "root" / part, ignore_errors=True)
        root = folder / "root"
        shutil.rmtree(root, ignore_errors=True)
        (work / "root").rename(root)
        draft = work / package
        draft.write_text(_script(root, root / program), encoding="utf-8")
        draft.chmod(0o755)
        draft.rename(script)
    return script


def _script(root: Path, program: Path) -> str:
    libraries = ":".join(sorted({str(path.parent) for path in root.rglob("*.so*")}))
    lines = ["#!/bin/sh"]
    if (root / "usr/share/fonts").exists():
        # The packages have fonts: the machine may have none, nor settings for these. Chromium exits without any font.
        # (FONTCONFIG_SYSROOT would not do: the names of the fonts' files lack it, and Chromium cannot open them.)
        settings = root / "fonts.conf"
        folders = "".join(f"<dir>{place}</dir>" for place in (root / "usr/share/fonts", "/usr/share/fonts"))
        settings.write_text(
            f"<fontconfig>{folders}<cachedir>{root / 'fontcache'}</cachedir></fontconfig>\n",
            encoding="utf-8",
        )
        lines.append(f"export FONTCONFIG_FILE='{settings}'")
    # exec keeps the process id, so that a test that ends the program ends it.
    lines.append(f"LD_LIBRARY_PATH='{libraries}' exec '{program}' \"$@\"")
    return "\n".join(lines) + "\n"
