"""What the fetched drivers share of the cache folder: one installer at a time, and a word for what cannot be written."""

from __future__ import annotations

import fcntl
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from detr2litert.host_runtime.errors import UserError

READY = "ready"
"""In a scratch folder: the folder that is to be kept."""


@contextmanager
def lock(folder: Path) -> Iterator[None]:
    """One installer at a time; two would each fetch 30 MB.

    Raises:
        UserError: ``folder`` cannot be made or written to. What goes wrong within the lock is passed on as it is.
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
    """Within this, files are written under ``folder``.

    Raises:
        UserError: one of them cannot be, for lack of room or permission.
    """
    try:
        yield
    except OSError as error:
        raise UserError(
            f"{folder}: {error.strerror or error}; make it writable and leave room for 300 MB, or set XDG_CACHE_HOME"
        ) from error


@contextmanager
def replacing(place: Path) -> Iterator[Path]:
    """A scratch folder, whose folder ``READY`` then takes the place of ``place`` in one step; on an error nothing changes.

    Raises:
        UserError: something cannot be written beside ``place``.
    """
    with writing(place.parent):
        place.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f"{place.name}-", dir=place.parent) as scratch:
            yield Path(scratch)
            shutil.rmtree(place, ignore_errors=True)
            (Path(scratch) / READY).rename(place)
