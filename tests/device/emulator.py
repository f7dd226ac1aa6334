"""An emulated Android device for tests: NOT a phone, and not Android either.

It implements adbd's protocol on loopback, sufficiently for the real adb program, over a local folder. Its shell is this
machine's sh with a few of Android's programs first on PATH (``tests.device.programs``), and its app runs the bundle with LiteRT
on this machine's CPU (``tests.device.app_process``). It always identifies itself as "emulator".
"""

from __future__ import annotations

import re
import signal
import socket
import struct
import subprocess
import threading
import time
from contextlib import suppress
from os import killpg
from pathlib import Path
from types import TracebackType

from tests.device.faults import Faults
from tests.device.programs import PROPERTIES, shell_environment, write_programs
from tests.device.sync_service import SyncService
from tests.device.wire import (
    AUTH,
    CLSE,
    CNXN,
    MAX_PAYLOAD,
    OKAY,
    OPEN,
    VERSION,
    WRTE,
    Closed,
    Link,
    Message,
    Stream,
    read_message,
)

_BANNER_KEYS = ("ro.product.name", "ro.product.model", "ro.product.device")
_FEATURES = "shell_v2,cmd,stat_v2,ls_v2"
_STDOUT, _STDERR, _EXIT = 1, 2, 3
_ABSOLUTE = re.compile(r"(?<![\w./-])/data/")


class Emulator:
    """A device that listens while it is open.

    Args:
        root: an empty folder, the device's whole storage; no blanks in its path.
        faults: those to cause.
        installed: packages, each with whether it is debuggable.
    """

    def __init__(self, root: Path, faults: Faults | None = None, installed: dict[str, bool] | None = None) -> None:
        self.root = root
        self.faults = faults or Faults()
        self.commands: list[str] = []
        self._listener: socket.socket | None = None
        self._port = 0
        self._links: list[Link] = []
        for folder in ("data/local/tmp", "data/data", ".emulator"):
            (root / folder).mkdir(parents=True, exist_ok=True)
        write_programs(root, self.faults.lacks)
        for package, debuggable in (installed or {}).items():
            (root / "data/data" / package / "files").mkdir(parents=True, exist_ok=True)
            (root / ".emulator" / f"{package}.{'debug' if debuggable else 'release'}").touch()

    @property
    def serial(self) -> str:
        """The address for ``adb connect``, which ``adb devices`` shows."""
        return f"127.0.0.1:{self._port}"

    def __enter__(self) -> Emulator:
        self.listen()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.unplug()

    def listen(self) -> None:
        """Accepts connections, after ``unplug`` on the same port again."""
        self._listener = socket.create_server(("127.0.0.1", self._port), reuse_port=False)
        self._port = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, args=(self._listener,), daemon=True).start()

    def unplug(self) -> None:
        """Stops accepting connections and drops the open ones."""
        if self._listener is not None:
            with suppress(OSError):
                self._listener.shutdown(socket.SHUT_RDWR)
            self._listener.close()
            self._listener = None
        for link in self._links:
            link.cut()
        self._links.clear()

    def locate(self, path: str) -> Path:
        """The local file of a device path.

        Raises:
            PermissionError: it leaves the device.
        """
        place = (self.root / path.lstrip("/")).resolve()
        if not place.is_relative_to(self.root.resolve()):
            raise PermissionError(13, "Permission denied")
        return place

    def _accept(self, listener: socket.socket) -> None:
        with suppress(OSError):
            while True:
                connection, _ = listener.accept()
                link = Link(connection)
                self._links.append(link)
                threading.Thread(target=self._serve, args=(link,), daemon=True).start()

    def _serve(self, link: Link) -> None:
        streams: dict[int, Stream] = {}
        try:
            while True:
                self._handle(link, read_message(link.connection), streams)
        except (Closed, ValueError):
            link.cut()
        finally:
            for stream in list(streams.values()):
                stream.on_close()

    def _handle(self, link: Link, message: Message, streams: dict[int, Stream]) -> None:
        if self.faults.silent:
            return
        if message.command == CNXN and self.faults.unauthorized:
            link.send(Message(AUTH, 1, 0, bytes(20)))
        elif message.command == CNXN:
            banner = "".join(f"{key}={PROPERTIES[key]};" for key in _BANNER_KEYS)
            link.send(Message(CNXN, VERSION, MAX_PAYLOAD, f"device::{banner}features={_FEATURES}".encode()))
        elif message.command == AUTH and message.first == 2:
            link.send(Message(AUTH, 1, 0, bytes(20)))  # a signature: refused; an offered key gets no answer
        elif message.command == OPEN:
            stream = Stream(link, len(streams) + 1, message.first)
            streams[stream.local] = stream
            service = message.payload.rstrip(b"\0").decode()
            link.send(Message(OKAY, stream.local, stream.remote))
            threading.Thread(target=self._run_service, args=(link, stream, service), daemon=True).start()
        elif message.command in (WRTE, OKAY, CLSE) and message.second in streams:
            stream = streams[message.second]
            if message.command == WRTE:
                stream.on_data(message.payload)
            elif message.command == OKAY:
                stream.on_okay()
            elif not stream.closed.is_set():
                stream.on_close()
                link.send(Message(CLSE, stream.local, stream.remote))

    def _run_service(self, link: Link, stream: Stream, service: str) -> None:
        kind, _, argument = service.partition(":")
        with suppress(Closed):
            if kind == "sync":
                SyncService(stream, self.locate, self.faults, link).serve()
            elif kind.split(",")[0] in ("shell", "exec"):
                self._shell(link, stream, argument, framed="v2" in kind.split(","))
            stream.close()

    def _shell(self, link: Link, stream: Stream, command: str, framed: bool) -> None:
        """Runs a command; framed output keeps stdout, stderr and the exit code apart."""
        self.commands.append(command)
        if flood := self.faults.flood(command):
            data, pause = flood
            while True:  # until the client has closed the stream
                stream.write(struct.pack("<BI", _STDOUT, len(data)) + data if framed else data)
                stream.closed.wait(pause)
        self.faults.write(self.root / ".emulator" / "faults.json")
        process = subprocess.Popen(
            ["/bin/sh", "-c", _ABSOLUTE.sub(lambda match: f"{self.root}/data/", command)],
            cwd=self.root,
            env=shell_environment(self.root),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE if framed else subprocess.STDOUT,
            start_new_session=True,
        )
        threading.Thread(target=_end_with, args=(stream, process), daemon=True).start()
        if self.faults.cuts_at(command):
            time.sleep(self.faults.cut_delay)
            link.cut()
        pumps = [threading.Thread(target=_pump, args=(stream, process.stdout, _STDOUT if framed else None), daemon=True)]
        if framed:
            pumps.append(threading.Thread(target=_pump, args=(stream, process.stderr, _STDERR), daemon=True))
        for pump in pumps:
            pump.start()
        for pump in pumps:
            pump.join()
        code = process.wait()
        if framed:
            stream.write(struct.pack("<BI", _EXIT, 1) + bytes([code & 0xFF]))


def _pump(stream: Stream, source: object, channel: int | None) -> None:
    with suppress(Closed):
        while data := source.read1(2**16):  # type: ignore[attr-defined]
            stream.write(data if channel is None else struct.pack("<BI", channel, len(data)) + data)


def _end_with(stream: Stream, process: subprocess.Popen[bytes]) -> None:
    """Ends a command when the client disconnects, as adbd does; processes in a session of their own continue."""
    stream.closed.wait()
    if process.poll() is None:
        with suppress(ProcessLookupError):
            killpg(process.pid, signal.SIGKILL)
