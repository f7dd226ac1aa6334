"""The faults that a test can cause on the emulated device."""

from __future__ import annotations

import json
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass
class Faults:
    """Set by a test before or between commands; those of the app are read by its process at its start.

    Attributes:
        unauthorized: the device requests a key and accepts none.
        silent: it accepts connections and does not respond.
        cut_after: bytes of pushed data after which the connection is dropped, once.
        cut_at: part of a shell command at which the connection is dropped, once; ``cut_delay`` seconds after its start.
        endless_at: part of a shell command that is answered with a line without an end.
        drip_at: part of a shell command that is answered with a byte every tenth of a second, without an end.
        full_after: bytes of pushed data after which the storage is full.
        pause: seconds that the device needs for every 64 KiB of pushed data.
        lacks: programs that it does not have.
        app: faults of the app's process: see ``tests.device.app_process``.
    """

    unauthorized: bool = False
    silent: bool = False
    cut_after: int | None = None
    cut_at: str | None = None
    cut_delay: float = 0.0
    endless_at: str | None = None
    drip_at: str | None = None
    full_after: int | None = None
    pause: float = 0.0
    lacks: tuple[str, ...] = ()
    app: dict[str, Any] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def cuts(self, count: int) -> bool:
        """Whether to drop the connection after this many more bytes."""
        with self._lock:
            if self.cut_after is None:
                return False
            self.cut_after -= count
            if self.cut_after > 0:
                return False
            self.cut_after = None
            return True

    def cuts_at(self, command: str) -> bool:
        """Whether to drop the connection in this command."""
        with self._lock:
            if self.cut_at is None or self.cut_at not in command:
                return False
            self.cut_at = None
            return True

    def flood(self, command: str) -> tuple[bytes, float] | None:
        """The bytes to answer this command with again and again, and the seconds between; None for its own answer."""
        if self.endless_at is not None and self.endless_at in command:
            return b"x" * 2**16, 0.0
        if self.drip_at is not None and self.drip_at in command:
            return b"x", 0.1
        return None

    def fills(self, count: int) -> bool:
        """Whether the storage is full for this many more bytes."""
        with self._lock:
            if self.full_after is None:
                return False
            self.full_after = max(0, self.full_after - count)
            return self.full_after == 0

    def write(self, path: Path) -> None:
        """For the app's process."""
        path.write_text(json.dumps(self.app), encoding="utf-8")
