"""Finding and fetching the driver that computes in fp16, with fakes of apt-get and dpkg-deb: nothing is downloaded."""

from __future__ import annotations

import json
import os
import platform
from pathlib import Path

import pytest

from detr2litert.host_runtime.errors import UserError
from detr2litert.verify.delegate import driver as module
from detr2litert.verify.delegate import lavapipe
from detr2litert.verify.delegate.adapters import Adapter, Driver
from tests.verify.delegate.test_driver import home, write_tool

__all__ = ["home"]  # a fixture

APT = """#!/bin/sh
echo "$*" >> "{log}"
case "$*" in
  *indextargets*) echo "bookworm https://mirror.example/debian/"; echo "bookworm-updates https://mirror.example/debian/" ;;
  *install*) cd "$PWD/cache/archives"; {download} ;;
esac
"""
DOWNLOAD = "touch libc6_2_amd64.deb libllvm15_1_amd64.deb mesa-vulkan-drivers_25_amd64.deb"
# Each package contains its own file; one has a link, as in Debian.
DPKG = """#!/bin/sh
lib="$3/usr/lib/x86_64-linux-gnu"
mkdir -p $lib $3/lib
case "$2" in
  *mesa*) echo lvp > $lib/libvulkan_lvp.so; echo other > $lib/libvulkan_intel.so ;;
  *llvm*) echo llvm > $lib/libLLVM-15.0.so; ln -s libLLVM-15.0.so $lib/libLLVM-15.so.1 ;;
  *libc6*) echo c > $3/lib/libc.so.6 ;;
esac
"""


@pytest.fixture
def tools(home: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = home / "bin"
    folder.mkdir()
    write_tool(folder / "apt-get", APT.format(log=home / "apt.log", download=DOWNLOAD))
    write_tool(folder / "dpkg-deb", DPKG)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}/usr/bin{os.pathsep}/bin")
    release(monkeypatch, "bookworm")
    return folder


def release(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setattr(platform, "freedesktop_os_release", lambda: {"VERSION_CODENAME": name})


def test_install_extracts_the_driver_and_its_dependencies(tools: Path, home: Path) -> None:
    place = module.fp16_folder()
    assert place == home / "cache" / "detr2litert" / "lavapipe"
    lavapipe.install(place)
    found = {path.name: path.read_text() for path in place.iterdir()}
    # Neither another driver, nor the C library, nor LLVM under both of its names.
    assert sorted(found) == ["libLLVM-15.so.1", "libvulkan_lvp.so", "lvp_icd.json", "source.json"]
    assert found["libLLVM-15.so.1"] == "llvm\n"
    assert json.loads(found["lvp_icd.json"])["ICD"]["library_path"] == "./libvulkan_lvp.so"
    assert [path.name for path in place.parent.iterdir()] == ["lavapipe"]
    lavapipe.install(place)  # over an old one


def test_old_debian_adds_a_newer_suite_of_its_own_mirror(tools: Path, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # The lists are removed when install ends, so the fake saves a copy.
    keep = f"cp ../../sources.list {home}/sources.list; {DOWNLOAD}"
    write_tool(tools / "apt-get", APT.format(log=home / "apt.log", download=keep))
    lavapipe.install(module.fp16_folder())
    log = (home / "apt.log").read_text()
    assert "--no-install-recommends mesa-vulkan-drivers/bookworm-backports" in log and "--download-only" in log
    assert (home / "sources.list").read_text().endswith("deb https://mirror.example/debian/ bookworm-backports main\n")
    (home / "apt.log").unlink()
    release(monkeypatch, "trixie")
    write_tool(tools / "apt-get", APT.format(log=home / "apt.log", download=DOWNLOAD))
    lavapipe.install(module.fp16_folder())
    assert "mesa-vulkan-drivers\n" in (home / "apt.log").read_text()
    assert "backports" not in (home / "apt.log").read_text()


@pytest.mark.parametrize(
    ("download", "words"),
    [
        ("echo 'E: Unable to locate package mesa' >&2; exit 100", "Unable to locate package mesa.*VK_DRIVER_FILES"),
        ("exit 0", r"holds no libvulkan_lvp\.so"),
    ],
)
def test_packages_that_are_not_available(
    tools: Path, home: Path, monkeypatch: pytest.MonkeyPatch, download: str, words: str | None
) -> None:
    monkeypatch.setattr(lavapipe, "_installed_library", lambda: None)
    write_tool(tools / "apt-get", APT.format(log=home / "apt.log", download=download))
    with pytest.raises(UserError, match=words):
        lavapipe.install(module.fp16_folder())
    assert not list(module.fp16_folder().parent.iterdir())


def test_no_mirror_and_no_tools(tools: Path, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_tool(tools / "apt-get", "#!/bin/sh\n")
    with pytest.raises(UserError, match="do not list bookworm"):
        lavapipe.install(module.fp16_folder())
    monkeypatch.setattr("shutil.which", lambda name: None)
    with pytest.raises(UserError, match=r"apt-get is not on this machine.*shaderFloat16"):
        lavapipe.install(module.fp16_folder())


def test_found_only_if_it_computes_in_fp16(tools: Path, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The reported feature bit is not enough: a driver that computes in fp32 only is skipped for lavapipe."""
    monkeypatch.setattr(module, "list_adapters", lambda environment: (Adapter("any", "software", "1.3.0", True),))
    monkeypatch.setattr(module, "try_driver", lambda driver: type("Run", (), {"ok": True})())
    good = {"lavapipe"}
    monkeypatch.setattr(module, "computes_in_fp16", lambda driver: driver.source in good)
    assert module.find_fp16_driver() is None
    module.find_fp16_driver.cache_clear()
    found = module.ensure_fp16_driver()
    assert found.source == "lavapipe" and found.path.endswith("lvp_icd.json")
    assert found.environment["MESA_SHADER_CACHE_DIR"] == str(home / "cache" / "detr2litert" / "shaders" / "width-128")
    assert found.environment["LD_LIBRARY_PATH"].split(os.pathsep)[0] == str(module.fp16_folder())
    good.add("system")
    module.find_fp16_driver.cache_clear()
    assert module.find_fp16_driver() == Driver("system", {}, found.adapters)
    good.clear()
    module.find_fp16_driver.cache_clear()
    with pytest.raises(UserError, match="nothing is computed in fp16 on it"):
        module.ensure_fp16_driver()


def test_the_users_shader_cache_and_width_are_respected(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Shaders of different widths must not share a cache folder: Mesa confuses them, and the process crashes."""
    monkeypatch.setenv("MESA_SHADER_CACHE_DIR", "/mine")
    assert lavapipe.environment(home)["MESA_SHADER_CACHE_DIR"] == "/mine/width-128"
    assert lavapipe.environment(home)["LP_NATIVE_VECTOR_WIDTH"] == "128"
    monkeypatch.setenv("LP_NATIVE_VECTOR_WIDTH", "256")
    assert lavapipe.environment(home)["MESA_SHADER_CACHE_DIR"] == "/mine/width-256"
    assert lavapipe.environment(home)["LP_NATIVE_VECTOR_WIDTH"] == "256"


@pytest.mark.gpu
def test_the_real_adapters_compute_as_reported(driver: Driver, fp16_driver: Driver) -> None:
    assert module.computes_in_fp16(fp16_driver)
    if driver.source == "swiftshader":
        assert not module.computes_in_fp16(driver)
