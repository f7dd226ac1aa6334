"""Describes the machine and the software of a benchmark."""

from __future__ import annotations

import datetime
import importlib.metadata
import os
import platform
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from detr2litert.verify.bench.setup import Difference

_PACKAGES = ("torch", "transformers", "litert-torch", "ai-edge-litert", "ai-edge-quantizer", "onnxruntime", "numpy", "pillow")
_NO_GOVERNOR = "not reported"


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
        governor: of the processor's frequency (Linux's cpufreq), of all cores; ``"not reported"`` where there is none, as in
            most virtual machines.
        versions: package to version, Python's among them; of the packages that are installed.
    """

    date: str
    system: str
    cpu: str
    cores: int
    memory_bytes: int
    load: float
    governor: str
    versions: Mapping[str, str]


def describe_machine() -> Machine:
    """Describes this machine in its current state (Linux; elsewhere with gaps)."""
    return Machine(
        date=datetime.datetime.now(datetime.UTC).date().isoformat(),
        system=_system(),
        cpu=_cpu_name(_read(Path("/proc/cpuinfo"))),
        cores=os.cpu_count() or 1,
        memory_bytes=os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        load=load_average(),
        governor=_governor(Path("/sys/devices/system/cpu")),
        versions=_versions(),
    )


def load_average() -> float:
    """Returns the average number of busy cores in the last minute; 0.0 where the system does not say."""
    try:
        return os.getloadavg()[0]
    except OSError:
        return 0.0


def differing_machines(first: Machine, second: Machine) -> list[Difference]:
    """Returns in what two machines differ: in hardware, system, governor, and the versions of the software."""
    one, other = _compared(first), _compared(second)
    return [
        Difference(what, one.get(what, ""), other.get(what, ""))
        for what in dict.fromkeys((*one, *other))
        if one.get(what, "") != other.get(what, "")
    ]


def _compared(machine: Machine) -> dict[str, str]:
    """Returns what has to be equal; memory in gigabytes, as what a system reports varies by some pages from start to start."""
    hardware = {"cpu": machine.cpu, "cores": str(machine.cores), "memory": f"{machine.memory_bytes / 1e9:.0f} GB"}
    return {"system": machine.system, **hardware, "governor": machine.governor, **machine.versions}


def _system() -> str:
    try:
        return platform.freedesktop_os_release().get("PRETTY_NAME", platform.system())
    except OSError:
        return platform.system()


def _versions() -> dict[str, str]:
    found = {"Python": platform.python_version()}
    for name in _PACKAGES:
        with suppress(importlib.metadata.PackageNotFoundError):
            found[name] = importlib.metadata.version(name)
    return found


def _governor(folder: Path) -> str:
    """Returns the frequency governors of all cores below sysfs' folder of processors."""
    found = {_read(path).strip() for path in folder.glob("cpu[0-9]*/cpufreq/scaling_governor")} - {""}
    return ", ".join(sorted(found)) or _NO_GOVERNOR


def _cpu_name(cpuinfo: str) -> str:
    """Returns ``model name`` of Linux's /proc/cpuinfo; Arm kernels have none."""
    for line in cpuinfo.splitlines():
        key, _, value = line.partition(":")
        if key.strip() == "model name":
            return value.strip()
    return ""


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
