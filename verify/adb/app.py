"""An app's private files, by run-as: hashes, folders, resumable copies.

run-as enters the data folder of a debuggable app as that app. It may read what adb pushed to /data/local/tmp, so a file goes
there first, in pieces, and is appended from there; pieces that have arrived are not sent again.
"""

from __future__ import annotations

import hashlib
import re
import secrets
import shlex
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path, PurePosixPath

from detr2litert.host_runtime.interrupt import uninterrupted
from detr2litert.host_runtime.scratch import scratch_folder
from detr2litert.verify.adb.client import OUTPUT_LIMIT, SHORT, Answer, Device
from detr2litert.verify.adb.errors import AppMissingError, CommandFailedError, DeviceError, NotDebuggableError

PACKAGE = "org.detr2litert.sample"
FILES = PurePosixPath("files")
PIECE = 8 * 2**20
"""Bytes sent at once: the most that is lost when the connection is cut."""
CLEANING = 10.0
"""Time limit in seconds for cleaning up after an error, when the device may be in any state and the user is waiting."""
_OTHER_HASH = 66
_NO_HASHES = 67
_TEMPORARY = PurePosixPath("/data/local/tmp")
_MESSAGE = 2000
"""Characters in which run-as, which writes one line, has said what is wrong."""
_LENGTH = re.compile(r"[0-9]{1,18}")
_PACKAGE_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]*(\.[A-Za-z][A-Za-z0-9_]*)+")
_UNKNOWN = re.compile(r"unknown package|is unknown|unable to find package|package .* not (?:found|installed)", re.IGNORECASE)
_CLOSED = re.compile(r"not debuggable|is not an application", re.IGNORECASE)
Moved = Callable[[int], None]
"""Called with the number of bytes that have just arrived."""


class App:
    """One app on one device. Paths are relative to the app's data folder, where run-as starts.

    Every method may raise the ``DeviceError`` of the calls it makes.
    """

    def __init__(self, device: Device, package: str = PACKAGE) -> None:
        if not _PACKAGE_NAME.fullmatch(package):
            raise AppMissingError(f"'{package}' is not a package name; the sample's is {PACKAGE}")
        self.device = device
        self.package = package

    def check(self) -> None:
        """Checks that run-as can enter the app.

        Raises:
            AppMissingError, NotDebuggableError: it is not installed, or a release build.
        """
        self.run("true")

    def run(self, script: str, timeout: float = SHORT) -> str:
        """Runs a shell script as the app, which must succeed; returns its standard output."""
        answer = self.attempt(script, timeout)
        if answer.code != 0:
            raise self.device.failure(answer, script)
        return answer.text

    def attempt(self, script: str, timeout: float = SHORT) -> Answer:
        """Runs a shell script as the app; any exit code is an answer."""
        answer = self.device.shell(self.command(script), timeout)
        if answer.code != 0:
            self._check_entered(answer)
        return answer

    def read(self, path: PurePosixPath, timeout: float = SHORT, limit: int = OUTPUT_LIMIT) -> bytes:
        """Reads a file's bytes. A cut connection may silently truncate them: compare a hash or a length."""
        return self.device.read(f"run-as {self.package} cat {quoted(path)}", timeout, limit)

    def hashes(self, folder: PurePosixPath) -> dict[str, str]:
        """Returns the sha256 of every file below a folder, by relative path; empty if there is no such folder."""
        there = f"command -v sha256sum >/dev/null || exit {_NO_HASHES}; cd {quoted(folder)} 2>/dev/null || exit 0"
        script = f"{there}; find . -type f -exec sha256sum {{}} +"
        answer = self.attempt(script, timeout=300.0)
        if answer.code == _NO_HASHES:
            message = "it has no sha256sum, so no file could be checked there; use a device with Android 8 or newer"
            raise CommandFailedError(f"{self.device.serial}: {message}")
        if answer.code != 0:
            raise self.device.failure(answer, script)
        return parse_hashes(answer.text)

    def put(self, source: Path, destination: PurePosixPath, moved: Moved = lambda count: None, resume: bool = True) -> int:
        """Copies a file into the app, resuming where an earlier call was cut off.

        The bytes grow in ``DESTINATION.part``, renamed when their sha256 is the source's. Two calls of adb for each piece.

        Args:
            source: on this machine.
            destination: in the app; its folder is made.
            moved: called for every piece that has arrived.
            resume: False where no part of the file can be there yet, which saves a call.

        Returns:
            The number of bytes sent.

        Raises:
            CommandFailedError: the copy has another sha256; it was removed.
        """
        part = destination.with_name(destination.name + ".part")
        size = source.stat().st_size
        start = self._resume_at(source, part, size) if resume else 0
        moved(start)
        check = f'[ "$(sha256sum < {quoted(part)} | cut -c 1-64)" = {_prefix_sha256(source, size)} ]'
        checked = f"{{ {check} || {{ rm -f {quoted(part)}; exit {_OTHER_HASH}; }}; }}"
        finish = f"{checked} && mv -f {quoted(part)} {quoted(destination)}"
        position = start
        with source.open("rb") as stream, temporary(self.device) as remote:
            stream.seek(start)
            while position < size or position == start == 0:
                piece = stream.read(PIECE)
                begin = f"mkdir -p {quoted(destination.parent)} && : > {quoted(part)} && " if position == 0 else ""
                position += len(piece)
                self._push(piece, remote)
                append = f"{begin}cat {remote} >> {quoted(part)}"
                self._finish_put(f"{append} && {finish}" if position == size else append, destination, remote)
                moved(len(piece))
                if not piece:
                    break
        if start == size > 0:
            self._finish_put(finish, destination, None)
        return size - start

    def put_bytes(self, data: bytes, destination: PurePosixPath) -> None:
        """Writes a small file."""
        with scratch_folder() as folder:
            source = folder / "file"
            source.write_bytes(data)
            self.put(source, destination, resume=False)

    def remove(self, *paths: PurePosixPath, timeout: float = SHORT) -> None:
        """Removes files and folders, if they are there."""
        self.run("rm -rf " + " ".join(map(quoted, paths)), timeout)

    def stop(self, timeout: float = SHORT) -> None:
        """Ends the app's process."""
        self.device.output(f"am force-stop {self.package}", timeout)

    def command(self, script: str) -> str:
        """Quotes a script for the device's shell so that run-as passes it unchanged to a second shell."""
        return f"run-as {self.package} sh -c {shlex.quote(script)}"

    def _check_entered(self, answer: Answer) -> None:
        said = f"{answer.stderr[:_MESSAGE]}\n{answer.text[:_MESSAGE]}"
        if "run-as:" not in said:
            return
        if _UNKNOWN.search(said):
            raise AppMissingError(
                f"{self.device.serial}: the app {self.package} is not installed; build and install it "
                "(cd android_sample && ./gradlew :app:installDebug), or name another with --package"
            )
        if _CLOSED.search(said):
            raise NotDebuggableError(
                f"{self.device.serial}: the app {self.package} is not debuggable, so its files cannot be reached; "
                "install a debug build (./gradlew :app:installDebug)"
            )

    def _resume_at(self, source: Path, part: PurePosixPath, size: int) -> int:
        """Returns how many bytes of the source the partial file holds, 0 if any of them differ."""
        there = self.run(f"[ -f {quoted(part)} ] && wc -c < {quoted(part)} && sha256sum {quoted(part)} || true", 300.0).split()
        if len(there) < 2 or not _LENGTH.fullmatch(there[0]):
            return 0
        length = int(there[0])
        return length if 0 < length <= size and there[1] == _prefix_sha256(source, length) else 0

    def _push(self, piece: bytes, remote: PurePosixPath) -> None:
        with tempfile.NamedTemporaryFile(prefix="adb-") as local:
            local.write(piece)
            local.flush()
            Path(local.name).chmod(0o644)  # adb keeps the mode, and the app is another user
            self.device.push(Path(local.name), remote)

    def _finish_put(self, script: str, destination: PurePosixPath, remote: PurePosixPath | None) -> None:
        """Runs a step of ``put`` as the app, then removes the pushed piece as the shell, in one call."""
        command = self.command(script) + (f"; code=$?; rm -f {remote}; exit $code" if remote else "")
        answer = self.device.shell(command, timeout=300.0)
        if answer.code == _OTHER_HASH:
            message = f"{destination} arrived with another sha256; run the same command again"
            raise CommandFailedError(f"{self.device.serial}: {message}")
        if answer.code != 0:
            self._check_entered(answer)
            raise self.device.failure(answer, script)


def parse_hashes(text: str) -> dict[str, str]:
    """Parses the output of sha256sum on ``./PATH`` into hashes by relative path; other lines are skipped."""
    found = (re.fullmatch(r"([0-9a-f]{64})\s+\*?\./(.+)", line) for line in text.splitlines())
    return {match[2]: match[1] for match in found if match}


@contextmanager
def temporary(device: Device) -> Iterator[PurePosixPath]:
    """Yields a unique path in the shell's temporary folder; after an error the file is removed."""
    path = _TEMPORARY / f"detr2litert-{secrets.token_hex(6)}"
    try:
        yield path
    except BaseException:
        with uninterrupted(), suppress(DeviceError):
            device.shell(f"rm -f {path}", CLEANING)
        raise


def clear_temporary(device: Device) -> None:
    """Removes what an earlier, cut off command left in the shell's temporary folder."""
    device.output(f"rm -f {_TEMPORARY}/detr2litert-*")


def quoted(path: PurePosixPath | Path) -> str:
    """Quotes a path as one word for the device's shell."""
    return shlex.quote(str(path))


def _prefix_sha256(path: Path, length: int) -> str:
    """The sha256 of a file's first ``length`` bytes."""
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while length > 0 and (block := stream.read(min(length, 2**20))):
            digest.update(block)
            length -= len(block)
    return digest.hexdigest()
