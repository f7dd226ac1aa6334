"""What native code is doing now, for the message of a process that watches this one: a process that it kills cannot say."""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from contextlib import contextmanager

_SIZE = 4096
_shared: mmap.mmap | None = None


def share() -> None:
    """Keeps the note in memory that a child process, forked after this call, shares with its parent.

    Raises:
        OSError: there is no memory left.
    """
    global _shared
    _shared = mmap.mmap(-1, _SIZE)


@contextmanager
def doing(what: str) -> Iterator[None]:
    """Notes what its block does, such as ``"LiteRT compiles graph_a.tflite"``; without ``share`` it does nothing."""
    before = last()
    _write(what)
    try:
        yield
    finally:
        _write(before)


def last() -> str:
    """Returns the note of this process or of its child; "" if there is none."""
    return "" if _shared is None else _shared[:].rstrip(b"\0").decode("utf-8", "replace")


def _write(what: str) -> None:
    if _shared is not None:
        data = what.encode("utf-8", "replace")[:_SIZE]
        _shared[:] = data.ljust(_SIZE, b"\0")
