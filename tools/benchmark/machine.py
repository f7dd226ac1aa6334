"""Describes the machine and the software of a benchmark."""

from __future__ import annotations

import datetime
import importlib.metadata
import os
import platform
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

_PACKAGES = ("torch", "transformers", "litert-torch", "ai-edge-litert", "ai-edge-quantizer", "numpy")


@dataclass(frozen=True)
class Machine:
    """The machine and the software of a benchmark.

    Attributes:
        date: ISO 8601, UTC.
        system: name of the operating system.
        cpu: the processor's name, "" if unknown.
        cores: number that the system reports.
        memory_bytes: of RAM.
        load: average number of busy cores in the minute before the benchmark; much above 0 makes its times unreliable.
        versions: package to version, Python's among them.
    """

    date: str
    system: str
    cpu: str
    cores: int
    memory_bytes: int
    load: float
    versions: Mapping[str, str]


def describe_machine() -> Machine:
    """Describes this machine in its current state (Linux)."""
    return Machine(
        date=datetime.datetime.now(datetime.UTC).date().isoformat(),
        system=platform.freedesktop_os_release().get("PRETTY_NAME", platform.system()),
        cpu=_cpu_name(Path("/proc/cpuinfo").read_text(encoding="utf-8")),
        cores=os.cpu_count() or 1,
        memory_bytes=os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        load=os.getloadavg()[0],
        versions={
            "Python": platform.python_version(),
            **{name: importlib.metadata.version(name) for name in _PACKAGES},
        },
    )


def _cpu_name(cpuinfo: str) -> str:
    """Returns ``model name`` of Linux's /proc/cpuinfo; Arm kernels have none."""
    for line in cpuinfo.splitlines():
        key, _, value = line.partition(":")
        if key.strip() == "model name":
            return value.strip()
    return ""
