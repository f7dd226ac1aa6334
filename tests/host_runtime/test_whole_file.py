"""A file has its name once it is whole, and nothing else is left."""

from __future__ import annotations

import pytest

from detr2litert.host_runtime.whole_file import whole_file


def test_the_old_file_stays_until_the_new_one_is_whole(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("old")
    with whole_file(path) as part:
        part.write_text("new")
        assert path.read_text() == "old"
    assert path.read_text() == "new" and list(tmp_path.iterdir()) == [path]


def test_what_breaks_off_leaves_nothing(tmp_path):
    def broken():
        with whole_file(tmp_path / "a.txt") as part:
            part.write_text("half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        broken()
    assert list(tmp_path.iterdir()) == []


def test_the_writers_own_error_is_the_one_that_is_seen(tmp_path):
    """Not that of removing what could never be made."""
    (tmp_path / "file").write_text("")
    with pytest.raises(NotADirectoryError), whole_file(tmp_path / "file" / "a.txt") as part:
        part.write_text("x")
    (tmp_path / "folder").mkdir()
    with pytest.raises(IsADirectoryError), whole_file(tmp_path / "folder") as part:
        part.write_text("x")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "folder"]
