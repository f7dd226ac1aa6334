"""Mesa's software Vulkan driver, lavapipe, which computes in fp16: downloaded from Debian's packages, without root.

SwiftShader computes in fp32 only, so it cannot show the effects of a phone's fp16. lavapipe of Mesa 25 has shaderFloat16, and
the delegate then computes in fp16 as it does on phones (measured: 3 * (1 + 2^-11) - 3 is 0, a sum of 64 squares of 100 is
65504). Debian 12's own Mesa is 22.3, which the delegate refuses ("shaderUniform*ArrayDynamicIndexing required"); its backports
have 25.0.7, later releases have it themselves.

The driver compiles its shaders at run time, and caches them in MESA_SHADER_CACHE_DIR. The first run of a small detector's two
graphs takes LLVM 64 CPU seconds with the machine's widest vectors (256 bits), and 30 with vectors of 128 bits, which
compute the same bits in about the same time (0.9 and 1.0 s for the larger graph); 64 bits compute wrong results. Mesa 25.0.7
does not distinguish shaders of different widths in its cache, and a mixed one ends the process; so each width has its folder.
"""

from __future__ import annotations

import json
import os
import platform
import shutil
from collections.abc import Mapping
from pathlib import Path

from detr2litert.host_runtime.errors import UserError
from detr2litert.verify.delegate.cache_folder import READY, replacing
from detr2litert.verify.delegate.debian import download_with_missing, require_tools, unpack

PACKAGE = "mesa-vulkan-drivers"
ICD = "lvp_icd.json"
_LIBRARY = "libvulkan_lvp.so"
_BACKPORTS = {"bookworm": "bookworm-backports"}
"""Releases whose own Mesa is too old."""
_WIDTH_VARIABLE, _WIDTH = "LP_NATIVE_VECTOR_WIDTH", "128"
_INSTEAD = "point VK_DRIVER_FILES at a Vulkan driver with shaderFloat16 (a GPU's own, or Mesa 25's lavapipe)"
# A second C library cannot be loaded beside the running one.
_NEVER = "libc6_"


def folder(cache: Path) -> Path:
    """Returns the driver's folder in this project's cache folder."""
    return cache / "lavapipe"


def environment(place: Path) -> dict[str, str]:
    """Returns the variables with which a child process uses the driver at ``place``; its shaders are cached beside it.

    The user's settings are respected: the vector width, and the cache folder, inside which a subfolder is used.
    """
    paths = [str(place), os.environ.get("LD_LIBRARY_PATH", "")]
    width = os.environ.get(_WIDTH_VARIABLE) or _WIDTH
    cache = Path(os.environ.get("MESA_SHADER_CACHE_DIR") or place.with_name("shaders"))
    return {
        "VK_DRIVER_FILES": str(place / ICD),
        "VK_ICD_FILENAMES": str(place / ICD),
        "LD_LIBRARY_PATH": os.pathsep.join(path for path in paths if path),
        "MESA_SHADER_CACHE_DIR": str(cache / f"width-{width}"),
        _WIDTH_VARIABLE: width,
    }


def install(place: Path) -> None:
    """Downloads the driver and the libraries it needs that this machine lacks (LLVM among them), and puts them at ``place``.

    Raises:
        UserError: no apt-get or dpkg-deb, no such package, no network, or no space left.
    """
    require_tools(f"lavapipe comes from Debian's {PACKAGE} package", _INSTEAD)
    with replacing(place) as work:
        _fetch(work, work / READY)


def _fetch(work: Path, ready: Path) -> None:
    """Builds the driver's folder, ``ready``; intermediate files go to ``work``."""
    packages = [
        path
        for path in download_with_missing(PACKAGE, work, _INSTEAD, suite=_BACKPORTS.get(_codename(), ""))
        if not path.name.startswith(_NEVER)
    ]
    # A machine that has the package needs no other libraries, and apt-get then fetches nothing.
    root = work / "x"
    unpack(packages, root, _INSTEAD)
    library = next(root.rglob(_LIBRARY), None) or _installed_library()
    if library is None:
        raise UserError(f"{PACKAGE} holds no {_LIBRARY}; {_INSTEAD}")
    ready.mkdir()
    shutil.copyfile(library, ready / _LIBRARY)
    _take_libraries(root, ready)
    described = {"file_format_version": "1.0.0", "ICD": {"library_path": f"./{_LIBRARY}", "api_version": "1.3.0"}}
    (ready / ICD).write_text(json.dumps(described) + "\n")
    (ready / "source.json").write_text(json.dumps({"packages": [path.name for path in packages]}) + "\n")


def _take_libraries(root: Path, ready: Path) -> None:
    """Copies shared libraries under the name that programs load (libdrm.so.2), without Mesa's other drivers."""
    found = [path for path in sorted(root.rglob("lib*.so*")) if path.exists()]
    asked_for = {path.name for path in found if path.is_symlink()}
    behind = {path.resolve().name for path in found if path.is_symlink()} - asked_for
    for path in found:
        if path.name not in behind and not path.name.startswith(("libvulkan_", "libVkLayer_")):
            shutil.copyfile(path.resolve(), ready / path.name)


def _installed_library() -> Path | None:
    return next(iter(Path("/usr/lib").glob(f"*/{_LIBRARY}")), None)


def _codename() -> str:
    try:
        release: Mapping[str, str] = platform.freedesktop_os_release()
    except OSError:
        return ""
    return release.get("VERSION_CODENAME", "")
