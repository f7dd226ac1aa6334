"""What is recorded of the machine."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from detr2litert.verify.bench.machine import _cpu_name, _governor, describe_machine, differing_machines
from tests.verify.bench.fakes import MACHINE


def test_this_machine_is_described() -> None:
    machine = describe_machine()
    assert machine.cores >= 1 and machine.memory_bytes > 10**8 and machine.load >= 0 and machine.governor
    assert {"Python", "numpy", "ai-edge-litert", "pillow"} <= set(machine.versions)
    assert differing_machines(machine, machine) == []


def test_some_pages_of_memory_more_are_the_same_machine() -> None:
    assert differing_machines(MACHINE, replace(MACHINE, memory_bytes=MACHINE.memory_bytes + 2**20)) == []


def test_the_governors_of_all_cores_are_read(tmp_path: Path) -> None:
    assert _governor(tmp_path) == "not reported"
    for core, governor in (("cpu0", "performance"), ("cpu1", "powersave"), ("cpu10", "performance"), ("cpufreq", "none")):
        (tmp_path / core / "cpufreq").mkdir(parents=True)
        (tmp_path / core / "cpufreq" / "scaling_governor").write_text(f"{governor}\n")
    assert _governor(tmp_path) == "performance, powersave"


def test_the_processors_name_is_linuxs() -> None:
    assert _cpu_name("processor\t: 0\nmodel name\t: AMD EPYC\nmodel name\t: other\n") == "AMD EPYC"
    assert _cpu_name("processor\t: 0\nCPU part\t: 0xd03\n") == ""


def test_differences_name_both_sides() -> None:
    other = replace(MACHINE, cores=4, versions={"Python": "3.11.7", "torch": "2.13.0"})
    assert list(map(str, differing_machines(MACHINE, other))) == [
        "cores: 2 and 4",
        "numpy: 2.4.6 and none",
        "torch: none and 2.13.0",
    ]
