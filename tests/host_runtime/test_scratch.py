"""Temporary folders: removed when they are closed, and by the next process after SIGKILL; never one that is in use."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from detr2litert.host_runtime.errors import UserError
from detr2litert.host_runtime.scratch import ScratchFolder, remove_stale, scratch_folder


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def test_removed_after_the_block(place: Path) -> None:
    with scratch_folder() as folder:
        assert folder.parent == place
        (folder / "below").mkdir()
    assert list(place.iterdir()) == []


def test_closed_twice(place: Path) -> None:
    folder = ScratchFolder()
    folder.close()
    folder.close()
    assert list(place.iterdir()) == []


def test_what_a_killed_process_left_is_removed_by_the_next(place: Path) -> None:
    code = """
import os, signal
from detr2litert.host_runtime.scratch import ScratchFolder
folder = ScratchFolder()
(folder.path / "file").write_text("x")
print(folder.path, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""
    env = {**os.environ, "TMPDIR": str(place)}
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=False)
    left = Path(done.stdout.strip())
    assert done.returncode < 0 and (left / "file").exists()
    with scratch_folder():
        assert not left.exists()


def test_folders_in_use_and_of_others_are_left(place: Path) -> None:
    """A new one has no lock yet; one with files but without a lock was made by something else; a link leads elsewhere."""
    outside = place / "outside"
    outside.mkdir()
    (place / "detr2litert-new").mkdir()
    foreign = place / "detr2litert-foreign"
    foreign.mkdir()
    (foreign / "thesis.txt").write_text("years of work")
    os.utime(foreign, (0, 0))
    (place / "detr2litert-link").symlink_to(outside)
    with scratch_folder() as first, scratch_folder() as second:
        remove_stale(place)
        assert first.exists() and second.exists()
    assert {path.name for path in place.iterdir()} == {"outside", "detr2litert-new", "detr2litert-foreign", "detr2litert-link"}
    os.utime(place / "detr2litert-new", (0, 0))
    remove_stale(place)
    assert not (place / "detr2litert-new").exists() and (foreign / "thesis.txt").exists()


def test_no_temporary_folder_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", None)
    monkeypatch.setattr(tempfile, "_candidate_tempdir_list", lambda: ["/proc/nowhere"])
    with pytest.raises(UserError, match=r"no temporary folder can be written .*; set TMPDIR"):
        ScratchFolder()


def test_a_folder_that_cannot_be_written(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", "/proc")
    with pytest.raises(UserError, match="no temporary folder can be written"):
        ScratchFolder()
