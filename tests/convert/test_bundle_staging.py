"""The folder in which a bundle is written: all or nothing."""

from __future__ import annotations

import errno
import os
import signal
from pathlib import Path

import pytest

from detr2litert.convert.bundle import staged_file, staged_folder
from detr2litert.host_runtime.errors import UserError
from tests.convert.command import tree


def test_a_successful_block_publishes_its_folder(tmp_path: Path) -> None:
    with staged_folder(tmp_path / "a" / "b") as folder:
        (folder / "x").write_text("1")
        (folder.parent / "scratch").write_text("2")
        assert not (tmp_path / "a" / "b").exists()
    assert tree(tmp_path) == {"a", "a/b", "a/b/x"}


def test_an_empty_folder_may_be_there_already(tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    with staged_folder(tmp_path / "b") as folder:
        (folder / "x").write_text("1")
    assert tree(tmp_path) == {"b", "b/x"}


@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError, UserError, MemoryError])
def test_a_block_that_fails_leaves_nothing(tmp_path: Path, error: type[BaseException]) -> None:
    with pytest.raises(error), staged_folder(tmp_path / "a" / "b") as folder:
        (folder / "x").write_text("1")
        raise error
    assert tree(tmp_path) == set()


def test_existing_parents_are_kept(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    with pytest.raises(RuntimeError), staged_folder(tmp_path / "mine" / "a" / "b"):
        raise RuntimeError
    assert tree(tmp_path) == {"mine"}


def test_something_that_appears_meanwhile_is_kept(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="cannot write"), staged_folder(tmp_path / "b"):
        (tmp_path / "b").mkdir()
        (tmp_path / "b" / "theirs").write_text("1")
    assert tree(tmp_path) == {"b", "b/theirs"}


def test_a_full_disk_is_a_user_error(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no space left on device; free some space"), staged_folder(tmp_path / "b"):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    assert tree(tmp_path) == set()


def test_a_second_ctrl_c_does_not_stop_the_cleanup(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from detr2litert.convert import bundle

    remove = bundle.shutil.rmtree

    def impatient(*arguments: object, **options: object) -> None:
        os.kill(os.getpid(), signal.SIGINT)
        remove(*arguments, **options)

    monkeypatch.setattr(bundle.shutil, "rmtree", impatient)
    with pytest.raises(RuntimeError), staged_folder(tmp_path / "b") as folder:
        (folder / "x").write_text("1")
        raise RuntimeError
    assert tree(tmp_path) == set()


def test_a_file_is_published_when_it_is_complete(tmp_path: Path) -> None:
    with staged_file(tmp_path / "a" / "x.onnx") as file:
        file.write_text("1")
        assert not (tmp_path / "a" / "x.onnx").exists()
    assert tree(tmp_path) == {"a", "a/x.onnx"}


@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError, UserError])
def test_a_file_that_is_not_completed_leaves_nothing(tmp_path: Path, error: type[BaseException]) -> None:
    with pytest.raises(error), staged_file(tmp_path / "a" / "x.onnx") as file:
        file.write_text("half")
        raise error
    assert tree(tmp_path) == set()


def test_a_file_that_appears_meanwhile_is_kept(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="exists"), staged_file(tmp_path / "x.onnx") as file:
        file.write_text("1")
        (tmp_path / "x.onnx").write_text("theirs")
    assert tree(tmp_path) == {"x.onnx"} and (tmp_path / "x.onnx").read_text() == "theirs"
