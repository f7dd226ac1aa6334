"""Finding and fetching a driver, with fakes of apt-get and dpkg-deb, so nothing is downloaded."""

from __future__ import annotations

import errno
import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from detr2litert.host_runtime.errors import UserError
from detr2litert.verify.delegate import driver as module
from detr2litert.verify.delegate import swiftshader
from detr2litert.verify.delegate.adapters import Adapter, Driver, list_adapters
from detr2litert.verify.delegate.cache_folder import lock

APT = """#!/bin/sh
echo "$*" >> "{log}"
case "$*" in
  *update*) exit 0 ;;
  *Dir::State*download*|*download*) {download} ;;
esac
"""
DPKG = """#!/bin/sh
mkdir -p "$3/usr/lib/chromium" && cd "$3/usr/lib/chromium"
echo '{}' > vk_swiftshader_icd.json; echo so > libvk_swiftshader.so; echo loader > libvulkan.so.1
"""


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    for name in ("VK_DRIVER_FILES", "VK_ICD_FILENAMES"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    forget()
    yield tmp_path
    forget()


def forget() -> None:
    module.find_driver.cache_clear()
    module.find_fp16_driver.cache_clear()


@pytest.fixture
def tools(home: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = home / "bin"
    folder.mkdir()
    write_tool(folder / "apt-get", APT.format(log=home / "apt.log", download="touch chromium-common_1_amd64.deb"))
    write_tool(folder / "dpkg-deb", DPKG)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}/usr/bin{os.pathsep}/bin")
    return folder


def write_tool(path: Path, text: str) -> None:
    path.write_text(text)
    path.chmod(0o755)


def test_install_extracts_three_files_and_removes_the_rest(tools: Path, home: Path) -> None:
    folder = module.cache_folder()
    assert folder == home / "cache" / "detr2litert" / "swiftshader"
    swiftshader.install(folder)
    assert sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file()) == [
        "libvk_swiftshader.so",
        "loader/libvulkan.so.1",
        "source.json",
        "vk_swiftshader_icd.json",
    ]
    assert json.loads((folder / "source.json").read_text()) == {"package": "chromium-common_1_amd64.deb"}
    assert [p.name for p in folder.parent.iterdir()] == ["swiftshader"]
    swiftshader.install(folder)  # over an old one


def test_missing_lists_are_fetched_separately(tools: Path, home: Path) -> None:
    download = 'case "$*" in *Dir::State*) touch c.deb ;; *) echo "E: Unable to locate package" >&2; exit 100 ;; esac'
    write_tool(tools / "apt-get", APT.format(log=home / "apt.log", download=download))
    swiftshader.install(module.cache_folder())
    first, second, third = (home / "apt.log").read_text().splitlines()
    assert first == "-q download chromium-common"
    assert second.endswith(" update") and "Dir::State" in second and third.endswith(" download chromium-common")


def test_a_missing_package_is_reported_with_an_alternative(tools: Path, home: Path) -> None:
    failing = 'echo "E: Unable to locate package chromium-common" >&2; exit 100'
    write_tool(tools / "apt-get", APT.format(log=home / "apt.log", download=failing))
    with pytest.raises(UserError, match=r"Unable to locate package.*VK_DRIVER_FILES"):
        swiftshader.install(module.cache_folder())
    assert not module.cache_folder().exists() and not list(module.cache_folder().parent.iterdir())


def test_another_system_than_debian_gets_an_alternative(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with pytest.raises(UserError, match=r"apt-get is not on this machine.*VK_DRIVER_FILES"):
        swiftshader.install(module.cache_folder())


def test_package_without_the_driver(tools: Path) -> None:
    write_tool(tools / "dpkg-deb", "#!/bin/sh\nmkdir -p $3\n")
    with pytest.raises(UserError, match="libvk_swiftshader"):
        swiftshader.install(module.cache_folder())


@pytest.mark.parametrize(
    ("place", "name", "code", "words"),
    [
        (shutil, "move", errno.ENOSPC, "No space left on device; make it writable and free 300 MB"),
        (subprocess, "run", errno.ENOMEM, r"apt-get cannot be started: Cannot allocate memory; install a Vulkan driver"),
    ],
)
def test_a_full_disk_and_a_tool_that_does_not_start_have_different_messages(
    tools: Path, monkeypatch: pytest.MonkeyPatch, place: object, name: str, code: int, words: str
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise OSError(code, os.strerror(code))

    with monkeypatch.context() as patch, pytest.raises(UserError, match=words):
        patch.setattr(place, name, fail)
        swiftshader.install(module.cache_folder())
    assert not list(module.cache_folder().parent.iterdir())


def test_a_cache_folder_that_cannot_be_created_is_a_user_error(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "list_adapters", lambda environment: ())
    (home / "cache").write_text("a file")
    with pytest.raises(UserError, match=r"make it writable and free 300 MB, or set XDG_CACHE_HOME"):
        module.ensure_driver()


def test_the_lock_does_not_translate_errors_within_it(home: Path) -> None:
    with pytest.raises(FileNotFoundError), lock(home / "cache"):
        (home / "none").read_text()


def test_the_users_variables_are_respected(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VK_DRIVER_FILES", "/nowhere.json")
    assert module.find_driver() is None
    with pytest.raises(UserError, match=r"VK_DRIVER_FILES=/nowhere\.json"):
        module.ensure_driver()
    with pytest.raises(UserError, match=r"VK_DRIVER_FILES=/nowhere\.json: it does not compute in fp16"):
        module.ensure_fp16_driver()
    assert module.main() == module.main(["--fp16"]) == 2


def test_a_driver_the_delegate_refuses_is_skipped(tools: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Debian 12's lavapipe: the loader lists it, the delegate finds no adapter."""
    swiftshader.install(module.cache_folder())
    monkeypatch.setattr(module, "list_adapters", lambda environment: (Adapter("any", "software", "1.3.0", False),))
    refused = [Driver("system", {}, ())]

    class Run:
        def __init__(self, driver: Driver) -> None:
            self.ok = driver.source not in {d.source for d in refused}

    monkeypatch.setattr(module, "try_driver", Run)
    found = module.ensure_driver()
    assert found.source == "swiftshader" and found.path.endswith("vk_swiftshader_icd.json")
    refused.clear()
    module.find_driver.cache_clear()
    assert module.ensure_driver().source == "system"


def test_hardware_is_named_first() -> None:
    software, hardware = Adapter("cpu", "software", "1.3.0", False), Adapter("gpu", "discrete", "1.3.0", True)
    assert Driver("system", {}, (software, hardware)).adapter is hardware
    assert Driver("system", {}, (software,)).adapter is software


@pytest.mark.gpu
def test_the_real_driver_lists_its_adapters(driver: Driver) -> None:
    adapters = list_adapters(driver.environment)
    assert adapters == driver.adapters and adapters[0].name and adapters[0].api_version.startswith("1.")
    assert list_adapters({"VK_DRIVER_FILES": "/nowhere.json", "VK_ICD_FILENAMES": "/nowhere.json"}) == ()


@pytest.mark.gpu
def test_the_real_driver_compiles(driver: Driver) -> None:
    run = module.try_driver(driver)
    assert run.ok and run.fully_on_gpu and run.adapter
