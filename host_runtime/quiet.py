"""Suppresses the native runtime's log without losing its errors."""

from __future__ import annotations

import atexit
import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import IO


@dataclass
class NativeLog:
    """The output to file descriptors 1 and 2 while they were captured; complete after the `with` block."""

    lines: list[str] = field(default_factory=list)

    @property
    def errors(self) -> list[str]:
        """The lines at error level, and the operations that a GPU delegate lists after its heading."""
        found = []
        in_list = False
        for line in self.lines:
            heading = "Following operations are not supported" in line
            # The delegate's list ends with its count, "10 operations will run on the GPU, ...".
            in_list = (in_list or heading) and "will run on the" not in line
            if heading or in_list or line.startswith(("ERROR", "E0000", "F0000")):
                found.append(line)
        return found


@contextmanager
def native_log(log: NativeLog | None = None) -> Iterator[NativeLog]:
    """Captures the output of native code while it loads and compiles.

    LiteRT logs some twenty lines to stderr (and one to stdout) for every model, has no option for it in Python and exports no
    symbol to set the level, so the descriptors themselves are redirected to a file. They belong to the whole process: another
    thread's output at the same time is captured too. The error lines are repeated on stderr if the block succeeds; if it
    raises, they are in the caller's `log`.
    """
    log = log or NativeLog()
    _flush()
    saved: dict[int, int] = {}
    with _unnamed_file() as sink:
        for descriptor in (1, 2):
            with suppress(OSError):  # a closed descriptor (a daemon's) has nothing to capture
                saved[descriptor] = os.dup(descriptor)
                os.dup2(sink.fileno(), descriptor)
        try:
            yield log
        finally:
            _flush()
            for descriptor, copy in saved.items():
                os.dup2(copy, descriptor)
                os.close(copy)
            sink.seek(0)
            log.lines = sink.read().decode("utf-8", "replace").splitlines()
    if log.errors:
        print("\n".join(log.errors), file=sys.stderr)


def silence_exit() -> None:
    """Redirects stderr to the null device at exit; for a command's main.

    LiteRT destroys its default environment in a static destructor and logs that, after any Python code could capture it.
    Tracebacks and ordinary output are written before, so they are not lost. A library must not do this to its host, so it is
    done only on request.
    """

    def silence() -> None:
        _flush()
        with suppress(OSError):
            null = os.open(os.devnull, os.O_WRONLY)
            os.dup2(null, 2)
            os.close(null)

    atexit.register(silence)


def _unnamed_file() -> IO[bytes]:
    """Returns a file without a name, in memory where the system can: there may be no temporary folder."""
    if hasattr(os, "memfd_create"):
        return os.fdopen(os.memfd_create("native-log"), "w+b")
    return tempfile.TemporaryFile()


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError, AttributeError):
            stream.flush()
