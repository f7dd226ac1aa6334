"""An app's files by run-as: quoting, hashes, and copies that resume."""

from __future__ import annotations

import random
from pathlib import Path, PurePosixPath

import pytest

from detr2litert.verify.adb.app import PIECE, App, clear_temporary, parse_hashes
from detr2litert.verify.adb.client import Device
from detr2litert.verify.adb.errors import AppMissingError, CommandFailedError, DeviceError, NotDebuggableError
from tests.verify.adb.scripted import SERIAL, FolderDevice, ScriptedAdb, answer_with

TARGET = PurePosixPath("files/bundles/x/graph_a.tflite")


@pytest.fixture
def device(tmp_path: Path) -> FolderDevice:
    return FolderDevice(tmp_path / "device")


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A piece and a half."""
    path = tmp_path / "source"
    path.write_bytes(random.Random(5).randbytes(PIECE * 3 // 2))
    return path


def place(device: FolderDevice, path: PurePosixPath = TARGET) -> Path:
    return device.root / "app" / path


def part(device: FolderDevice) -> Path:
    path = place(device).with_name(f"{TARGET.name}.part")
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


def test_a_script_passes_two_shells_unchanged(device: FolderDevice) -> None:
    app = App(device)
    assert app.command("echo 'a  b'") == "run-as org.detr2litert.sample sh -c 'echo '\"'\"'a  b'\"'\"''"
    assert app.run("printf '%s|' 'a  b' \"$0\" '$HOME' '*'") == "a  b|sh|$HOME|*|"
    assert app.run('x="1 2"; echo "${x}"; echo \\\\') == "1 2\n\\\n"


@pytest.mark.parametrize("name", ["a b", "a'b", 'a"b', "$HOME", "-n", "ünï", "a;touch b", "a\nb"])
def test_any_file_name_is_accepted(device: FolderDevice, tmp_path: Path, name: str) -> None:
    (tmp_path / "source").write_bytes(b"data")
    target = PurePosixPath("files") / name
    App(device).put(tmp_path / "source", target)
    assert place(device, target).read_bytes() == b"data"
    App(device).remove(target)
    assert list((device.root / "app/files").iterdir()) == []
    assert {path.name for path in (device.root / "app").iterdir()} == {"files"}


@pytest.mark.parametrize("package", ["", "sample", "a.b; reboot", "a..b", "1.b", "a.b/"])
def test_invalid_package_names_are_refused(device: FolderDevice, package: str) -> None:
    with pytest.raises(AppMissingError, match="is not a package name"):
        App(device, package)
    assert device.scripts == []


@pytest.mark.parametrize(
    ("stderr", "error"),
    [
        ("run-as: unknown package: a.b", AppMissingError),
        ("run-as: Package 'a.b' is unknown", AppMissingError),
        ("run-as: package not debuggable: a.b", NotDebuggableError),
        ("run-as: Package 'a.b' is not debuggable", NotDebuggableError),
        ("run-as: package not an application: a.b", CommandFailedError),
        ("run-as: couldn't stat /data/user/0/a.b: No such file or directory", CommandFailedError),
    ],
)
def test_run_as_errors(stderr: str, error: type[DeviceError]) -> None:
    with pytest.raises(error, match=SERIAL):
        App(Device(ScriptedAdb(answer_with(1, stderr)), SERIAL), "a.b").check()


def test_parsing_hashes() -> None:
    one, two = "0" * 64, "ab" * 32
    text = f"{one}  ./golden/image.png\n{two} *./a  b.bin\n{one[1:]}  ./short\n\nfind: ./x: Permission denied\n{one}  outside\n"
    assert parse_hashes(text) == {"golden/image.png": one, "a  b.bin": two}


def test_hashes_of_a_folder(device: FolderDevice) -> None:
    app = App(device)
    assert app.hashes(PurePosixPath("files/none")) == {}
    app.put_bytes(b"", PurePosixPath("files/x/y/empty"))
    empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    assert app.hashes(PurePosixPath("files/x")) == {"y/empty": empty}


def test_a_copy_in_pieces(device: FolderDevice, source: Path) -> None:
    moved: list[int] = []
    assert App(device).put(source, TARGET, moved.append) == source.stat().st_size
    assert device.pushed == [PIECE, PIECE // 2]
    assert moved == [0, PIECE, PIECE // 2]
    assert place(device).read_bytes() == source.read_bytes()
    assert not part(device).exists()
    assert list((device.root / "data/local/tmp").iterdir()) == []


@pytest.mark.parametrize("there", [1, PIECE, PIECE + 1])
def test_a_copy_resumes_after_the_existing_part(device: FolderDevice, source: Path, there: int) -> None:
    part(device).write_bytes(source.read_bytes()[:there])
    moved: list[int] = []
    left = source.stat().st_size - there
    assert App(device).put(source, TARGET, moved.append) == left == sum(device.pushed)
    assert moved[0] == there
    assert sum(moved) == source.stat().st_size
    assert place(device).read_bytes() == source.read_bytes()


def test_a_complete_copy_is_only_moved(device: FolderDevice, source: Path) -> None:
    part(device).write_bytes(source.read_bytes())
    assert App(device).put(source, TARGET) == 0
    assert device.pushed == []
    assert place(device).read_bytes() == source.read_bytes()


@pytest.mark.parametrize("other", ["changed", "longer", "empty"])
def test_a_different_partial_file_is_sent_again(device: FolderDevice, source: Path, other: str) -> None:
    data = source.read_bytes()
    part(device).write_bytes({"changed": b"x" + data[1:PIECE], "longer": data + b"x", "empty": b""}[other])
    assert App(device).put(source, TARGET) == len(data)
    assert place(device).read_bytes() == data


@pytest.mark.parametrize("size", [0, 1, PIECE - 1, PIECE, PIECE + 1])
def test_sizes_at_the_edges(device: FolderDevice, tmp_path: Path, size: int) -> None:
    (tmp_path / "source").write_bytes(bytes(size))
    assert App(device).put(tmp_path / "source", TARGET) == size
    assert place(device).stat().st_size == size
    assert len(device.pushed) == max(1, -(-size // PIECE))


def test_a_corrupted_piece_is_removed(device: FolderDevice, source: Path) -> None:
    device.corrupt = True
    with pytest.raises(CommandFailedError, match="arrived with another sha256; run the same command again"):
        App(device).put(source, TARGET)
    assert list(place(device).parent.iterdir()) == []
    assert list((device.root / "data/local/tmp").iterdir()) == []


def test_unrelated_temporary_files_are_kept(device: FolderDevice) -> None:
    temporary = device.root / "data/local/tmp"
    (temporary / "detr2litert-0123").touch()
    (temporary / "else.apk").touch()
    clear_temporary(device)
    assert [path.name for path in temporary.iterdir()] == ["else.apk"]
