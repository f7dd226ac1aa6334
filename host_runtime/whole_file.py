"""Files that have their name once they are whole."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Yields a hidden path beside ``path`` to write to, which gets that name when the block completes; else nothing is left.

    A reader sees the old file or the new one.

    Raises:
        OSError: it cannot be renamed, for example onto a folder.
    """
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        yield part
        part.replace(path)
    finally:
        with suppress(OSError):  # it was renamed, or its folder does not exist
            part.unlink()
