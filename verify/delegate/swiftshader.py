"""SwiftShader, Chromium's software Vulkan driver: downloaded from Debian's packages, without root.

It is two files of 5.4 MB from Debian's chromium-common package, which also holds a Vulkan loader. It computes in fp32 only;
``verify.delegate.lavapipe`` is the driver that computes in fp16.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path

from detr2litert.host_runtime.errors import UserError
from detr2litert.verify.delegate.adapters import loader_present
from detr2litert.verify.delegate.cache_folder import READY, replacing
from detr2litert.verify.delegate.debian import download, require_tools, unpack

PACKAGE = "chromium-common"
ICD = "vk_swiftshader_icd.json"
LOADER = "libvulkan.so.1"
_LIBRARY = "libvk_swiftshader.so"
INSTEAD = "install a Vulkan driver the delegate accepts (a GPU's own, or Mesa 25's lavapipe), if necessary with VK_DRIVER_FILES"


def folder(cache: Path) -> Path:
    """Returns the driver's folder in this project's cache folder."""
    return cache / "swiftshader"


def environment(place: Path) -> dict[str, str]:
    """Returns the variables with which a child process uses the driver at ``place``."""
    return with_loader(place, {"VK_DRIVER_FILES": str(place / ICD), "VK_ICD_FILENAMES": str(place / ICD)})


def with_loader(place: Path, environment: Mapping[str, str]) -> dict[str, str]:
    """Adds the loader that was downloaded with the driver at ``place``, if the system has none."""
    loader = place / "loader"
    if not (loader / LOADER).exists() or loader_present():
        return dict(environment)
    paths = [str(loader), os.environ.get("LD_LIBRARY_PATH", "")]
    return {**environment, "LD_LIBRARY_PATH": os.pathsep.join(p for p in paths if p)}


def install(place: Path) -> None:
    """Downloads PACKAGE with apt-get, extracts three files, and puts them at ``place`` in one step.

    Raises:
        UserError: no apt-get or dpkg-deb, no such package, no network, or no space left.
    """
    require_tools(f"SwiftShader comes from Debian's {PACKAGE} package", INSTEAD)
    with replacing(place) as work:
        _fetch(work, work / READY)


def _fetch(work: Path, ready: Path) -> None:
    """Builds the driver's folder, ``ready``; intermediate files go to ``work``."""
    package = download(PACKAGE, work, INSTEAD)
    unpack([package], work / "x", INSTEAD)
    found = {name: next((work / "x").rglob(name), None) for name in (ICD, _LIBRARY, LOADER)}
    if missing := [name for name, path in found.items() if path is None]:
        raise UserError(f"{package.name} holds no {', '.join(missing)}; {INSTEAD}")
    # The loader has a folder of its own: it joins LD_LIBRARY_PATH only where the system has none.
    (ready / "loader").mkdir(parents=True)
    for name, path in found.items():
        if path is not None:
            shutil.move(path, ready / ("loader" if name == LOADER else "") / name)
    (ready / "source.json").write_text(json.dumps({"package": package.name}) + "\n")
