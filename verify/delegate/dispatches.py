"""Counts the compute dispatches of a run: how often a graph launches something on the GPU.

A dispatch costs a GPU time whatever it computes, and that is most of the time of a graph of several hundred small operators.
The operators in the file are another number: the delegate fuses some and needs several dispatches for others. The count is a
measurement: a Vulkan layer (``count_dispatches.c``) between the loader and the driver counts what the delegate records. It is
C, because the loader calls it in the process that runs the model, and is compiled once into the cache folder, with this
machine's C compiler and without any header of Vulkan's. Where that is not possible nothing is counted.

Compiling a model dispatches nothing, and every run of a graph dispatches as often: the same on SwiftShader and on lavapipe, in
fp32 and in fp16 (measured). Conversions of inputs and outputs to and from the delegate's own layout are dispatches too.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from detr2litert.host_runtime.errors import UserError
from detr2litert.host_runtime.manifest import NATIVE_SUFFIX
from detr2litert.host_runtime.scratch import scratch_folder
from detr2litert.verify.delegate.adapters import Driver, list_adapters
from detr2litert.verify.delegate.cache_folder import READY, lock, project_cache, replacing

_LAYER = "VK_LAYER_detr2litert_count_dispatches"
_SOURCE = Path(__file__).with_name("count_dispatches.c")
_LIBRARY, _MANIFEST = "libcount_dispatches.so", "count_dispatches.json"
_COMPILERS = ("cc", "gcc", "clang")
_FLAGS = ("-O2", "-shared", "-fPIC", "-fvisibility=hidden")
_TIME_LIMIT = 60.0
_COUNTS_BYTES = 16  # dispatches and instances, as in the layer's source and in child.py


@dataclass(frozen=True)
class Counter:
    """A layer that was seen to be loaded.

    Attributes:
        folder: of the library and its manifest.
    """

    folder: Path

    def environment(self, given: Mapping[str, str], count: Path) -> dict[str, str]:
        """Returns the variables with which a child counts into ``count``, in addition to the layers that ``given`` names."""
        # The loader ignores the second variable where the first is set.
        path = "VK_LAYER_PATH" if given.get("VK_LAYER_PATH") else "VK_ADD_LAYER_PATH"
        return {
            path: _joined(given.get(path, ""), str(self.folder)),
            "VK_INSTANCE_LAYERS": _joined(given.get("VK_INSTANCE_LAYERS", ""), _LAYER),
            "DETR2LITERT_DISPATCH_COUNT": str(count),
        }


@dataclass(frozen=True)
class NotCounted:
    """Why dispatches are not counted, in a clause."""

    reason: str


def find_counter(driver: Driver) -> Counter | NotCounted:
    """Returns a counter for runs on ``driver``, compiled if this is the first time, or why there is none. Remembers its answer.

    It was tried: the Vulkan loader has made an instance through it, and found as many adapters as without it.
    """
    return _tried(tuple(sorted(driver.environment.items())), len(driver.adapters), project_cache())


def new_counts(path: Path) -> Path:
    """Makes a file of counts, all zero."""
    path.write_bytes(bytes(_COUNTS_BYTES))
    return path


def describe_counts(dispatches: Mapping[str, int | None]) -> str:
    """Describes the counts by graph: ``"318 + 179 dispatches (native 167 + 111)"``; "" if there are none.

    A graph without a native form of its own is the same file in both.
    """
    if all(count is None for count in dispatches.values()):
        return ""
    portable = {name: count for name, count in dispatches.items() if not name.endswith(NATIVE_SUFFIX)}
    native = {name: dispatches.get(name + NATIVE_SUFFIX, count) for name, count in portable.items()}
    own = f" (native {_sum(native)})" if len(portable) < len(dispatches) else ""
    return f"{_sum(portable)} dispatches{own}"


def _sum(counts: Mapping[str, int | None]) -> str:
    return " + ".join("?" if count is None else str(count) for count in counts.values())


@cache
def _tried(environment: tuple[tuple[str, str], ...], adapters: int, place: Path) -> Counter | NotCounted:
    made = _made(place)
    if isinstance(made, NotCounted):
        return made
    with scratch_folder() as folder:
        count = new_counts(folder / "count")
        given = dict(environment)
        found = list_adapters({**given, **made.environment({**os.environ, **given}, count)})
        loaded = any(count.read_bytes()[_COUNTS_BYTES // 2 :])
    if not loaded:
        return NotCounted("the Vulkan loader does not load the counting layer; a newer loader (libvulkan1) may")
    if len(found) != adapters:
        return NotCounted(f"with the counting layer the Vulkan loader finds {len(found)} adapters, not {adapters}")
    return made


def _made(place: Path) -> Counter | NotCounted:
    """Compiles the layer into the cache folder ``place``, if it is not there yet."""
    version = hashlib.sha256(_SOURCE.read_bytes() + repr((_FLAGS, platform.machine())).encode()).hexdigest()[:12]
    folder = place / f"dispatch-layer-{version}"
    try:
        if not (folder / _MANIFEST).exists():
            with lock(place):
                if not (folder / _MANIFEST).exists():
                    with replacing(folder) as scratch:
                        _compile(scratch / READY)
    except UserError as error:
        return NotCounted(str(error))
    return Counter(folder)


def _compile(ready: Path) -> None:
    """Makes the folder ``ready`` of the library and its manifest.

    Raises:
        UserError: no C compiler, or it failed.
    """
    compiler = next(filter(None, map(shutil.which, _COMPILERS)), None)
    if compiler is None:
        raise UserError(f"counting needs a C compiler ({', '.join(_COMPILERS)}), and none is installed")
    ready.mkdir()
    command = [compiler, *_FLAGS, "-o", str(ready / _LIBRARY), str(_SOURCE)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, errors="replace", timeout=_TIME_LIMIT, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise UserError(f"{compiler} does not compile the counting layer: {' '.join(str(error).split())}") from error
    if done.returncode != 0:
        lines = done.stderr.splitlines() or [f"exit code {done.returncode}"]
        line = next((line for line in lines if "error" in line), lines[0])
        raise UserError(f"{compiler} does not compile the counting layer: {line.strip()}")
    (ready / _MANIFEST).write_text(json.dumps(_manifest(), indent=1) + "\n")


def _manifest() -> dict[str, object]:
    """The layer's description for the loader."""
    return {
        "file_format_version": "1.1.2",
        "layer": {
            "name": _LAYER,
            "type": "GLOBAL",
            "library_path": f"./{_LIBRARY}",
            "api_version": "1.3.0",
            "implementation_version": "1",
            "description": "counts compute dispatches",
        },
    }


def _joined(*paths: str) -> str:
    return os.pathsep.join(path for path in paths if path)
