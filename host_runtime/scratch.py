"""Temporary folders that leave nothing behind, not even after SIGKILL: the next process removes what a dead one left.

A folder is in use as long as a process holds the lock of a file in it; the system releases the lock however the process ends.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from detr2litert.host_runtime.errors import UserError

if sys.platform != "win32":
    import fcntl

_PREFIX = "detr2litert-"
_LOCK = ".in-use"
_NEW_SECONDS = 3600.0  # a folder without a lock may be one that is just being made


class ScratchFolder:
    """A temporary folder of this process, removed by `close()`, at the object's end, or by a later process.

    Attributes:
        path: the folder.

    Raises:
        UserError: no temporary folder can be written.
    """

    def __init__(self) -> None:
        try:
            self._folder = tempfile.TemporaryDirectory(prefix=_PREFIX)
        except OSError as error:
            raise UserError(
                f"no temporary folder can be written ({(error.strerror or str(error)).lower()}); set TMPDIR to one that can"
            ) from error
        self.path = Path(self._folder.name)
        self._lock = _locked(self.path)
        remove_stale(self.path.parent)

    def close(self) -> None:
        """Removes the folder; once removed, does nothing."""
        self._folder.cleanup()
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None


@contextmanager
def scratch_folder() -> Iterator[Path]:
    """Yields the path of a temporary folder, removed after the block.

    Raises:
        UserError: no temporary folder can be written.
    """
    folder = ScratchFolder()
    try:
        yield folder.path
    finally:
        folder.close()


def remove_stale(parent: Path) -> None:
    """Removes this user's scratch folders in ``parent`` whose process ended without removing them."""
    if sys.platform == "win32":
        return
    with suppress(OSError), os.scandir(parent) as entries:
        for entry in entries:
            with suppress(OSError):
                if entry.name.startswith(_PREFIX) and entry.is_dir(follow_symlinks=False):
                    _remove_if_stale(Path(entry.path), entry.stat(follow_symlinks=False))


def _remove_if_stale(folder: Path, state: os.stat_result) -> None:
    if state.st_uid != os.getuid():
        return
    try:
        descriptor = os.open(folder / _LOCK, os.O_RDWR | os.O_NOFOLLOW)
    except FileNotFoundError:
        if time.time() - state.st_mtime > _NEW_SECONDS:
            folder.rmdir()  # fails unless it is empty: with files but without a lock it is not ours
        return
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)  # fails while its process lives
        shutil.rmtree(folder, ignore_errors=True)
    finally:
        os.close(descriptor)


def _locked(folder: Path) -> int | None:
    """Returns the descriptor of the folder's lock file, which appears under its name only once it is locked."""
    if sys.platform == "win32":
        return None
    new = folder / f"{_LOCK}.new"
    descriptor = os.open(new, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
    with suppress(OSError):  # a file system without locks: nothing is removed there later
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        new.rename(folder / _LOCK)
    return descriptor
