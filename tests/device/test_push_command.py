"""``convert push`` with the real adb, on an emulated device: all or nothing, and resuming after a cut connection."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from detr2litert.host_runtime.bundle import file_sha256
from detr2litert.verify.adb.app import PIECE
from tests.convert.command import assert_refused, environment, invoke, rehash
from tests.convert.terminal import ENVIRONMENT, SHOW_CURSOR, Terminal
from tests.device.commands import assert_clean, device_command, files_of, interrupted_when, reconnect
from tests.device.conftest import Plug
from tests.device.emulator import Emulator
from tests.device.faults import Faults

BIG = "a_large_file.bin"


@pytest.fixture(scope="module")
def large(bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bundle with an additional file of two and a half pieces, which is sent first."""
    place = Path(shutil.copytree(bundle, tmp_path_factory.mktemp("large") / "tiny"))
    (place / BIG).write_bytes(os.urandom(PIECE * 5 // 2))
    rehash(place, BIG)
    return place


def installed(device: Emulator) -> dict[str, str]:
    """Every file of the one bundle on the device with its sha256."""
    (folder,) = files_of(device).glob("bundles/[!.]*")
    return {path.relative_to(folder).as_posix(): file_sha256(path) for path in folder.rglob("*") if path.is_file()}


def listed(bundle: Path) -> dict[str, str]:
    """The same files according to the bundle's manifest."""
    files = json.loads((bundle / "manifest.json").read_text())["files"]
    return {name: entry["sha256"] for name, entry in files.items()} | {"manifest.json": file_sha256(bundle / "manifest.json")}


def sent(text: str) -> tuple[int, int]:
    """Bytes sent, and the total."""
    count, _, total = text.split("sent ")[1].split()[:3]
    return int(count), int(total)


def test_a_full_device(plug: Plug, bundle: Path) -> None:
    device = plug(Faults(full_after=1_000_000))
    assert_refused(invoke("push", bundle), "no space left")
    assert_clean(device)
    assert not list((files_of(device) / "bundles").iterdir())


def test_more_stale_files_than_a_command_can_name_are_removed(plug: Plug, bundle: Path) -> None:
    device = plug()
    staging = files_of(device) / "bundles/.staging-push-tiny-pixel"
    staging.mkdir(parents=True)
    for number in range(2000):
        (staging / f"{'stale' * 20}-{number}").touch()
    outcome = invoke("push", bundle)
    assert outcome.code == 0, outcome
    assert installed(device) == listed(bundle)


def test_an_interrupted_push_resumes(plug: Plug, bundle: Path) -> None:
    device = plug(Faults(cut_after=2_000_000))
    assert_refused(invoke("push", bundle), "connection was cut")
    reconnect(device)
    outcome = invoke("push", bundle, "--serial", device.serial)
    assert outcome.code == 0, outcome
    count, total = sent(outcome.stdout)
    assert count < total
    assert installed(device) == listed(bundle)
    assert_clean(device)


def test_a_large_file_resumes_after_its_last_complete_piece(plug: Plug, large: Path) -> None:
    device = plug(Faults(cut_after=PIECE * 3 // 2))
    assert_refused(invoke("push", large), "connection was cut")
    reconnect(device)
    outcome = invoke("push", large)
    assert outcome.code == 0, outcome
    count, total = sent(outcome.stdout)
    assert count == total - PIECE
    assert installed(device) == listed(large)
    assert_clean(device)


def test_files_changed_meanwhile_are_sent_again(plug: Plug, large: Path, tmp_path: Path) -> None:
    device = plug(Faults(cut_after=PIECE * 3 // 2))
    assert_refused(invoke("push", large), "connection was cut")
    reconnect(device)
    other = Path(shutil.copytree(large, tmp_path / "other"))
    (other / BIG).write_bytes(os.urandom(PIECE + 1))
    rehash(other, BIG)
    outcome = invoke("push", other)
    assert outcome.code == 0, outcome
    count, total = sent(outcome.stdout)
    assert count == total
    assert installed(device) == listed(other)


def test_a_zip(plug: Plug, bundle: Path, tmp_path: Path) -> None:
    device = plug()
    zipped = Path(shutil.make_archive(str(tmp_path / "packed"), "zip", bundle))
    assert "every sha256 checked" in invoke("push", zipped).stdout
    assert installed(device) == listed(bundle)
    outcome = device_command(zipped)
    assert outcome.code == 0, outcome
    assert (tmp_path / "packed-device" / "report.html").is_file()
    assert_clean(device)


def test_an_interrupt_leaves_only_what_the_next_push_resumes_from(plug: Plug, large: Path, tmp_path: Path) -> None:
    device = plug(Faults(pause=0.02))
    temporary = device.root / "data/local/tmp"

    def in_the_second_piece() -> bool:
        parts = list(files_of(device).glob(f"bundles/.staging-*/{BIG}.part"))
        begun = any(path.stat().st_size > 200_000 for path in temporary.iterdir())
        return begun and any(part.stat().st_size == PIECE for part in parts)

    outcome = interrupted_when(in_the_second_piece, "push", large, cwd=tmp_path)
    assert_refused(outcome, "interrupted", "run the same command again")
    assert_clean(device)
    assert [path.name for path in files_of(device).glob("bundles/*")] == [".staging-push-tiny-pixel"]
    device.faults.pause = 0.0
    count, total = sent(invoke("push", large).stdout)
    assert count <= total - PIECE
    assert installed(device) == listed(large)


def test_on_a_terminal_there_is_a_bar(plug: Plug, bundle: Path, tmp_path: Path) -> None:
    device = plug(Faults(pause=0.02))
    terminal = Terminal()
    command = [sys.executable, "-m", "detr2litert", "push", str(bundle)]
    given = {**environment(), **ENVIRONMENT}
    given.pop("NO_COLOR")
    done = subprocess.run(
        command, cwd=tmp_path, env=given, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=terminal.end, timeout=120
    )
    shown = terminal.close()
    assert done.returncode == 0, shown
    assert f"{device.serial}: send graph_a.tflite" in shown
    assert " MB" in shown and "Traceback" not in shown
    assert SHOW_CURSOR in shown
    assert b"every sha256 checked" in done.stdout
