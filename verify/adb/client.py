"""Typed calls of the adb program, each with a limit in time and in what is read.

Why the program and not a library: it returns the exit code and stderr separately, it is what the phone's owner has authorised,
and it keeps up with Android. Its own messages are recognised by their text, as printed by adb 29 to 36 (sources:
packages/modules/adb, client/commandline.cpp, client/file_sync_client.cpp, transport.cpp).
"""

from __future__ import annotations

import re
import subprocess
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from detr2litert.verify.adb.binary import find_adb
from detr2litert.verify.adb.bounded import TooMuchOutputError, run_bounded
from detr2litert.verify.adb.errors import (
    AdbTimeoutError,
    CommandFailedError,
    ConnectionCutError,
    DeviceError,
    DeviceFullError,
    NoDeviceError,
    OfflineError,
    SeveralDevicesError,
    TooMuchSaidError,
    UnauthorizedError,
)
from detr2litert.verify.printable import printable

SHORT = 30.0
"""Time limit in seconds for a call that transfers little data."""
OUTPUT_LIMIT = 32 * 2**20
"""Bytes that a call may write; the longest, a log that was never cleared, has some megabytes."""
_SEARCHED = 10_000  # characters of an error message that are searched: more than adb writes
_VALUE = 200  # characters of a system property that are used; Android's own limit is 91
_BYTES_A_SECOND = 1e6  # a slow cable; USB 2 does thirty times that
_LOST = re.compile(
    r"device (?:offline|unauthorized)|device '[^']*' not found|no devices/emulators found|connection reset|protocol fault"
    r"|error: closed"
    r"|broken pipe|device still (?:connecting|authorizing)|couldn't read from device|read of size \d+ failed|unexpected eof"
    r"|failed to read (?:copy response|from)|remote (?:connection )?closed",
    re.IGNORECASE,
)
_FULL = re.compile(r"No space left on device", re.IGNORECASE)


@dataclass(frozen=True)
class Answer:
    """The result of a call: exit code, standard output and standard error."""

    code: int
    stdout: bytes
    stderr: str

    @property
    def text(self) -> str:
        """Standard output as text."""
        return self.stdout.decode("utf-8", "replace")


@dataclass(frozen=True)
class Listed:
    """One line of ``adb devices``: serial number and state (``device`` if it can be used)."""

    serial: str
    state: str


class Adb:
    """The adb program of this machine.

    Args:
        program: its path [default: ``find_adb()``].

    Raises:
        NoAdbError: it is not installed.
    """

    def __init__(self, program: Path | None = None) -> None:
        self.program = program or find_adb()

    def call(self, *arguments: str, timeout: float = SHORT, limit: int = OUTPUT_LIMIT) -> Answer:
        """Runs the program once; an exit code other than 0 is an answer, not an error.

        Raises:
            AdbTimeoutError: it did not end within ``timeout`` seconds; it was killed.
            TooMuchSaidError: it wrote more than ``limit`` bytes; it was killed.
            CommandFailedError: it cannot be started.
        """
        command = " ".join(arguments)[:120]
        try:
            done = run_bounded([str(self.program), *arguments], timeout, limit)
        except subprocess.TimeoutExpired as error:
            raise AdbTimeoutError(
                f"`adb {command}` did not end within {timeout:.0f} s; look at the device, and try `adb reconnect`",
                (error.stdout or b"").decode("utf-8", "replace"),
            ) from error
        except TooMuchOutputError as error:
            raise TooMuchSaidError(
                f"`adb {command}` wrote more than {limit} bytes, which no answer has; look at the device, and install "
                "the app's build of this version"
            ) from error
        except OSError as error:
            raise CommandFailedError(f"{self.program} cannot be run ({error.strerror}); point ADB at a working adb") from error
        return Answer(done.returncode, done.stdout, done.stderr.decode("utf-8", "replace"))

    def devices(self) -> tuple[Listed, ...]:
        """Lists the connected devices (``adb devices``); starts adb's server if none runs.

        Raises:
            CommandFailedError: the server does not start.
        """
        answer = self.call("devices")
        if answer.code != 0:
            raise CommandFailedError(f"`adb devices` failed: {_line(answer.stderr)}; try `adb kill-server`")
        lines = (line.split("\t") for line in answer.text.splitlines()[1:])
        return tuple(Listed(parts[0], parts[1].strip()) for parts in lines if len(parts) == 2)

    def choose(self, serials: tuple[str, ...] = (), every: bool = False) -> tuple[Device, ...]:
        """Chooses the devices to use and checks that each is ready.

        Args:
            serials: the devices to use; empty for the only one connected.
            every: use all connected devices.

        Raises:
            NoDeviceError, SeveralDevicesError, UnauthorizedError, OfflineError: naming the device and what to do.
        """
        listed = {device.serial: device for device in self.devices()}
        if not listed:
            raise NoDeviceError(
                "no Android device is connected; plug one in with USB debugging on (its developer options), or `adb connect`"
            )
        if not serials and not every and len(listed) > 1:
            raise SeveralDevicesError(
                f"{len(listed)} devices are connected ({', '.join(listed)}); name one with --serial, or --all"
            )
        for serial in serials:
            if serial not in listed:
                raise NoDeviceError(f"the device {serial} is not connected, only {', '.join(listed)}; see `adb devices`")
        chosen = tuple(dict.fromkeys(serials)) or tuple(listed)
        for serial in chosen:
            _check_state(listed[serial])
        return tuple(Device(self, serial) for serial in chosen)


class Device:
    """One connected device.

    Every method raises a ``DeviceError``: ``ConnectionCutError`` when the device goes away, ``DeviceFullError``,
    ``AdbTimeoutError``, ``TooMuchSaidError``, else ``CommandFailedError``.
    """

    def __init__(self, adb: Adb, serial: str) -> None:
        self.adb = adb
        self.serial = serial

    def call(self, *arguments: str, timeout: float = SHORT, limit: int = OUTPUT_LIMIT) -> Answer:
        """Runs ``adb -s SERIAL ARGUMENTS``; the answer has the device's own exit code.

        Raises:
            ConnectionCutError, AdbTimeoutError, TooMuchSaidError: the device went away, took too long, or wrote too much.
        """
        answer = self.adb.call("-s", self.serial, *arguments, timeout=timeout, limit=limit)
        # adb returns 255 where no exit code came from the device, and 1 with a message of its own for most other failures.
        if answer.code == 255 or (answer.code != 0 and _LOST.search(answer.stderr[-_SEARCHED:])):
            self._check_connected(answer)
        return answer

    def shell(self, command: str, timeout: float = SHORT) -> Answer:
        """Runs a command in the device's shell, as one string, which ``adb shell`` passes on unchanged."""
        return self.call("shell", "-T", "-n", command, timeout=timeout)

    def output(self, command: str, timeout: float = SHORT) -> str:
        """Runs a command that must succeed; returns its standard output.

        Raises:
            DeviceFullError, CommandFailedError: depending on the command's output.
        """
        answer = self.shell(command, timeout)
        if answer.code != 0:
            raise self.failure(answer, command)
        return answer.text

    def read(self, command: str, timeout: float = SHORT, limit: int = OUTPUT_LIMIT) -> bytes:
        """Returns the raw bytes that a command writes (``exec-out``). There is no exit code: check the bytes."""
        answer = self.call("exec-out", command, timeout=timeout, limit=limit)
        if answer.code != 0:
            raise self.failure(answer, command)
        return answer.stdout

    def push(self, source: Path, destination: PurePosixPath) -> None:
        """Copies a file to where the device's shell may write; the time limit grows with the file's size."""
        limit = SHORT + source.stat().st_size / _BYTES_A_SECOND
        answer = self.call("push", str(source), str(destination), timeout=limit)
        if answer.code != 0:
            # `adb push` reports a lost device in many wordings, on standard output too: ask whether it is still connected. The
            # server may not have noticed yet, so some wordings count by themselves.
            output = answer.stderr[-_SEARCHED:] + answer.text[-_SEARCHED:]
            if not _FULL.search(output):
                self._check_connected(answer, sure=_LOST.search(output) is not None)
            raise self.failure(answer, f"push {source.name}")

    def properties(self) -> dict[str, str]:
        """Returns the device's system properties (``getprop``), printable and cut to a length above Android's own limit."""
        found = {}
        for line in self.output("getprop").splitlines():
            name, separator, value = line.removeprefix("[").partition("]: [")
            if separator and line.startswith("[") and value.endswith("]"):
                found[printable(name[:_VALUE])] = printable(value[:-1][:_VALUE])
        return found

    def failure(self, answer: Answer, command: str) -> DeviceError:
        """Builds the error for a call that failed on the device."""
        output = _line(answer.stderr or answer.text)
        if _FULL.search(answer.stderr[-_SEARCHED:] + answer.text[-_SEARCHED:]):
            return DeviceFullError(
                f"{self.serial}: no space left on the device; remove something there, then run the same again"
            )
        return CommandFailedError(
            f"{self.serial}: `{command[:100]}` failed with exit code {answer.code}: {output or 'no output'}"
        )

    def state(self) -> str:
        """Returns ``device``, ``offline``, …; ``missing`` if adb does not list the device."""
        return next((listed.state for listed in self.adb.devices() if listed.serial == self.serial), "missing")

    def _check_connected(self, answer: Answer, sure: bool = True) -> None:
        state = self.state()
        if sure or state != "device":
            now = "it is back" if state == "device" else f"it is {state}"
            raise ConnectionCutError(
                f"{self.serial}: the connection was cut ({now}; adb: {_line(answer.stderr or answer.text) or 'no output'}); "
                "check the cable and run the same command again"
            )


def _check_state(listed: Listed) -> None:
    if listed.state in ("unauthorized", "authorizing"):
        raise UnauthorizedError(
            f"{listed.serial} is {listed.state}: unlock it and accept this computer's key; if it does not ask, "
            "revoke USB debugging authorisations in its developer options and plug it in again"
        )
    if listed.state.startswith("no permissions"):
        raise UnauthorizedError(
            f"{listed.serial}: no permission to open it ({listed.state}); install android-sdk-platform-tools-common"
        )
    if listed.state != "device":
        raise OfflineError(f"{listed.serial} is {listed.state}, not ready; plug it in again, or `adb reconnect offline`")


def _line(text: str) -> str:
    """Joins a program's output into one line and keeps the last 300 characters."""
    return " ".join(text.split())[-300:]
