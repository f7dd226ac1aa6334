"""The file service of adbd: STAT, LIST, SEND, RECV, and the second version of stat and list.

Source: packages/modules/adb, SYNC.TXT and file_sync_protocol.h.
"""

from __future__ import annotations

import os
import struct
import time
from collections.abc import Callable
from pathlib import Path

from tests.device.faults import Faults
from tests.device.wire import Link, Stream

_DATA_MAX = 64 * 1024


class SyncService:
    """Serves one sync stream.

    Args:
        stream: opened by the client.
        locate: device path to a file of this machine; raises PermissionError for one outside the device.
        faults: those that a test has set.
    """

    def __init__(self, stream: Stream, locate: Callable[[str], Path], faults: Faults, link: Link) -> None:
        self._stream, self._locate, self._faults, self._link = stream, locate, faults, link

    def serve(self) -> None:
        """Serves until QUIT; raises Closed if the client disconnects earlier."""
        handlers = {
            b"STAT": self._stat, b"LIST": self._list, b"SEND": self._send, b"RECV": self._receive,
            b"STA2": self._stat_v2, b"LST2": self._lstat_v2, b"LIS2": self._list_v2,
        }  # fmt: skip
        while True:
            request, length = struct.unpack("<4sI", self._stream.read(8))
            if request == b"QUIT":
                return
            handlers[request](self._stream.read(length).decode())

    def _stat(self, path: str) -> None:
        found = _status(self._locate(path), follow=False)
        words = (0, 0, 0) if isinstance(found, int) else (found.st_mode, found.st_size & 0xFFFFFFFF, int(found.st_mtime))
        self._stream.write(struct.pack("<4sIII", b"STAT", *words))

    def _stat_v2(self, path: str) -> None:
        self._stream.write(_record(b"STA2", _status(self._locate(path), follow=True)))

    def _lstat_v2(self, path: str) -> None:
        self._stream.write(_record(b"LST2", _status(self._locate(path), follow=False)))

    def _list(self, path: str) -> None:
        for entry in self._entries(path):
            found = entry.lstat()
            name = entry.name.encode()
            words = (found.st_mode, found.st_size & 0xFFFFFFFF, int(found.st_mtime), len(name))
            self._stream.write(struct.pack("<4sIIII", b"DENT", *words) + name)
        self._stream.write(struct.pack("<4sIIII", b"DONE", 0, 0, 0, 0))

    def _list_v2(self, path: str) -> None:
        for entry in self._entries(path):
            name = entry.name.encode()
            self._stream.write(_record(b"DNT2", entry.lstat()) + struct.pack("<I", len(name)) + name)
        self._stream.write(b"DONE" + bytes(72))

    def _entries(self, path: str) -> list[Path]:
        folder = self._locate(path)
        return sorted(folder.iterdir()) if folder.is_dir() else []

    def _send(self, request: str) -> None:
        path, _, mode = request.rpartition(",")
        target = self._locate(path)
        problem = ""
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            with target.open("wb") as sink:
                os.fchmod(sink.fileno(), int(mode) & 0o777)  # by the open file: its path may be removed
                problem = self._take(sink.write)
        except OSError as error:
            problem = f"couldn't create file: {error.strerror}"
            self._take(lambda data: 0)
        if problem:
            target.unlink(missing_ok=True)
            self._fail(problem)
            return
        self._stream.write(struct.pack("<4sI", b"OKAY", 0))

    def _take(self, write: Callable[[bytes], int]) -> str:
        """Reads data until DONE; returns the error. Like adbd, it continues to read after a failure."""
        problem = ""
        while True:
            kind, length = struct.unpack("<4sI", self._stream.read(8))
            if kind == b"DONE":
                return problem
            data = self._stream.read(length)
            time.sleep(self._faults.pause)
            if self._faults.cuts(len(data)):
                self._link.cut()
            if not problem and self._faults.fills(len(data)):
                problem = "couldn't write to file: No space left on device"
            if not problem:
                write(data)

    def _receive(self, path: str) -> None:
        try:
            data = self._locate(path).read_bytes()
        except OSError as error:
            self._fail(f"open failed: {error.strerror}")
            return
        for start in range(0, len(data), _DATA_MAX):
            part = data[start : start + _DATA_MAX]
            self._stream.write(struct.pack("<4sI", b"DATA", len(part)) + part)
        self._stream.write(struct.pack("<4sI", b"DONE", 0))

    def _fail(self, message: str) -> None:
        data = message.encode()
        self._stream.write(struct.pack("<4sI", b"FAIL", len(data)) + data)


def _status(path: Path, follow: bool) -> os.stat_result | int:
    """The file's status, or the number of the error."""
    try:
        return path.stat() if follow else path.lstat()
    except OSError as error:
        return error.errno or 5


def _record(kind: bytes, found: os.stat_result | int) -> bytes:
    """The second version's status: error, device, inode, mode, links, user, group, size, three times."""
    if isinstance(found, int):
        return struct.pack("<4sI", kind, found) + bytes(64)
    words = (found.st_dev, found.st_ino, found.st_mode, found.st_nlink, found.st_uid, found.st_gid, found.st_size)
    times = (int(found.st_atime), int(found.st_mtime), int(found.st_ctime))
    return struct.pack("<4sIQQIIIIQqqq", kind, 0, *words, *times)
