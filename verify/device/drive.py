"""Performs one parity run on one device: sends inputs, runs ``am instrument``, fetches outputs and log, cleans up."""

from __future__ import annotations

import hashlib
import re
import secrets
import shlex
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import PurePosixPath

import numpy as np

from detr2litert.host_runtime.interrupt import uninterrupted
from detr2litert.verify.adb.app import CLEANING, FILES, App
from detr2litert.verify.adb.errors import AdbTimeoutError, AppMissingError, CommandFailedError, ConnectionCutError, DeviceError
from detr2litert.verify.adb.install import Installed
from detr2litert.verify.device.delegate_log import Delegated, last_pid, parse_log
from detr2litert.verify.device.protocol import (
    COMPONENT,
    RESULT_LIMIT,
    Array,
    Ended,
    Request,
    Result,
    TensorFile,
    parse_instrument,
    parse_result,
)
from detr2litert.verify.printable import printable

RUNS = PurePosixPath("runs")
_PREFIX = "convert-"
_TAGS = "tflite:I litert:I DetrSample:I libc:F DEBUG:F AndroidRuntime:E '*:S'"
_LOG_KEPT = 20_000
_DATE = re.compile(r"\d\d-\d\d \d\d:\d\d:\d\d\.000")
_SLACK = 2**16
"""Bytes beyond a file's own that a call may write: adb's warnings."""

Outputs = Mapping[str, Mapping[str, tuple[int, ...]]]
"""The shape of every output of a run, by stage and name."""


@dataclass(frozen=True)
class DeviceRun:
    """The outcome of a run on a device.

    Attributes:
        request: what was requested.
        ended: how it ended; ``hung`` if it took longer than allowed.
        result: its record, None unless it succeeded.
        tensors: stage to name to values.
        delegated: what the delegate logged.
        log: the process's lines of logcat, the last part.
    """

    request: Request
    ended: Ended
    result: Result | None = None
    tensors: Mapping[str, Mapping[str, Array]] = field(default_factory=dict, repr=False)
    delegated: tuple[Delegated, ...] = ()
    log: str = field(default="", repr=False)


class ParityRuns:
    """Runs of one bundle on one device, on the same inputs.

    Args:
        app: where the bundle is.
        installed: the bundle there.
        inputs: files by their path in a run's folder.
        outputs: what the app has to write.
    """

    def __init__(self, app: App, installed: Installed, inputs: Mapping[str, bytes], outputs: Outputs) -> None:
        self._app, self._installed, self._inputs, self._outputs = app, installed, inputs, outputs
        # A unique name each: an earlier run's files cannot be mistaken for this one's.
        self._place = RUNS / f"{_PREFIX}{time.strftime('%Y%m%d-%H%M%S')}-{secrets.token_hex(4)}"
        self._count = 0

    def __enter__(self) -> ParityRuns:
        """Removes the files that earlier commands left, and sends the inputs.

        Raises:
            DeviceError: of any kind; the inputs are removed again if the device can be reached.
        """
        try:
            self._app.stop()
            self._app.run(f"rm -rf {FILES / RUNS}/{_PREFIX}*")
            for name, data in self._inputs.items():
                self._app.put_bytes(data, FILES / self._place / name)
        except BaseException:
            self._clean()
            raise
        return self

    def __exit__(self, *exc: object) -> None:
        self._clean()

    def run(self, request: Request) -> DeviceRun:
        """Performs one run in a folder of its own.

        Raises:
            DeviceError: the device or the connection failed, or the result belongs to another run. A failure of the bundle
                itself is not an error: see ``DeviceRun.ended``.
        """
        self._count += 1
        run = self._place / f"run-{self._count}"
        self._app.run(f"mkdir -p {FILES / run} && cp -r {FILES / self._place}/in {FILES / run}/in", timeout=120.0)
        since = self._app.device.output("date '+%m-%d %H:%M:%S.000'").strip()
        if not _DATE.fullmatch(since):
            message = f"its `date` answers {printable(since[:100])!r}; use a device with Android 8 or newer"
            raise CommandFailedError(f"{self._app.device.serial}: {message}")
        ended = self._instrument(run, request)
        result = None
        if ended.status == "ok":
            data = self._app.read(FILES / run / "result.json", limit=RESULT_LIMIT)
            try:
                result = parse_result(data, str(run), self._installed.manifest_sha256)
                check_written(result.tensors, self._outputs)
            except CommandFailedError:
                self._check_still_there()
                raise
        log, delegated = self._log(since, result)
        tensors = self._tensors(run, result) if result else {}
        return DeviceRun(request, ended, result, tensors, delegated, log)

    def _instrument(self, run: PurePosixPath, request: Request) -> Ended:
        device = self._app.device
        options = {
            "bundle": str(self._installed.folder),
            "run": str(run),
            "accelerator": request.accelerator,
            "precision": request.precision,
            "runs": str(request.runs),
            "warmup": str(request.warmup),
        }
        words = " ".join(f"-e {name} {shlex.quote(value)}" for name, value in options.items())
        command = f"am instrument -w -r {words} {self._app.package}/{COMPONENT}"
        try:
            answer = device.shell(command, timeout=request.seconds)
        except AdbTimeoutError as error:
            self._app.stop()
            stage = parse_instrument(error.stdout).stage
            return Ended("hung", stage, "hang", f"no end within {request.seconds:.0f} s")
        if "Unable to find instrumentation" in answer.text + answer.stderr:
            raise AppMissingError(
                f"{device.serial}: {self._app.package} has no parity instrumentation; install a debug build of this version "
                "(cd android_sample && ./gradlew :app:installDebug)"
            )
        if answer.code != 0 and "INSTRUMENTATION_CODE" not in answer.text:
            raise device.failure(answer, "am instrument")
        return parse_instrument(answer.text)

    def _log(self, since: str, result: Result | None) -> tuple[str, tuple[Delegated, ...]]:
        text = self._logcat(f"-T {shlex.quote(since)} ")
        pid = result.pid if result else last_pid(text)
        if pid is None:
            return "", ()
        if last_pid(text, pid) is None:
            text = self._logcat("")  # the device's clock was set back during the run
        own = "\n".join(line for line in text.splitlines() if line.split()[2:3] == [str(pid)])
        return own[-_LOG_KEPT:], parse_log(own, pid)

    def _logcat(self, since: str) -> str:
        return self._app.device.output(f"logcat -d -v threadtime {since}{_TAGS}", timeout=60.0)

    def _tensors(self, run: PurePosixPath, result: Result) -> dict[str, dict[str, Array]]:
        """Fetches all written tensors in one call and checks each by its sha256."""
        files = result.tensors
        names = " ".join(shlex.quote(item.file) for item in files)
        script = f"cd {FILES / run} && cat {names}"
        expected = sum(item.length for item in files)
        data = self._app.device.read(self._app.command(script), timeout=60.0 + expected / 1e6, limit=expected + _SLACK)
        tensors: dict[str, dict[str, Array]] = {}
        position = 0
        for item in files:
            part = data[position : position + item.length]
            position += item.length
            if hashlib.sha256(part).hexdigest() != item.sha256:
                self._check_still_there()
                raise CommandFailedError(
                    f"{self._app.device.serial}: {item.file} is cut short or changed (its sha256 is not result.json's); "
                    "run the same again"
                )
            tensors.setdefault(item.stage, {})[item.name] = np.array(item.decode(part))
        return tensors

    def _check_still_there(self) -> None:
        """Raises ConnectionCutError if the device is gone, which then explains the damaged data."""
        state = self._app.device.state()
        if state != "device":
            raise ConnectionCutError(f"{self._app.device.serial}: the connection was cut (it is {state}); run the same again")

    def _clean(self) -> None:
        with uninterrupted(), suppress(DeviceError):
            self._app.stop(CLEANING)
            self._app.remove(FILES / self._place, timeout=CLEANING)


def check_written(files: Sequence[TensorFile], outputs: Outputs) -> None:
    """Checks that the app wrote every output of every stage once, in its shape: so much is then fetched, and no more.

    Raises:
        CommandFailedError: it did not.
    """
    advice = "install the app's build of this version"
    for stage, shapes in outputs.items():
        written = [item for item in files if item.stage == stage]
        names = [item.name for item in written]
        if sorted(names) != sorted(shapes):
            differing = sorted(set(names) ^ set(shapes)) or sorted(names)
            shown = ", ".join(printable(name[:100]) for name in differing[:5]) + (", …" if len(differing) > 5 else "")
            message = f"the app wrote {len(names)} outputs of {stage}, not the bundle's {len(shapes)} ({shown})"
            raise CommandFailedError(f"{message}; {advice}")
        for item in written:
            if item.shape != shapes[item.name]:
                found = f"{list(item.shape[:10])}{' and more' if len(item.shape) > 10 else ''}"
                message = f"the app wrote {item.name} of {stage} as {found}, not {list(shapes[item.name])}"
                raise CommandFailedError(f"{message}; {advice}")
