"""Fakes of the adb program and of a device, for tests without a daemon."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path, PurePosixPath

from detr2litert.verify.adb.client import Adb, Answer, Device

SERIAL = "R5CT30ABCDE"
NOTHING = Answer(0, b"", "")
READY = f"List of devices attached\n{SERIAL}\tdevice\n\n"


class ScriptedAdb(Adb):
    """A fake adb with scripted answers.

    Args:
        answer: to everything except ``adb devices``.
        listing: of ``adb devices``.
    """

    def __init__(self, answer: Answer = NOTHING, listing: str = READY) -> None:
        super().__init__(Path("/adb"))
        self.answer, self.listing = answer, listing
        self.calls: list[tuple[str, ...]] = []

    def call(self, *arguments: str, timeout: float = 0, limit: int = 0) -> Answer:
        self.calls.append(arguments)
        return Answer(0, self.listing.encode(), "") if arguments == ("devices",) else self.answer


def answer_with(code: int, stderr: str, stdout: str = "") -> Answer:
    return Answer(code, stdout.encode(), stderr)


class FolderDevice(Device):
    """A device whose storage is a local folder and whose shell is this machine's; run-as only changes to the app's folder.

    Attributes:
        pushed: sizes of the files pushed so far.
        scripts: all scripts that its shell received.
        corrupt: whether to corrupt a pushed piece, once.
    """

    def __init__(self, root: Path) -> None:
        super().__init__(ScriptedAdb(), SERIAL)
        self.root = root
        self.pushed: list[int] = []
        self.scripts: list[str] = []
        self.corrupt = False
        (root / "app/files").mkdir(parents=True)
        (root / "data/local/tmp").mkdir(parents=True)
        program = root / "run-as"
        program.write_text(f'#!/bin/sh\nshift; cd {root}/app && exec "$@"\n')
        program.chmod(0o755)

    def shell(self, command: str, timeout: float = 0) -> Answer:
        self.scripts.append(command)
        here = command.replace("/data/local/tmp", f"{self.root}/data/local/tmp")
        path = os.pathsep.join((str(self.root), os.environ["PATH"]))
        done = subprocess.run(["sh", "-c", here], capture_output=True, env={"PATH": path}, check=False)
        return Answer(done.returncode, done.stdout, done.stderr.decode())

    def push(self, source: Path, destination: PurePosixPath) -> None:
        target = Path(shutil.copyfile(source, self.root / str(destination).lstrip("/")))
        self.pushed.append(target.stat().st_size)
        if self.corrupt:
            target.write_bytes(bytes(self.pushed[-1]))
            self.corrupt = False
