"""Diagnoses this machine: versions, Vulkan adapter, tools, and how to get what is missing."""

from __future__ import annotations

import platform
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from detr2litert.verify.delegate.adapters import Driver
from detr2litert.verify.delegate.driver import (
    HOW_TO_GET,
    HOW_TO_GET_FP16,
    cache_folder,
    find_driver,
    find_fp16_driver,
    try_driver,
)
from detr2litert.verify.delegate.run import Outcome
from detr2litert.verify.lint.op_support import installed_runtime, load_support
from detr2litert.verify.parity.tensorflow_run import HOW_TO_GET as HOW_TO_GET_TENSORFLOW
from detr2litert.verify.parity.tensorflow_run import installed
from detr2litert.verify.releases import installed_release

_PACKAGES = (
    *("ai-edge-litert", "ai-edge-quantizer", "litert-torch", "litert-converter"),
    *("torch", "transformers", "numpy", "pillow", "safetensors"),
)
_EXTRA_PACKAGES = ("tensorflow-cpu",)
_TOOLS = {
    "adb": "only for measuring on a phone; Android SDK platform-tools, or apt-get install adb",
    "java": "only for the Android sample; apt-get install openjdk-17-jdk-headless",
}


@dataclass(frozen=True)
class Missing:
    """A missing component and how to get it."""

    what: str
    how: str


@dataclass(frozen=True)
class Diagnosis:
    """The report.

    Attributes:
        versions: package to version, "" if it is not installed; ``python`` and ``system`` among them.
        driver: how to reach the adapter, None if there is none.
        fp16_driver: how to reach an adapter that computes in fp16, None if there is none.
        delegate_adapter: the adapter as the delegate names it, "" if there is none.
        cache: folder for the fetched driver.
        tools: command to path, "" if it is not on the PATH.
        table: version and backend of the operator table in use.
        missing: the missing components.
    """

    versions: Mapping[str, str]
    driver: Driver | None
    fp16_driver: Driver | None
    delegate_adapter: str
    cache: str
    tools: Mapping[str, str]
    table: str
    missing: tuple[Missing, ...]

    @property
    def gpu_gates_run(self) -> bool:
        """True if the residency gate and the GPU half of the numerics gate can run here."""
        return self.driver is not None

    def to_json(self) -> dict[str, Any]:
        """Returns a JSON-ready record."""
        record = asdict(self)
        record["gpu_gates_run"] = self.gpu_gates_run
        return record

    def lines(self) -> list[str]:
        """Returns the report as text, one fact per line."""
        text = [f"{name:18} {number or 'not installed'}" for name, number in self.versions.items()]
        if self.driver is None:
            text.append(f"{'Vulkan adapter':18} none: the GPU gates will not run")
        else:
            adapter = self.driver.adapter
            kind = "hardware" if adapter.hardware else "software"
            precision = "fp16" if adapter.fp16 else "fp32 only"
            text.append(f"{'Vulkan adapter':18} {adapter.name} ({kind}, {precision}, Vulkan {adapter.api_version})")
            text.append(f"{'driver':18} {self.driver.source}{': ' + self.driver.path if self.driver.path else ''}")
            text.append(f"{'delegate':18} {self.delegate_adapter}")
        if self.fp16_driver is None:
            text.append(f"{'fp16 adapter':18} none: the fp16 gate will not run")
        else:
            text.append(f"{'fp16 adapter':18} {self.fp16_driver.adapter.name} ({self.fp16_driver.source})")
        text += [f"{name:18} {path or 'not found'}" for name, path in self.tools.items()]
        text.append(f"{'operator table':18} {self.table}")
        return text + [f"missing: {item.what}: {item.how}" for item in self.missing]


def diagnose() -> Diagnosis:
    """Examines this machine; downloads nothing and raises nothing."""
    versions = {
        "python": platform.python_version(),
        "system": platform.platform(),
        **{name: installed_release(name) for name in (*_PACKAGES, *_EXTRA_PACKAGES)},
    }
    driver = find_driver()
    trial = try_driver(driver) if driver else None
    fp16_driver = find_fp16_driver()
    tools = {name: shutil.which(name) or "" for name in _TOOLS}
    table, runtime = load_support(), installed_runtime()
    missing = [Missing(name, "pip install -c constraints.txt -e '.[convert]'") for name in _PACKAGES if not versions[name]]
    if driver is None:
        missing.append(Missing("a Vulkan adapter, for the GPU gates", HOW_TO_GET))
    if fp16_driver is None:
        missing.append(Missing("an adapter that computes in fp16, for the fp16 gate", HOW_TO_GET_FP16))
    if not installed():
        missing.append(Missing('TensorFlow, for the optional gate "second runtime"', HOW_TO_GET_TENSORFLOW))
    if table.runtime != runtime:
        missing.append(
            Missing(
                f"an operator table for ai-edge-litert {runtime or '(not installed)'}",
                f"the lint gate uses the one for {table.runtime}",
            )
        )
    missing += [Missing(name, how) for name, how in _TOOLS.items() if not tools[name]]
    return Diagnosis(
        versions=versions,
        driver=driver,
        fp16_driver=fp16_driver,
        delegate_adapter=trial.adapter if trial is not None and trial.outcome is Outcome.COMPILED else "",
        cache=str(cache_folder()),
        tools=tools,
        table=f"ai-edge-litert {table.runtime}, {table.backend}",
        missing=tuple(missing),
    )
