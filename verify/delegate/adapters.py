"""Lists the Vulkan devices that the loader finds under a given environment, in a child process.

A child process, because a broken driver can crash the process that loads it, and because the loader reads its environment once.
The child is this file run as a script, so it needs only the standard library.
"""

from __future__ import annotations

import ctypes
import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass

# VkPhysicalDeviceType, Vulkan specification, chapter "Devices and Queues".
_KINDS = {0: "other", 1: "integrated", 2: "discrete", 3: "virtual", 4: "software"}
_TIME_LIMIT = 60.0


@dataclass(frozen=True)
class Adapter:
    """One Vulkan device.

    Attributes:
        name: the driver's name for it.
        kind: ``"integrated"``, ``"discrete"``, ``"virtual"``, ``"software"`` or ``"other"``.
        api_version: Vulkan version, ``"1.3.0"``.
        fp16: True if shaders can compute in fp16 (shaderFloat16); the delegate then does so unless fp32 is enforced.
    """

    name: str
    kind: str
    api_version: str
    fp16: bool

    @property
    def hardware(self) -> bool:
        return self.kind in ("integrated", "discrete", "virtual")


@dataclass(frozen=True)
class Driver:
    """A way to reach an adapter.

    Attributes:
        source: ``"environment"`` (the user's VK_* variables), ``"system"``, or one that this project fetched: ``"swiftshader"``
            or ``"lavapipe"``.
        environment: variables a child process needs in addition to the caller's own.
        adapters: the adapters found that way.
        path: the driver's folder or description file, "" for the system's.
    """

    source: str
    environment: Mapping[str, str]
    adapters: tuple[Adapter, ...]
    path: str = ""

    @property
    def adapter(self) -> Adapter:
        """Returns the adapter to name in a report: hardware first. ``DelegateRun.adapter`` has the delegate's own choice."""
        return next((a for a in self.adapters if a.hardware), self.adapters[0])


def list_adapters(environment: Mapping[str, str] | None = None) -> tuple[Adapter, ...]:
    """Lists all Vulkan devices the loader finds with ``environment`` added; empty without devices or without a loader."""
    try:
        done = subprocess.run(
            [sys.executable, "-I", __file__],
            env={**os.environ, **(environment or {})},
            capture_output=True,
            text=True,
            timeout=_TIME_LIMIT,
            check=False,
        )
        records = json.loads(done.stdout) if done.returncode == 0 else []
    except (OSError, subprocess.TimeoutExpired, ValueError):
        return ()
    return tuple(Adapter(**record) for record in records)


def loader_present() -> bool:
    """Returns whether the system has a Vulkan loader (libvulkan.so.1)."""
    done = subprocess.run(
        [sys.executable, "-I", "-c", "import ctypes; ctypes.CDLL('libvulkan.so.1')"], capture_output=True, check=False
    )
    return done.returncode == 0


class _InstanceInfo(ctypes.Structure):
    _fields_ = (
        ("type", ctypes.c_uint32), ("next", ctypes.c_void_p), ("flags", ctypes.c_uint32), ("application", ctypes.c_void_p),
        ("layer_count", ctypes.c_uint32), ("layers", ctypes.c_void_p),
        ("extension_count", ctypes.c_uint32), ("extensions", ctypes.c_void_p),
    )  # fmt: skip


class _ApplicationInfo(ctypes.Structure):
    _fields_ = (
        ("type", ctypes.c_uint32), ("next", ctypes.c_void_p), ("name", ctypes.c_char_p), ("version", ctypes.c_uint32),
        ("engine", ctypes.c_char_p), ("engine_version", ctypes.c_uint32), ("api_version", ctypes.c_uint32),
    )  # fmt: skip


class _Properties(ctypes.Structure):
    """The head of VkPhysicalDeviceProperties; the tail (limits, about 800 bytes) is padding."""

    _fields_ = (
        ("api", ctypes.c_uint32), ("driver", ctypes.c_uint32), ("vendor", ctypes.c_uint32), ("device", ctypes.c_uint32),
        ("kind", ctypes.c_uint32), ("name", ctypes.c_char * 256), ("rest", ctypes.c_ubyte * 4096),
    )  # fmt: skip


class _Float16Features(ctypes.Structure):
    _fields_ = (("type", ctypes.c_uint32), ("next", ctypes.c_void_p), ("float16", ctypes.c_uint32), ("int8", ctypes.c_uint32))


class _Features(ctypes.Structure):
    _fields_ = (("type", ctypes.c_uint32), ("next", ctypes.c_void_p), ("rest", ctypes.c_uint32 * 256))


def _enumerate() -> list[dict[str, object]]:
    """Queries the loader; runs in the child only."""
    vulkan = ctypes.CDLL("libvulkan.so.1")
    # Structure types 0, 1, 1000059000 and 1000082000 are VkStructureType's values for the structures beside them.
    application = _ApplicationInfo(type=0, api_version=(1 << 22) | (1 << 12))
    info = _InstanceInfo(type=1, application=ctypes.cast(ctypes.pointer(application), ctypes.c_void_p))
    instance = ctypes.c_void_p()
    if vulkan.vkCreateInstance(ctypes.byref(info), None, ctypes.byref(instance)) != 0:
        return []
    count = ctypes.c_uint32(0)
    vulkan.vkEnumeratePhysicalDevices(instance, ctypes.byref(count), None)
    devices = (ctypes.c_void_p * count.value)()
    vulkan.vkEnumeratePhysicalDevices(instance, ctypes.byref(count), devices)
    records: list[dict[str, object]] = []
    for handle in devices:
        device, properties = ctypes.c_void_p(handle), _Properties()
        vulkan.vkGetPhysicalDeviceProperties(device, ctypes.byref(properties))
        float16 = _Float16Features(type=1000082000)
        features = _Features(type=1000059000, next=ctypes.cast(ctypes.pointer(float16), ctypes.c_void_p))
        vulkan.vkGetPhysicalDeviceFeatures2(device, ctypes.byref(features))
        api = properties.api
        records.append(
            {
                "name": properties.name.decode("utf-8", "replace"),
                "kind": _KINDS.get(properties.kind, "other"),
                "api_version": f"{(api >> 22) & 0x7F}.{(api >> 12) & 0x3FF}.{api & 0xFFF}",
                "fp16": bool(float16.float16),
            }
        )
    return records


if __name__ == "__main__":
    print(json.dumps(_enumerate()))
