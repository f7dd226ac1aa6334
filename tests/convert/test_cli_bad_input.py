"""Bad input to ``convert run``: one line, exit code 2, and no files left."""

from __future__ import annotations

import errno
import io
import os
import pickle
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from detr2litert.convert import conversion
from detr2litert.convert.cli.main import cli
from detr2litert.convert.models.variants import VARIANTS
from tests.convert.command import Outcome, assert_refused, invoke, tree
from tests.convert.rfdetr_checkpoints import make_rfdetr_checkpoint

TINY = ("run", "--variant", "tiny", "--target", "pixel", "--no-gpu")


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A valid rfdetr checkpoint of three classes."""
    path = tmp_path_factory.mktemp("checkpoint") / "shapes.pth"
    return make_rfdetr_checkpoint(VARIANTS["tiny"], ["ball", "box", "wedge"], path)


def run_with(weights: object, *more: object) -> Outcome:
    return invoke("run", "--target", "pixel", "--weights", weights, "--out", "made/out", *more)


class Bomb:
    """Unpickling it would make a folder called ``boom``."""

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, ("boom",)


def test_missing_checkpoint(place: Path) -> None:
    assert_refused(run_with("nothing.pth"), "no weights at nothing.pth", ".safetensors")
    assert tree(place) == set()


def test_empty_checkpoint(place: Path, tmp_path: Path) -> None:
    (tmp_path / "empty.pth").touch()
    assert_refused(run_with(tmp_path / "empty.pth"), "empty.pth", "is empty")
    assert tree(place) == set()


def test_truncated_checkpoint(place: Path, tmp_path: Path, checkpoint: Path) -> None:
    (tmp_path / "short.pth").write_bytes(checkpoint.read_bytes()[:-2000])
    assert_refused(run_with(tmp_path / "short.pth"), "short.pth", "damaged")
    assert tree(place) == set()


def test_malicious_checkpoint_runs_nothing_and_is_named(place: Path, tmp_path: Path) -> None:
    torch.save({"model": {}, "args": Bomb()}, tmp_path / "hostile.pth")
    assert_refused(run_with(tmp_path / "hostile.pth"), "hostile.pth", "posix.mkdir", "could run code")
    assert tree(place) == set()


def test_malicious_plain_pickle(place: Path, tmp_path: Path) -> None:
    (tmp_path / "plain.pth").write_bytes(pickle.dumps(Bomb(), protocol=2))
    assert_refused(run_with(tmp_path / "plain.pth"), "plain.pth")
    assert tree(place) == set()


def test_wrong_architecture(place: Path, tmp_path: Path) -> None:
    torch.save({"conv1.weight": torch.zeros(3, 3), "fc.bias": torch.zeros(2)}, tmp_path / "resnet.pth")
    assert_refused(run_with(tmp_path / "resnet.pth"), "resnet.pth", "RF-DETR", "conv1.weight", "query selection")
    assert tree(place) == set()


def test_checkpoint_of_another_variant_names_both(place: Path, checkpoint: Path) -> None:
    assert_refused(run_with(checkpoint, "--variant", "nano"), "is tiny, not nano", "--variant tiny")
    assert tree(place) == set()


def test_class_count_that_does_not_match(place: Path, tmp_path: Path, checkpoint: Path) -> None:
    (tmp_path / "names.txt").write_text("a\nb\nc\nd\ne\nf\n")
    assert_refused(run_with(checkpoint, "--classes", tmp_path / "names.txt"), "names.txt", "6 classes", "4 columns")
    assert tree(place) == set()


@pytest.mark.parametrize("resolution", ["161", "0", "-20", "160x", "160x0"])
def test_resolution_that_does_not_divide(place: Path, resolution: str) -> None:
    assert_refused(
        invoke(*TINY, "--resolution", resolution), resolution, "160 and 180" if resolution == "161" else "HEIGHTxWIDTH"
    )
    assert tree(place) == set()


def test_resolution_too_small_for_the_queries(place: Path) -> None:
    assert_refused(invoke(*TINY, "--resolution", "20"), "too few", "80")


def test_unknown_variant_and_target_suggest_the_nearest(place: Path) -> None:
    assert_refused(invoke("run", "--variant", "nanno", "--target", "pixel"), "nanno", "did you mean nano", "convert variants")
    assert_refused(invoke("run", "--variant", "tiny", "--target", "pixle"), "pixle", "did you mean pixel", "convert targets")
    assert_refused(invoke("run", "--variant", "tiny", "--target", "zzz"), "choose from pixel, galaxy, desktop")
    assert tree(place) == set()


def test_neither_variant_nor_weights(place: Path) -> None:
    assert_refused(invoke("run", "--target", "pixel"), "--variant", "--weights")
    assert_refused(invoke("run", "--target", "pixel", "--weights", "random"), "--weights random needs --variant")


def test_a_hub_id_that_cannot_be_reached(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # A closed port: no test may depend on a network, nor on its absence.
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "http://127.0.0.1:9")
    line = assert_refused(run_with("nobody/no-such-detector"), "nobody/no-such-detector", "could not reach")
    assert "hf download" in line
    assert tree(place) == set()


def test_bad_images(place: Path, tmp_path: Path) -> None:
    (tmp_path / "zero.png").touch()
    (tmp_path / "text.jpg").write_text("not a picture")
    buffer = io.BytesIO()
    Image.new("RGB", (64, 64), "red").save(buffer, "PNG")
    (tmp_path / "cut.png").write_bytes(buffer.getvalue()[:60])
    for name in ("zero.png", "text.jpg", "cut.png", "missing.png", "."):
        assert_refused(invoke(*TINY, "--image", tmp_path / name), tmp_path / name)
    assert tree(place) == set()


def test_a_name_too_long_for_the_system(place: Path, tmp_path: Path) -> None:
    """Even checking that such a file exists is a system error."""
    long, message = "x" * 300, "cannot be read (file name too long)"
    Image.new("RGB", (8, 8), "red").save(tmp_path / "red.png")
    for arguments in (
        (*TINY, "--image", long),
        ("run", "--target", "pixel", "--weights", long),
        ("check", long),
        ("verify", long),
        ("detect", long, tmp_path / "red.png"),
        ("push", long),
        ("device", long),
        ("app-assets", long),
        ("app-assets", tmp_path, "--sample", long),
        ("probe", "--write", f"{long}/x.json"),
    ):
        assert_refused(invoke(*arguments), long, message)
    assert tree(place) == set()


def test_a_home_folder_that_does_not_exist(place: Path) -> None:
    assert_refused(invoke("run", "--target", "pixel", "--weights", "~nobody-of-that-name/a.pth"), "~nobody", "home folder")


def test_out_is_taken(place: Path) -> None:
    (place / "full").mkdir()
    (place / "full" / "thesis.txt").write_text("years of work")
    (place / "file").write_text("mine")
    (place / "link").symlink_to("nowhere")
    (place / "b.zip").write_text("mine, too")
    before = tree(place)
    assert_refused(invoke(*TINY, "--out", "full"), "full is not empty", "--out")
    assert_refused(invoke(*TINY, "--out", "file"), "file is not a folder", "--out")
    assert_refused(invoke(*TINY, "--out", "link"), "link is not a folder", "--out")
    assert_refused(invoke(*TINY, "--out", "b", "--zip"), "b.zip exists", "--out")
    assert tree(place) == before
    assert (place / "full" / "thesis.txt").read_text() == "years of work"


def test_out_is_the_current_folder(place: Path) -> None:
    assert_refused(invoke(*TINY, "--out", "."), "current folder", "--out")


def test_out_cannot_be_written(place: Path) -> None:
    """Neither below a file nor in a read-only file system: both fail for root as well."""
    (place / "file").write_text("mine")
    assert_refused(invoke(*TINY, "--out", "file/below/b"), "cannot write", "file", "--out")
    assert_refused(invoke(*TINY, "--out", "/proc/nowhere/b"), "cannot write /proc/nowhere", "--out")
    assert_refused(invoke(*TINY, "--out", "x" * 300), "cannot write", "file name too long")
    assert tree(place) == {"file"}


def test_a_disk_that_fills_up_during_the_conversion(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fills_up(folder: Path, *_rest: object) -> None:
        (folder / "graph_a.tflite").write_bytes(b"half a graph")
        (folder.parent / "scratch").write_bytes(b"x")
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(conversion, "_build", fills_up)
    assert_refused(invoke(*TINY, "--out", "made/out"), "made/out", "no space left", "free some space", "--out")
    assert tree(place) == set()


def test_an_internal_error_is_not_reported_as_a_disk_error(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def breaks(*_rest: object) -> None:
        raise FileNotFoundError(errno.ENOENT, "No such file", "internal")

    monkeypatch.setattr(conversion, "_build", breaks)
    with pytest.raises(FileNotFoundError):
        invoke(*TINY, "--out", "made/out")
    assert tree(place) == set()


@pytest.mark.parametrize("number", ["nan", "inf", "-inf", "1e400"])
@pytest.mark.parametrize(
    "arguments",
    [
        (*TINY, "--threshold"),
        ("detect", "b", "x.png", "--threshold"),
        ("detect", "b", "x.png", "--nms"),
        ("check", "x.tflite", "--timeout"),
        ("device", "b", "--timeout"),
    ],
    ids=lambda arguments: f"{arguments[0]} {arguments[-1]}",
)
def test_numbers_are_finite(arguments: tuple[str, ...], number: str) -> None:
    line = assert_refused(invoke(*arguments, number), arguments[-1])
    assert "range" in line or "not a finite number" in line


@pytest.mark.parametrize(
    "arguments",
    [
        ("run",),
        ("run", "--variant", "tiny"),
        (*TINY, "--threshold", "2"),
        (*TINY, "--resolution", "large"),
        (*TINY, "--resize", "nearest"),
        (*TINY, "--seed", "-1"),
        (),
        ("rum",),
        ("rum\x1b[1m\n",),
        ("--no-such-option",),
        ("detect", "somewhere"),
        ("detect", "a", "b", "--accelerator"),
        ("run", "--no-such-option"),
        ("check",),
        ("verify",),
        ("variants", "tiny", "more"),
        ("targets", "more"),
        ("rewrites", "--more"),
        ("probe", "--more"),
        ("doctor", "more"),
        ("push",),
        ("app-assets",),
        ("device", "b", "--runs", "0"),
    ],
)
def test_a_usage_error_is_one_line_that_refers_to_help(place: Path, arguments: tuple[str, ...]) -> None:
    outcome = invoke(*arguments)
    command = f" {arguments[0]}" if arguments and arguments[0] in cli.commands else ""
    # For an option without its value click does not report the command.
    where = "" if arguments[-1:] == ("--accelerator",) else command
    assert assert_refused(outcome).endswith(f"see `cli{where} --help`")
    assert outcome.stderr.count("\n") == 1 and "\x1b" not in outcome.stderr
    assert tree(place) == set()


def test_an_interrupt_outside_of_a_command_is_reported_like_any_other(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("click.Group.invoke", interrupted)
    assert_refused(invoke("variants"), "interrupted before it was done", "run the same command again")
