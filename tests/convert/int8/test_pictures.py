"""Calibration pictures: which are taken, what identifies them, and what is refused in a line."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from detr2litert.convert.conversion import Request, convert_detector
from detr2litert.convert.int8.pictures import read_calibration
from detr2litert.host_runtime.errors import UserError
from tests.convert.command import assert_refused, invoke

TINY = ("run", "--variant", "tiny", "--target", "pixel")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Five pictures whose pixels all have the value of their number, a text, and a folder."""
    place = tmp_path / "pictures"
    (place / "more.png").mkdir(parents=True)
    (place / "notes.txt").write_text("no picture")
    for number in range(5):
        Image.new("RGB", (4, 3), (number, number, number)).save(place / f"{number}.png")
    return place


def values(source: Path, most: int = 100) -> list[int]:
    return [int(np.asarray(picture)[0, 0, 0]) for picture in read_calibration(source, most)]


def test_a_folder_gives_its_pictures_by_name_and_some_of_many_at_equal_distances(folder: Path) -> None:
    assert values(folder) == [0, 1, 2, 3, 4]
    assert values(folder, 3) == [0, 2, 4] and values(folder, 1) == [0]
    described = read_calibration(folder, 100).describe()
    assert described.startswith("5 pictures; 20 to 100 are recommended")


def test_what_cannot_be_read_is_left_out_and_counted(folder: Path) -> None:
    (folder / "3.png").write_bytes(b"broken")
    found = read_calibration(folder, 100)
    assert len(found) == 4 and values(folder) == [0, 1, 2, 4]
    assert "4 pictures, 1 that cannot be read left out" in found.describe()


def test_the_hash_is_of_names_and_contents(folder: Path) -> None:
    first = read_calibration(folder, 100).sha256
    assert first == read_calibration(folder, 100).sha256 != read_calibration(folder, 3).sha256
    (folder / "4.png").rename(folder / "5.png")
    renamed = read_calibration(folder, 100).sha256
    Image.new("RGB", (4, 3), (9, 9, 9)).save(folder / "5.png")
    assert len({first, renamed, read_calibration(folder, 100).sha256}) == 3


def test_an_array_gives_the_same_pictures(tmp_path: Path) -> None:
    array = np.stack([np.full((3, 4, 3), number, np.uint8) for number in range(30)])
    np.save(tmp_path / "a.npy", array)
    found = read_calibration(tmp_path / "a.npy", 100)
    assert values(tmp_path / "a.npy") == list(range(30)) and values(tmp_path / "a.npy", 2) == [0, 29]
    assert found.describe() == "30 pictures" and next(iter(found)).size == (4, 3)
    np.save(tmp_path / "b.npy", array[::-1])
    assert read_calibration(tmp_path / "b.npy", 100).sha256 != found.sha256


def test_what_is_no_calibration_is_refused_in_a_line(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "a.png").write_bytes(b"broken")
    (tmp_path / "text.txt").write_text("hello")
    (tmp_path / "bad.npy").write_bytes(b"\x93NUMPY and nothing else")
    np.save(tmp_path / "floats.npy", np.zeros((2, 3, 4, 3), np.float32))
    np.save(tmp_path / "planes.npy", np.zeros((2, 3, 4, 4), np.uint8))
    np.save(tmp_path / "none.npy", np.zeros((0, 3, 4, 3), np.uint8))
    np.save(tmp_path / "pickled.npy", np.array([{"a": 1}], object), allow_pickle=True)
    expected = {
        "absent": "no such folder or file",
        "empty": "there is no picture in it",
        "broken": "none of its 1 pictures can be read",
        "text.txt": "neither a folder nor a .npy file",
        "bad.npy": "not a readable array",
        "floats.npy": "it holds float32",
        "planes.npy": r"it holds uint8 \[2, 3, 4, 4\]",
        "none.npy": "there is no pixel",
        "pickled.npy": "not a readable array",
    }
    for name, message in expected.items():
        with pytest.raises(UserError, match=message) as refused:
            read_calibration(tmp_path / name, 100)
        assert name in str(refused.value) and "\n" not in str(refused.value) and "give" in str(refused.value)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--calibration", "."), ("--calibration", "--precision int8", "fp16")),
        (("--calibration", ".", "--precision", "fp32"), ("--precision int8", "fp32")),
        (("--max-images", "20", "--precision", "int8"), ("--max-images", "--calibration")),
        (("--calibration", "no-such-folder", "--precision", "int8"), ("no-such-folder", "no such folder or file")),
    ],
)
def test_the_command_refuses_it_before_any_work(tmp_path: Path, options: tuple[str, ...], words: tuple[str, ...]) -> None:
    assert_refused(invoke(*TINY, *options, "--out", tmp_path / "out"), *words)
    assert not (tmp_path / "out").exists()


def test_so_does_the_call() -> None:
    with pytest.raises(UserError, match="--max-images 0"):
        convert_detector(Request("pixel", "tiny", precision="int8", calibration=Path(), max_images=0))
