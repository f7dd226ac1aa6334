"""What the machine does not give a command, it reports in one line and with exit code 2, or does without."""

from __future__ import annotations

import os
import resource
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from detr2litert.convert.cli.resources import exhausted
from tests.conversions import Made
from tests.convert.command import environment

PICTURE = "bundle/golden/image.png"
COMMANDS = {
    "help": ("--help",),
    "detect": ("detect", "bundle", PICTURE),
    "detect a zip": ("detect", "bundle.zip", PICTURE),
    "check": ("check", "bundle/graph_b.tflite", "--no-gpu"),
}
_NO_FOLDER = """
import runpy, sys, tempfile
tempfile._candidate_tempdir_list = lambda: ["/proc/nowhere"]
sys.argv[0] = "convert"
runpy.run_module("detr2litert", run_name="__main__")
"""
"""The command, where no folder for temporary files can be written: even root cannot make one below /proc."""


@pytest.fixture(scope="module")
def place(random_tiny: Made, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("place")
    shutil.copytree(random_tiny.bundle, folder / "bundle")
    shutil.make_archive(str(folder / "bundle"), "zip", folder / "bundle")
    return folder


def tried(place: Path, *arguments: str, shell: str = "", code: str = "", **added: str) -> subprocess.CompletedProcess[str]:
    """A command in ``place``, after and before words of a shell; "%s" in them is the command."""
    python = [sys.executable, "-c", code] if code else [sys.executable, "-m", "detr2litert"]
    command = ["bash", "-c", (shell or "%s") % 'exec "$@"', "bash", *python, *arguments]
    return subprocess.run(
        command, cwd=place, env=environment(**added), capture_output=True, text=True, timeout=300, check=False
    )


def assert_ends_well(done: subprocess.CompletedProcess[str], codes: tuple[int, ...] = (0, 2)) -> None:
    assert done.returncode in codes, done
    assert "Traceback" not in done.stderr and "Exception ignored" not in done.stderr, done.stderr
    errors = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert len(errors) <= 1 and (done.returncode == 0 or not done.stderr or errors), done.stderr


SHORTAGES = {
    "stdin closed": ("%s 0<&-", (0,)),
    "stdout closed": ("%s 1>&-", (0,)),
    "stderr closed": ("%s 2>&-", (0,)),
    "all closed": ("%s 0<&- 1>&- 2>&-", (0,)),
    "full stdout": ("%s >/dev/full", (2,)),
    "full stderr": ("%s 2>/dev/full", (0, 2)),
    "16 descriptors": ("ulimit -n 16; %s", (0,)),
    "1 GB of address space": ("ulimit -v 1048576; %s", (0,)),
    "300 MB of address space": ("ulimit -v 300000; %s", (0, 2)),
    "C locale": ("export LANG=C LC_ALL=C PYTHONUTF8=0 PYTHONCOERCECLOCALE=0; %s", (0,)),
}


@pytest.mark.ci  # twenty processes of half a second each, and as many longer ones in the slow lane
@pytest.mark.parametrize("shortage", SHORTAGES)
@pytest.mark.parametrize(
    "command", [pytest.param(name, marks=[] if name in ("help", "detect") else pytest.mark.slow) for name in COMMANDS]
)
def test_shortages(place: Path, command: str, shortage: str) -> None:
    shell, codes = SHORTAGES[shortage]
    assert_ends_well(tried(place, *COMMANDS[command], shell=shell), codes)


@pytest.mark.parametrize("shortage", ["all closed", "stdout closed", "300 MB of address space"])
def test_the_worst_of_them(place: Path, shortage: str) -> None:
    shell, codes = SHORTAGES[shortage]
    assert_ends_well(tried(place, *COMMANDS["detect"], shell=shell), codes)


@pytest.mark.parametrize(
    ("command", "exit_code"), [("help", 0), ("detect", 0), ("check", 0), ("detect a zip", 2)], ids=lambda value: str(value)
)
def test_no_temporary_folder(place: Path, command: str, exit_code: int) -> None:
    """Only what needs one fails."""
    done = tried(place, *COMMANDS[command], code=_NO_FOLDER)
    assert_ends_well(done, (exit_code,))
    if exit_code:
        assert "no temporary folder can be written" in done.stderr and "set TMPDIR" in done.stderr


def test_pytorch_needs_more_address_space(place: Path) -> None:
    """With less, OpenBLAS tries for ever to get memory while it is loaded."""
    run = ("run", "--variant", "tiny", "--target", "pixel", "--no-gpu", "--out", "out")
    for words in (run, ("verify", "bundle", "--no-gpu")):
        done = tried(place, *words, shell="ulimit -v 1048576; %s")
        assert_ends_well(done, (2,))
        assert "the address space is limited to 1024 MiB" in done.stderr and "ulimit -v" in done.stderr
    assert not (place / "out").exists()


def test_what_a_killed_command_left_is_gone_after_the_next(place: Path, tmp_path: Path) -> None:
    stopped = """
import os, signal, sys
from detr2litert.host_runtime import bundle
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])  # the parent's death sends one, after which the child would clean up
bundle._load_folder = lambda *_: os.kill(os.getppid(), signal.SIGKILL) or os.kill(os.getpid(), signal.SIGKILL)
sys.argv[0] = "convert"
from detr2litert.convert.cli.main import main
main()
"""
    done = tried(place, *COMMANDS["detect a zip"], code=stopped, TMPDIR=str(tmp_path))
    assert done.returncode < 0 or done.returncode > 128
    assert [path.name.startswith("detr2litert-") for path in tmp_path.iterdir()] == [True]
    assert tried(place, *COMMANDS["detect a zip"], TMPDIR=str(tmp_path)).returncode == 0
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: MemoryError(), "not enough memory"),
        (lambda: OSError(24, "Too many open files", "a.txt"), "too many open files for a.txt"),
        (lambda: RuntimeError("can't start new thread"), "no process or thread"),
        (lambda: ImportError("x.so: failed to map segment from shared object"), "not enough memory"),
        (lambda: OSError(28, "No space left on device"), "no space is left"),
        (lambda: FileNotFoundError(2, "No usable temporary directory found in ['/tmp']"), "no temporary folder"),
        (lambda: FileNotFoundError(2, "No such file", "internal"), ""),
        (lambda: ValueError("cannot allocate memory, says a user's file"), ""),
    ],
)
def test_errors_of_the_machine(make: Callable[[], Exception], words: str) -> None:
    line = exhausted(make())
    assert (words in line and "; " in line) if words else line == ""
    outer = KeyError("outer")
    outer.__cause__ = make()
    assert exhausted(outer) == line


def test_the_environment_is_restored() -> None:
    """The limits above are those of the commands."""
    assert resource.getrlimit(resource.RLIMIT_NOFILE)[0] > 16 and os.fstat(1)
