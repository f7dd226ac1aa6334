"""Suppresses the native runtime's log without losing its errors, in this project's own commands only.

LiteRT logs some forty lines to standard error (and one to standard output) while it loads and compiles. It has a level
(``kLiteRtEnvOptionTagMinLoggerSeverity``), but ai-edge-litert 2.3.0 has no argument and no environment variable for it, and its
extension modules, which link their own copy of the runtime, export no symbol to set it: an environment created through
libLiteRt.so's C functions with that option leaves them as they were. So the file descriptors are redirected. They belong to the
whole process, with output of other threads on them, so this is only done where ``silence_native_log`` was called, in a
command's main; in somebody else's program the descriptors are never touched, and LiteRT's lines are written.
"""

from __future__ import annotations

import atexit
import os
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import IO

_silenced = False
_capturing = threading.RLock()


@dataclass
class NativeLog:
    """The output to file descriptors 1 and 2 while they were captured; complete after the `with` block.

    Attributes:
        lines: empty where nothing was captured.
        captured: whether it was; else LiteRT has written its lines to the descriptors themselves.
    """

    lines: list[str] = field(default_factory=list)
    captured: bool = False

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
    """Captures the output of native code while it loads and compiles; does nothing unless ``silence_native_log`` was called.

    Another thread's output at the same time is captured too, and a second thread that captures waits for the first, so that
    each restores what was there before. The error lines are repeated on stderr if the block succeeds; if it raises, they are in
    the caller's `log`.
    """
    log = log or NativeLog()
    if not _silenced:
        yield log
        return
    with _capturing:
        _flush()
        saved: dict[int, int] = {}
        with _unnamed_file() as sink:
            for descriptor in (1, 2):
                with suppress(OSError):  # a closed descriptor (a daemon's) has nothing to capture
                    saved[descriptor] = os.dup(descriptor)
                    os.dup2(sink.fileno(), descriptor)
            log.captured = True
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


def silence_native_log() -> None:
    """Suppresses LiteRT's log from here to the end of the process; for a command's main.

    `native_log` captures from here on, and stderr is redirected to the null device at exit: LiteRT destroys its default
    environment in a static destructor and logs that, after any Python code could capture it. Tracebacks and ordinary output
    are written before, so they are not lost. A library must not do this to its host, so it is done only on request.
    """
    global _silenced
    _silenced = True

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
