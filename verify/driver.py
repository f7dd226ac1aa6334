"""Finds a way to a Vulkan adapter, and where there is none fetches a software one.

The GPU delegate of the desktop runtime needs a Vulkan loader and a driver. A machine without a GPU can use SwiftShader,
Chromium's software rasteriser: two files of 5.4 MB out of Debian's chromium-common package, which also holds a loader.
Downloading and unpacking a package needs no root. Debian 12's own software driver (Mesa 22's lavapipe) is seen by the
loader and refused by the delegate ("No adapters found"), so a driver counts as found only after a model has been compiled
on it.

``python -m verify.driver`` makes sure that there is one.
"""

from __future__ import annotations

import ctypes
import fcntl
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from host_runtime.errors import UserError
from verify.adapters import Driver, list_adapters, loader_present
from verify.delegate import DelegateRun, run_model
from verify.tflite_writer import ModelWriter

PACKAGE = "chromium-common"
_USER_VARIABLES = ("VK_DRIVER_FILES", "VK_ICD_FILENAMES")
_ICD = "vk_swiftshader_icd.json"
_LIBRARY = "libvk_swiftshader.so"
_LOADER = "libvulkan.so.1"
_DOWNLOAD_LIMIT = 900.0
HOW_TO_GET = (
    "run `python -m verify.driver` (Debian: fetches SwiftShader, no root needed), "
    "or install a Vulkan driver, or point VK_DRIVER_FILES at one"
)


@dataclass(frozen=True)
class NoGpu:
    """Why nothing runs on a GPU, and what to do about it."""

    reason: str
    advice: str


NO_ADAPTER = NoGpu("no Vulkan adapter", HOW_TO_GET)
LEFT_OUT = NoGpu("the GPU was left out", "run it again without --no-gpu")
"""The user said so, whatever this machine has."""


def cache_folder() -> Path:
    """``$XDG_CACHE_HOME/detr2litert/swiftshader``, or the same under ``~/.cache``."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "detr2litert" / "swiftshader"


@cache
def find_driver() -> Driver | None:
    """A driver on which a model compiles, without fetching anything; None if there is none. Asked once a process.

    Order: what VK_DRIVER_FILES or VK_ICD_FILENAMES name, and then nothing else; the system's drivers; SwiftShader in the
        cache folder.
    """
    if any(os.environ.get(name) for name in _USER_VARIABLES):
        return _working("environment", _with_loader({}), os.environ.get("VK_DRIVER_FILES") or os.environ["VK_ICD_FILENAMES"])
    return _working("system", {}) or _swiftshader(cache_folder())


def ensure_driver() -> Driver:
    """``find_driver``, fetching SwiftShader if nothing else works.

    Raises:
        UserError: the user's own VK_* variables lead nowhere; or SwiftShader cannot be had here. The message says what to
            do instead.
    """
    if driver := find_driver():
        return driver
    if named := next((name for name in _USER_VARIABLES if os.environ.get(name)), None):
        raise UserError(
            f"{named}={os.environ[named]}: no adapter the GPU delegate accepts; correct it, or unset it and run this again"
        )
    folder = cache_folder()
    with _lock(folder.parent):
        if not (folder / _ICD).exists():
            install(folder)
    driver = _swiftshader(folder)
    if driver is None:
        raise UserError(f"{folder}: SwiftShader was fetched but no model compiles on it; {_instead()}")
    find_driver.cache_clear()
    return driver


def install(folder: Path) -> None:
    """Downloads PACKAGE with apt-get, takes its three files, and puts them at ``folder`` in one step.

    Raises:
        UserError: no apt-get or dpkg-deb, no such package, no network, or no room.
    """
    for tool in ("apt-get", "dpkg-deb"):
        if shutil.which(tool) is None:
            raise UserError(
                f"SwiftShader comes from Debian's {PACKAGE} package and {tool} is not on this machine; {_instead()}"
            )
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="swiftshader-", dir=folder.parent) as scratch:
        work = Path(scratch)
        package = _download(work)
        _checked(["dpkg-deb", "-x", str(package), str(work / "x")], work, "the package cannot be unpacked")
        found = {name: next((work / "x").rglob(name), None) for name in (_ICD, _LIBRARY, _LOADER)}
        if missing := [name for name, path in found.items() if path is None]:
            raise UserError(f"{package.name} holds no {', '.join(missing)}; {_instead()}")
        ready = work / "ready"
        # The loader has a folder of its own: it joins LD_LIBRARY_PATH only where the system has none.
        (ready / "loader").mkdir(parents=True)
        for name, path in found.items():
            if path is not None:
                shutil.move(path, ready / ("loader" if name == _LOADER else "") / name)
        (ready / "source.json").write_text(json.dumps({"package": package.name}) + "\n")
        shutil.rmtree(folder, ignore_errors=True)
        ready.rename(folder)


def _download(work: Path) -> Path:
    """Fetches the .deb into ``work``: with the machine's package lists if they serve, else with lists of our own."""
    own = [
        f"-oDir::State={work}/state", f"-oDir::Cache={work}/cache", "-oDir::State::status=/var/lib/dpkg/status",
        "-oAPT::Sandbox::User=", "-oDebug::NoLocking=1",
    ]  # fmt: skip
    if _apt(["download", PACKAGE], work).returncode != 0:
        # Lists are missing (a bare container) or name a version the mirror has since replaced.
        for part in ("state/lists/partial", "cache/archives/partial"):
            (work / part).mkdir(parents=True)
        _apt([*own, "update"], work)
        done = _apt([*own, "download", PACKAGE], work)
        if done.returncode != 0:
            reason = next((line for line in done.stderr.splitlines() if line.startswith("E:")), f"exit code {done.returncode}")
            raise UserError(
                f"apt-get download {PACKAGE}: {reason}; check the network and /etc/apt/sources.list, or {_instead()}"
            )
    return next(work.glob("*.deb"))


def _apt(arguments: list[str], work: Path) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(
            ["apt-get", "-q", *arguments],
            cwd=work,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_DOWNLOAD_LIMIT,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise UserError(
            f"apt-get {arguments[-1]}: no answer in {_DOWNLOAD_LIMIT:.0f} s; check the network, or {_instead()}"
        ) from error


def _checked(command: list[str], work: Path, what: str) -> None:
    done = subprocess.run(command, cwd=work, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        last = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
        raise UserError(f"{command[0]}: {what}: {last}; free some space and run this again, or {_instead()}")


def _instead() -> str:
    return "install a Vulkan driver the delegate accepts (a GPU's own, or Mesa 25's lavapipe), if need be with VK_DRIVER_FILES"


def _swiftshader(folder: Path) -> Driver | None:
    icd = folder / _ICD
    return (
        _working("swiftshader", _with_loader({"VK_DRIVER_FILES": str(icd), "VK_ICD_FILENAMES": str(icd)}), str(icd))
        if icd.exists()
        else None
    )


def _with_loader(environment: Mapping[str, str]) -> dict[str, str]:
    """Adds the fetched loader where the system has none."""
    loader = cache_folder() / "loader"
    if not (loader / _LOADER).exists() or loader_present():
        return dict(environment)
    paths = [str(loader), os.environ.get("LD_LIBRARY_PATH", "")]
    return {**environment, "LD_LIBRARY_PATH": os.pathsep.join(p for p in paths if p)}


def _working(source: str, environment: Mapping[str, str], path: str = "") -> Driver | None:
    """The driver behind an environment, if it has adapters and a model compiles on one of them."""
    adapters = list_adapters(environment)
    driver = Driver(source, environment, adapters, path) if adapters else None
    return driver if driver is not None and try_driver(driver).ok else None


def try_driver(driver: Driver) -> DelegateRun:
    """Compiles a one-operator model in a child process."""
    with tempfile.TemporaryDirectory(prefix="detr2litert-") as folder:
        model = ModelWriter()
        model.input("x", [1, 2, 2, 4])
        model.op("ADD", ["x", "x"], {"y": [1, 2, 2, 4]})
        return run_model(model.write(Path(folder) / "probe.tflite", ["y"]), driver=driver, timeout=120.0)


def activate(driver: Driver) -> None:
    """Make this very process reach the driver, before LiteRT first looks for a GPU.

    The loader's search path cannot be changed in a running process, but a library that is loaded already is found by its name.
    """
    os.environ.update(driver.environment)
    for folder in driver.environment.get("LD_LIBRARY_PATH", "").split(os.pathsep):
        if folder and (Path(folder) / _LOADER).exists():
            ctypes.CDLL(str(Path(folder) / _LOADER), mode=ctypes.RTLD_GLOBAL)


@contextmanager
def _lock(folder: Path) -> Iterator[None]:
    """One installer at a time; two would each fetch 30 MB."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / "lock").open("w") as handle:
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield
    except OSError as error:
        raise UserError(
            f"{folder}: {error.strerror or error}; make it writable and leave room for 120 MB, or set XDG_CACHE_HOME"
        ) from error


def main() -> int:
    """Makes sure that there is a driver and prints it; 2 with one line on stderr if there can be none."""
    try:
        driver = ensure_driver()
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    adapter = driver.adapter
    facts = [adapter.kind, *(["fp16"] if adapter.fp16 else []), driver.source, *([driver.path] if driver.path else [])]
    print(f"Vulkan adapter: {adapter.name} ({', '.join(facts)})")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
