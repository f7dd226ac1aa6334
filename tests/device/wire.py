"""Messages of the adb wire protocol, and the streams that they carry.

Source: packages/modules/adb, protocol.txt and adb.h. Every message is six little-endian words (command, two arguments, length,
checksum, the command's complement) and a payload. From version 0x01000001 on, checksums are ignored.
"""

from __future__ import annotations

import queue
import socket
import struct
import threading
from contextlib import suppress
from dataclasses import dataclass

VERSION = 0x01000001
MAX_PAYLOAD = 256 * 1024
CNXN, AUTH, OPEN, OKAY, CLSE, WRTE = b"CNXN", b"AUTH", b"OPEN", b"OKAY", b"CLSE", b"WRTE"
_HEADER = struct.Struct("<4sIIIII")


class Closed(Exception):  # noqa: N818, an event rather than a mistake
    """The other side has closed the stream or the connection."""


@dataclass(frozen=True)
class Message:
    """One message."""

    command: bytes
    first: int
    second: int
    payload: bytes = b""

    def pack(self) -> bytes:
        """Its bytes."""
        word = struct.unpack("<I", self.command)[0]
        check = sum(self.payload) & 0xFFFFFFFF
        return _HEADER.pack(self.command, self.first, self.second, len(self.payload), check, word ^ 0xFFFFFFFF) + self.payload


def read_message(connection: socket.socket) -> Message:
    """Reads the next message; raises Closed at the end, ValueError if it is invalid."""
    command, first, second, length, _, magic = _HEADER.unpack(_exactly(connection, _HEADER.size))
    if magic != struct.unpack("<I", command)[0] ^ 0xFFFFFFFF or length > 2**20:
        raise ValueError(f"no adb message: {command!r}")
    return Message(command, first, second, _exactly(connection, length))


def _exactly(connection: socket.socket, count: int) -> bytes:
    parts = []
    while count:
        try:
            part = connection.recv(min(count, 2**18))
        except OSError as error:
            raise Closed from error
        if not part:
            raise Closed
        parts.append(part)
        count -= len(part)
    return b"".join(parts)


class Link:
    """A connection that several threads write whole messages to."""

    def __init__(self, connection: socket.socket) -> None:
        self.connection = connection
        self._lock = threading.Lock()

    def send(self, message: Message) -> None:
        """Writes a message; raises Closed if the connection is gone."""
        try:
            with self._lock:
                self.connection.sendall(message.pack())
        except OSError as error:
            raise Closed from error

    def cut(self) -> None:
        """Drops the connection silently, like a pulled cable."""
        with suppress(OSError):
            self.connection.shutdown(socket.SHUT_RDWR)
        self.connection.close()


class Stream:
    """One opened service: bytes in, bytes out, one unacknowledged write at a time, as the protocol requires."""

    def __init__(self, link: Link, local: int, remote: int) -> None:
        self.link, self.local, self.remote = link, local, remote
        self._arrived: queue.Queue[bytes | None] = queue.Queue()
        self._buffer = b""
        self._may_write = threading.Event()
        self._may_write.set()
        self._writer = threading.Lock()
        self.closed = threading.Event()

    def on_data(self, data: bytes) -> None:
        """Called by the connection's thread: the client has sent something."""
        self._arrived.put(data)
        self.link.send(Message(OKAY, self.local, self.remote))

    def on_okay(self) -> None:
        """Called by the connection's thread: the client has acknowledged the last write."""
        self._may_write.set()

    def on_close(self) -> None:
        """Called by the connection's thread: the client has closed the stream."""
        self.closed.set()
        self._arrived.put(None)
        self._may_write.set()

    def read(self, count: int) -> bytes:
        """Reads exactly this many bytes; raises Closed if the stream ends before."""
        while len(self._buffer) < count:
            data = self._arrived.get()
            if data is None:
                self._arrived.put(None)
                raise Closed
            self._buffer += data
        taken, self._buffer = self._buffer[:count], self._buffer[count:]
        return taken

    def write(self, data: bytes) -> None:
        """Sends bytes, waiting for the client to acknowledge each part; thread-safe. Raises Closed."""
        with self._writer:
            for start in range(0, len(data), MAX_PAYLOAD):
                self._may_write.wait()
                if self.closed.is_set():
                    raise Closed
                self._may_write.clear()
                self.link.send(Message(WRTE, self.local, self.remote, data[start : start + MAX_PAYLOAD]))

    def close(self) -> None:
        """Closes the stream from this side, after the last write was acknowledged."""
        if not self.closed.is_set():
            self._may_write.wait(10)
            self.closed.set()
            self.link.send(Message(CLSE, self.local, self.remote))
