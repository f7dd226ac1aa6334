"""The cache folder: one installer at a time, and an error message where it cannot be written."""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from detr2litert.host_runtime.errors import UserError

READY = "ready"
"""Name, in a scratch folder, of the folder to keep."""


def project_cache() -> Path:
    """``$XDG_CACHE_HOME/detr2litert``, or the same under ``~/.cache``."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "detr2litert"


@contextmanager
def lock(folder: Path) -> Iterator[None]:
    """Lets one installer run at a time; two would each download 30 MB.

    Raises:
        UserError: ``folder`` cannot be made or written to. Errors raised within the lock are passed on unchanged.
    """
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
        handle = (folder / "lock").open("w")
    with handle:
        with writing(folder):
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield


@contextmanager
def writing(folder: Path) -> Iterator[None]:
    """Turns errors of writing under ``folder`` into a ``UserError``.

    Raises:
        UserError: a file cannot be written, for lack of space or permission.
    """
    try:
        yield
    except OSError as error:
        raise UserError(
            f"{folder}: {error.strerror or error}; make it writable and free 300 MB, or set XDG_CACHE_HOME"
        ) from error


@contextmanager
def replacing(place: Path) -> Iterator[Path]:
    """Yields a scratch folder, whose subfolder ``READY`` then replaces ``place`` in one step; on an error nothing changes.

    Raises:
        UserError: something cannot be written beside ``place``.
    """
    with writing(place.parent):
        place.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f"{place.name}-", dir=place.parent) as scratch:
            yield Path(scratch)
            shutil.rmtree(place, ignore_errors=True)
            (Path(scratch) / READY).rename(place)
