"""A terminal for tests, which records what a program writes to it."""

from __future__ import annotations

import fcntl
import os
import pty
import struct
import termios
import threading
from types import TracebackType

ENVIRONMENT = {"TERM": "xterm-256color", "COLUMNS": "100", "LINES": "30"}
SHOW_CURSOR, HIDE_CURSOR = "\x1b[?25h", "\x1b[?25l"


class Terminal:
    """A pseudo-terminal of 100 x 30 while it is open.

    Attributes:
        end: the program's end of it, a file descriptor.
    """

    def __init__(self) -> None:
        self._screen, self.end = pty.openpty()
        fcntl.ioctl(self.end, termios.TIOCSWINSZ, struct.pack("HHHH", 30, 100, 0, 0))
        self._parts: list[bytes] = []
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def __enter__(self) -> Terminal:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def close(self) -> str:
        """Everything that was written; every program must have closed it."""
        if self.end >= 0:
            os.close(self.end)
            self.end = -1
            self._reader.join(10)
            os.close(self._screen)
        return b"".join(self._parts).decode()

    def _read(self) -> None:
        try:
            while part := os.read(self._screen, 2**16):
                self._parts.append(part)
        except OSError:  # on Linux: the other end is closed
            pass
