"""Finds a Vulkan adapter, and downloads a software one where there is none.

The GPU delegate of the desktop runtime needs a Vulkan loader and a driver. A machine without a GPU can use SwiftShader,
Chromium's software rasteriser (``verify.delegate.swiftshader``), which is downloaded without root. Debian 12's own software
driver (Mesa 22's lavapipe) is seen by the loader and refused by the delegate ("No adapters found"), so a driver counts as found
only after a model has been compiled on it.

SwiftShader computes in fp32 only. Measuring the effects of a phone's fp16 needs an adapter that computes in fp16: a GPU's own,
or Mesa 25's lavapipe (``verify.delegate.lavapipe``). It counts as found only after a model has been computed in fp16 on it.

``python -m detr2litert.verify.delegate.driver`` ensures that there is a driver, and with ``--fp16`` one for fp16.
"""

from __future__ import annotations

import argparse
import ctypes
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np

from detr2litert.host_runtime.errors import UserError
from detr2litert.host_runtime.scratch import scratch_folder
from detr2litert.host_runtime.tflite.writer import ModelWriter
from detr2litert.verify.delegate import lavapipe, swiftshader
from detr2litert.verify.delegate.adapters import Driver, list_adapters
from detr2litert.verify.delegate.cache_folder import lock, project_cache
from detr2litert.verify.delegate.run import DelegateRun, run_model

_USER_VARIABLES = ("VK_DRIVER_FILES", "VK_ICD_FILENAMES")
HOW_TO_GET = (
    "run `python -m detr2litert.verify.delegate.driver` (Debian: fetches SwiftShader, no root needed), "
    "or install a Vulkan driver, or point VK_DRIVER_FILES at one"
)


@dataclass(frozen=True)
class NoGpu:
    """The reason why nothing runs on a GPU, and what to do about it."""

    reason: str
    advice: str


HOW_TO_GET_FP16 = (
    "run `python -m detr2litert.verify.delegate.driver --fp16` (Debian: fetches Mesa's lavapipe, no root needed), "
    "or point VK_DRIVER_FILES at a driver with shaderFloat16"
)

NO_ADAPTER = NoGpu("no Vulkan adapter", HOW_TO_GET)
NO_FP16 = NoGpu("no adapter that computes in fp16", HOW_TO_GET_FP16)
LEFT_OUT = NoGpu("the GPU was left out", "run it again without --no-gpu")
LEFT_OUT_FP16 = NoGpu("the fp16 gate was left out", "run it again without --no-fp16")
"""The user's choice, independent of this machine's hardware."""


def cache_folder() -> Path:
    """``$XDG_CACHE_HOME/detr2litert/swiftshader``, or the same under ``~/.cache``."""
    return swiftshader.folder(project_cache())


def fp16_folder() -> Path:
    """Returns the same folder for lavapipe."""
    return lavapipe.folder(project_cache())


@cache
def find_driver() -> Driver | None:
    """Finds a driver on which a model compiles, without downloading; None if there is none. Runs once per process.

    Order: what VK_DRIVER_FILES or VK_ICD_FILENAMES name, and then nothing else; the system's drivers; SwiftShader in the
    cache folder; lavapipe there.
    """
    if _named_by_user():
        loader = swiftshader.with_loader(cache_folder(), {})
        return _working("environment", loader, os.environ.get("VK_DRIVER_FILES") or os.environ["VK_ICD_FILENAMES"])
    return _working("system", {}) or _swiftshader(cache_folder()) or _lavapipe(fp16_folder())


@cache
def find_fp16_driver() -> Driver | None:
    """Finds a driver on which the delegate computes in fp16, without downloading; None if there is none. Runs once per process.

    Order: the driver of ``find_driver`` (a GPU's own, or what the user's variables name, and then nothing else); lavapipe in
    the cache folder.
    """
    driver = find_driver()
    if driver is not None and computes_in_fp16(driver):
        return driver
    other = None if _named_by_user() else _lavapipe(fp16_folder())
    return other if other is not None and computes_in_fp16(other) else None


def ensure_driver() -> Driver:
    """Calls ``find_driver`` and downloads SwiftShader if nothing else works.

    Raises:
        UserError: the user's own VK_* variables name no usable driver; or SwiftShader cannot be downloaded. The message says
            what to do instead.
    """
    if driver := find_driver():
        return driver
    if named := _named_by_user():
        raise UserError(
            f"{named}={os.environ[named]}: no adapter the GPU delegate accepts; correct it, or unset it and run this again"
        )
    folder = cache_folder()
    with lock(folder.parent):
        if not (folder / swiftshader.ICD).exists():
            _fetching("SwiftShader, a Vulkan driver in software: Debian's chromium-common, 32 MB", folder)
            swiftshader.install(folder)
    driver = _swiftshader(folder)
    if driver is None:
        raise UserError(f"{folder}: SwiftShader was fetched but no model compiles on it; {swiftshader.INSTEAD}")
    find_driver.cache_clear()
    return driver


def ensure_fp16_driver() -> Driver:
    """Calls ``find_fp16_driver`` and downloads lavapipe if nothing else computes in fp16.

    Raises:
        UserError: the user's own VK_* variables name a driver without fp16; or lavapipe cannot be downloaded.
    """
    if driver := find_fp16_driver():
        return driver
    if named := _named_by_user():
        raise UserError(f"{named}={os.environ[named]}: it does not compute in fp16; unset it and run this again")
    folder = fp16_folder()
    with lock(folder.parent):
        if not (folder / lavapipe.ICD).exists():
            _fetching("lavapipe, a Vulkan driver in software that computes in fp16: Debian's Mesa, 12 MB (LLVM, 30 MB)", folder)
            lavapipe.install(folder)
    find_driver.cache_clear()
    find_fp16_driver.cache_clear()
    if driver := find_fp16_driver():
        return driver
    raise UserError(f"{folder}: lavapipe was fetched but nothing is computed in fp16 on it; {swiftshader.INSTEAD}")


def _fetching(what: str, folder: Path) -> None:
    """Prints what is about to be downloaded, on standard error like all progress."""
    print(f"Fetching {what}; once, into {folder}", file=sys.stderr, flush=True)


def _named_by_user() -> str | None:
    """Returns the variable with which the user chose a driver, if any."""
    return next((name for name in _USER_VARIABLES if os.environ.get(name)), None)


def _lavapipe(folder: Path) -> Driver | None:
    icd = folder / lavapipe.ICD
    return _working("lavapipe", lavapipe.environment(folder), str(icd)) if icd.exists() else None


def _swiftshader(folder: Path) -> Driver | None:
    icd = folder / swiftshader.ICD
    return _working("swiftshader", swiftshader.environment(folder), str(icd)) if icd.exists() else None


def _working(source: str, environment: Mapping[str, str], path: str = "") -> Driver | None:
    """Returns the driver behind an environment, if it has adapters and a model compiles on one of them."""
    adapters = list_adapters(environment)
    driver = Driver(source, environment, adapters, path) if adapters else None
    return driver if driver is not None and try_driver(driver).ok else None


def try_driver(driver: Driver) -> DelegateRun:
    """Compiles a one-operator model in a child process."""
    with scratch_folder() as folder:
        model = ModelWriter()
        model.input("x", [1, 2, 2, 4])
        model.op("ADD", ["x", "x"], {"y": [1, 2, 2, 4]})
        return run_model(model.write(folder / "probe.tflite", ["y"]), driver=driver, timeout=120.0)


def computes_in_fp16(driver: Driver) -> bool:
    """Returns whether the delegate computes in fp16 on a driver by default, measured by a computation, not the feature bit.

    3 * (1 + 2^-11) - 3 is 0.00146 in fp32 and 0 in fp16, whose values next to one are 2^-10 apart.
    """
    if not any(adapter.fp16 for adapter in driver.adapters):
        return False
    with scratch_folder() as folder:
        model = ModelWriter()
        shape = (1, 2, 2, 4)
        model.input("x", shape)
        model.op("MUL", ["x", model.constant("three", np.array([3], np.float32))], {"tripled": shape})
        model.op("SUB", ["tripled", "three"], {"y": shape})
        given = {"x": np.full(shape, 1 + 2**-11, np.float32)}
        run = run_model(model.write(folder / "probe.tflite", ["y"]), [given], driver=driver, timeout=120.0)
    return run.ok and not run.outputs[0]["y"].any()


def activate(driver: Driver) -> None:
    """Makes this process itself use the driver; call it before LiteRT first looks for a GPU.

    The loader's search path cannot be changed in a running process, but an already loaded library is found by its name.
    """
    os.environ.update(driver.environment)
    for folder in driver.environment.get("LD_LIBRARY_PATH", "").split(os.pathsep):
        if folder and (Path(folder) / swiftshader.LOADER).exists():
            ctypes.CDLL(str(Path(folder) / swiftshader.LOADER), mode=ctypes.RTLD_GLOBAL)


def main(arguments: Sequence[str] = ()) -> int:
    """Ensures that there is a driver and prints it; returns 2, with one line on stderr, if there is none.

    Args:
        arguments: ``--fp16`` for a driver that computes in fp16.
    """
    parser = argparse.ArgumentParser(
        prog="python -m detr2litert.verify.delegate.driver", description=(__doc__ or "").partition("\n")[0]
    )
    parser.add_argument("--fp16", action="store_true", help="one that computes in fp16, like phone GPUs")
    try:
        driver = ensure_fp16_driver() if parser.parse_args(arguments).fp16 else ensure_driver()
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    adapter = driver.adapter
    facts = [adapter.kind, *(["fp16"] if adapter.fp16 else []), driver.source, *([driver.path] if driver.path else [])]
    print(f"Vulkan adapter: {adapter.name} ({', '.join(facts)})")
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
