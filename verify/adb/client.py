"""The adb program as typed calls, each with a time limit.

Why the program and not a library: it gives exit codes and stderr apart, it is what the phone's owner has authorised, and it
keeps up with Android. Its own messages are told apart by their text, as printed by adb 29 to 36 (sources:
packages/modules/adb, client/commandline.cpp, client/file_sync_client.cpp, transport.cpp).
"""

from __future__ import annotations

import re
import subprocess
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from detr2litert.verify.adb.binary import find_adb
from detr2litert.verify.adb.errors import (
    AdbTimeoutError,
    CommandFailedError,
    ConnectionCutError,
    DeviceError,
    DeviceFullError,
    NoDeviceError,
    OfflineError,
    SeveralDevicesError,
    UnauthorizedError,
)

SHORT = 30.0
"""Seconds for a call that moves little."""
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
    """How a call ended: exit code, and both outputs."""

    code: int
    stdout: bytes
    stderr: str

    @property
    def text(self) -> str:
        """Standard output as text."""
        return self.stdout.decode("utf-8", "replace")


@dataclass(frozen=True)
class Listed:
    """A line of ``adb devices``: serial number and state (``device`` if it can be used)."""

    serial: str
    state: str


class Adb:
    """The adb program of this machine.

    Args:
        program: its path [default: ``find_adb()``].

    Raises:
        NoAdbError: there is none.
    """

    def __init__(self, program: Path | None = None) -> None:
        self.program = program or find_adb()

    def call(self, *arguments: str, timeout: float = SHORT) -> Answer:
        """One run of the program; an exit code other than 0 is an answer, not an error.

        Raises:
            AdbTimeoutError: it did not end within ``timeout`` seconds; it was killed.
            CommandFailedError: it cannot be started.
        """
        try:
            done = subprocess.run(
                [str(self.program), *arguments], stdin=subprocess.DEVNULL, capture_output=True, timeout=timeout, check=False
            )
        except subprocess.TimeoutExpired as error:
            told = " ".join(arguments)
            raise AdbTimeoutError(
                f"`adb {told[:120]}` did not end within {timeout:.0f} s; look at the device, and try `adb reconnect`",
                (error.stdout or b"").decode("utf-8", "replace"),
            ) from error
        except OSError as error:
            raise CommandFailedError(f"{self.program} cannot be run ({error.strerror}); point ADB at a working adb") from error
        return Answer(done.returncode, done.stdout, done.stderr.decode("utf-8", "replace"))

    def devices(self) -> tuple[Listed, ...]:
        """What ``adb devices`` lists; starts adb's server if none runs.

        Raises:
            CommandFailedError: the server does not start.
        """
        answer = self.call("devices")
        if answer.code != 0:
            raise CommandFailedError(f"`adb devices` failed: {_line(answer.stderr)}; try `adb kill-server`")
        lines = (line.split("\t") for line in answer.text.splitlines()[1:])
        return tuple(Listed(parts[0], parts[1].strip()) for parts in lines if len(parts) == 2)

    def choose(self, serials: tuple[str, ...] = (), every: bool = False) -> tuple[Device, ...]:
        """The devices to use, each of them ready.

        Args:
            serials: those to use; none for the only one there is.
            every: all that are connected.

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
    ``AdbTimeoutError``, else ``CommandFailedError``.
    """

    def __init__(self, adb: Adb, serial: str) -> None:
        self.adb = adb
        self.serial = serial

    def call(self, *arguments: str, timeout: float = SHORT) -> Answer:
        """``adb -s SERIAL ARGUMENTS``; the device's own exit code is the answer's.

        Raises:
            ConnectionCutError, AdbTimeoutError: the device went away, or took too long.
        """
        answer = self.adb.call("-s", self.serial, *arguments, timeout=timeout)
        # adb gives 255 where no exit code came from the device, and 1 with a line of its own for most else.
        if answer.code == 255 or (answer.code != 0 and _LOST.search(answer.stderr)):
            self._check_connected(answer)
        return answer

    def shell(self, command: str, timeout: float = SHORT) -> Answer:
        """A command of the device's shell, as one string, which ``adb shell`` passes on as it is."""
        return self.call("shell", "-T", "-n", command, timeout=timeout)

    def output(self, command: str, timeout: float = SHORT) -> str:
        """Standard output of a command that must succeed.

        Raises:
            DeviceFullError, CommandFailedError: by what it said.
        """
        answer = self.shell(command, timeout)
        if answer.code != 0:
            raise self.failure(answer, command)
        return answer.text

    def read(self, command: str, timeout: float = SHORT) -> bytes:
        """What a command writes, byte by byte (``exec-out``). There is no exit code: check what came."""
        answer = self.call("exec-out", command, timeout=timeout)
        if answer.code != 0:
            raise self.failure(answer, command)
        return answer.stdout

    def push(self, source: Path, destination: PurePosixPath) -> None:
        """Copies a file to where the device's shell may write; its time limit grows with its size."""
        limit = SHORT + source.stat().st_size / _BYTES_A_SECOND
        answer = self.call("push", str(source), str(destination), timeout=limit)
        if answer.code != 0:
            # `adb push` reports a lost device in many words, on standard output too: ask whether it is still there. The server
            # may not know yet that it is not, so some words are sure by themselves.
            said = answer.stderr + answer.text
            if not _FULL.search(said):
                self._check_connected(answer, sure=_LOST.search(said) is not None)
            raise self.failure(answer, f"push {source.name}")

    def properties(self) -> dict[str, str]:
        """The device's system properties (``getprop``)."""
        return dict(re.findall(r"^\[(.+?)\]: \[(.*?)\]$", self.output("getprop"), re.MULTILINE))

    def failure(self, answer: Answer, command: str) -> DeviceError:
        """The error for a call that failed on the device."""
        said = _line(answer.stderr or answer.text)
        if _FULL.search(answer.stderr + answer.text):
            return DeviceFullError(
                f"{self.serial}: no space left on the device; remove something there, then run the same again"
            )
        return CommandFailedError(
            f"{self.serial}: `{command[:100]}` failed with exit code {answer.code}: {said or 'no word why'}"
        )

    def state(self) -> str:
        """``device``, ``offline``, …; ``missing`` if adb does not list it."""
        return next((listed.state for listed in self.adb.devices() if listed.serial == self.serial), "missing")

    def _check_connected(self, answer: Answer, sure: bool = True) -> None:
        state = self.state()
        if sure or state != "device":
            now = "it is back" if state == "device" else f"it is {state}"
            raise ConnectionCutError(
                f"{self.serial}: the connection was cut ({now}; adb: {_line(answer.stderr or answer.text) or 'no word why'}); "
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
            f"{listed.serial}: this user may not open it ({listed.state}); install android-sdk-platform-tools-common"
        )
    if listed.state != "device":
        raise OfflineError(f"{listed.serial} is {listed.state}, not ready; plug it in again, or `adb reconnect offline`")


def _line(text: str) -> str:
    """A program's words in one line, the last 300 characters."""
    return " ".join(text.split())[-300:]
