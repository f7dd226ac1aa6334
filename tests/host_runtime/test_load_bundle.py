from __future__ import annotations

import errno
import io
import json
import os
import random
import shutil
import tempfile
import zipfile
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy
import tiny_bundle

from detr2litert.host_runtime.bundle import load_bundle
from detr2litert.host_runtime.errors import UserError


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    root = tmp_path_factory.mktemp("good") / "bundle"
    tiny_bundle.write_bundle(root)
    return root


@pytest.fixture
def bundle(good, tmp_path):
    return Path(shutil.copytree(good, tmp_path / "bundle"))


def zipped(root: Path, target: Path, prefix: str = "", **kwargs) -> Path:
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted(root.rglob("*")):
            archive.write(path, prefix + path.relative_to(root).as_posix(), **kwargs)
    return target


def rewrite(root: Path, change) -> None:
    data = json.loads((root / "manifest.json").read_text())
    change(data)
    (root / "manifest.json").write_text(json.dumps(data))


def test_a_folder_is_read_where_it_is(good):
    bundle = load_bundle(good)
    assert bundle.root == good
    assert bundle.manifest.variant == "cells"
    np.testing.assert_array_equal(bundle.host_constants()["cells"], tiny_bundle.cell_grid())
    assert bundle.golden_tensors()["enc_scores"].shape == (1, 16)
    assert bundle.path("golden/image.png").is_file()
    bundle.close()
    assert good.is_dir()


@pytest.mark.parametrize("prefix", ["", "my-bundle/"])
def test_a_zip_is_unpacked_aside_and_removed(good, tmp_path, prefix):
    with load_bundle(zipped(good, tmp_path / "b.zip", prefix)) as bundle:
        assert bundle.path("golden/image.png").read_bytes() == (good / "golden/image.png").read_bytes()
        root = bundle.root
    assert not root.exists()


def test_files_beside_the_listed_ones_are_left_alone(bundle):
    (bundle / "report.html").write_text("a report")
    load_bundle(bundle)


def test_no_bundle_there(tmp_path):
    with pytest.raises(UserError, match="no bundle at"):
        load_bundle(tmp_path / "nothing")
    (tmp_path / "file").write_text("text")
    with pytest.raises(UserError, match="neither a bundle folder nor"):
        load_bundle(tmp_path / "file")
    with pytest.raises(UserError, match=r"has no manifest.json"):
        load_bundle(tmp_path)


@pytest.mark.parametrize("name", ["", "graph_a.tflite", "manifest.json"])
def test_what_may_not_be_read_is_named(bundle, name, monkeypatch):
    """Root may read every file, so the system's error is simulated."""
    shut, stat = str(bundle / name), os.stat

    def refuse(path, *arguments, **options):
        if str(path) == shut:
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), shut)
        return stat(path, *arguments, **options)

    monkeypatch.setattr(os, "stat", refuse)
    with pytest.raises(UserError, match=rf"^{shut} cannot be read \(permission denied\); give a path that can$"):
        load_bundle(bundle)


def test_a_name_too_long_for_the_system(tmp_path, bundle):
    with pytest.raises(UserError, match=r"xxx cannot be read \(file name too long\); give a path that can"):
        load_bundle(tmp_path / ("x" * 300))
    rewrite(bundle, lambda data: data["files"].update({"y" * 300: data["files"]["labels.txt"]}))
    with pytest.raises(UserError, match=r"yyy cannot be read \(file name too long\)"):
        load_bundle(bundle)


def test_a_zip_that_may_not_be_read_is_not_called_something_else(good, tmp_path, monkeypatch):
    path = zipped(good, tmp_path / "b.zip")

    def refuse(*_arguments, **_options):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))

    monkeypatch.setattr(io, "open", refuse)  # what Path.open calls
    monkeypatch.setattr("builtins.open", refuse)
    with pytest.raises(UserError, match=r"b.zip cannot be read \(permission denied\)"):
        load_bundle(path)


@pytest.mark.parametrize("name", ["graph_a.tflite", "host_params.safetensors", "golden/image.png"])
def test_a_missing_file_is_named(bundle, name):
    (bundle / name).unlink()
    with pytest.raises(UserError, match=f"{name} is missing .*; copy the whole bundle again"):
        load_bundle(bundle)


@pytest.mark.parametrize(
    ("cut", "words"), [(lambda d: d[:-1], "cut short"), (lambda d: d + b"!", "too long"), (lambda d: b"", "cut")]
)
def test_a_file_of_another_size_is_named(bundle, cut, words):
    path = bundle / "graph_b.tflite"
    path.write_bytes(cut(path.read_bytes()))
    with pytest.raises(UserError, match=f"graph_b.tflite .* is {words}"):
        load_bundle(bundle)


def test_one_changed_byte_is_noticed(bundle):
    path = bundle / "graph_a.tflite"
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    with pytest.raises(UserError, match=r"graph_a.tflite .* is damaged or changed"):
        load_bundle(bundle)


@pytest.mark.parametrize(
    "name", ["/etc/passwd", "../outside", "golden/../../outside", "a//b", "./a", "C:\\x", "a\\..\\b", "C:x", "a\0b", ""]
)
def test_a_path_that_leaves_the_bundle_is_refused(bundle, name):
    (bundle.parent / "outside").write_text("secret")
    rewrite(bundle, lambda data: data["files"].update({name: data["files"]["labels.txt"]}))
    # The last two are refused before they are looked at as paths.
    with pytest.raises(UserError, match=r"which is not inside the bundle|unprintable character|too short|non-empty"):
        load_bundle(bundle)


@pytest.mark.parametrize("link", ["labels.txt", "golden", "manifest.json"])
def test_a_link_is_refused(bundle, link):
    outside = bundle.parent / "outside"
    (bundle / link).rename(outside)
    (bundle / link).symlink_to(outside)
    with pytest.raises(UserError, match=r"is a link|has no manifest.json"):
        load_bundle(bundle)


def test_a_bundle_reached_through_a_link_is_fine(bundle):
    link = bundle.parent / "latest"
    link.symlink_to(bundle)
    load_bundle(link)


def test_a_newer_bundle_asks_for_an_upgrade(bundle):
    rewrite(bundle, lambda data: data.update(schema_version=9))
    with pytest.raises(UserError, match="upgrade the runtime"):
        load_bundle(bundle)


def test_a_manifest_that_is_not_text_or_too_large_is_refused(bundle):
    (bundle / "manifest.json").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UserError, match="is not UTF-8"):
        load_bundle(bundle)
    (bundle / "manifest.json").write_bytes(b" " * (2**24 + 1))
    with pytest.raises(UserError, match="is larger than"):
        load_bundle(bundle)


def test_constants_that_are_not_what_the_manifest_says(tmp_path):
    wrong = {
        "not": (b"not safetensors at all", "is not a safetensors file"),
        "none": (safetensors.numpy.save({"other": np.zeros(1)}), "lacks the constant 'cells'"),
        "shape": (
            safetensors.numpy.save({"cells": np.zeros((16, 4), np.float32)}),
            r"is float32\[16, 4\], not float32\[1, 16, 4\]",
        ),
        "type": (safetensors.numpy.save({"cells": np.zeros((1, 16, 4))}), "is float64"),
    }
    for name, (data, words) in wrong.items():
        tiny_bundle.write_bundle(tmp_path / name, {"host_params.safetensors": data})
        with pytest.raises(UserError, match=words):
            load_bundle(tmp_path / name).host_constants()


class TestHostileZip:
    def test_a_member_that_escapes(self, good, tmp_path):
        path = zipped(good, tmp_path / "b.zip")
        with zipfile.ZipFile(path, "a") as archive:
            archive.writestr("../escaped", "gotcha")
        with pytest.raises(UserError, match="not inside the bundle"):
            load_bundle(path)
        assert not (tmp_path / "escaped").exists()

    def test_a_link(self, good, tmp_path):
        path = zipped(good, tmp_path / "b.zip")
        info = zipfile.ZipInfo("link")
        info.external_attr = 0o120777 << 16
        with zipfile.ZipFile(path, "a") as archive:
            archive.writestr(info, "/etc/passwd")
        with pytest.raises(UserError, match="holds the link 'link'"):
            load_bundle(path)

    def test_a_member_larger_than_listed_is_not_unpacked(self, bundle, tmp_path):
        (bundle / "labels.txt").write_bytes(b"\0" * 50_000_000)
        with pytest.raises(UserError, match=r"labels.txt .* has 50000000 bytes, not 15"):
            load_bundle(zipped(bundle, tmp_path / "b.zip"))

    def test_members_that_are_not_listed_stay_packed(self, bundle, tmp_path):
        (bundle / "extra.bin").write_bytes(b"x")
        with load_bundle(zipped(bundle, tmp_path / "b.zip")) as loaded:
            assert not (loaded.root / "extra.bin").exists()

    def test_a_missing_member(self, bundle, tmp_path):
        (bundle / "graph_a.tflite").unlink()
        with pytest.raises(UserError, match=r"graph_a.tflite is missing"):
            load_bundle(zipped(bundle, tmp_path / "b.zip"))

    def test_no_manifest_or_two(self, good, tmp_path):
        empty = tmp_path / "empty.zip"
        with zipfile.ZipFile(empty, "w") as archive:
            archive.writestr("a.txt", "a")
        with pytest.raises(UserError, match=r"holds 0 manifest.json"):
            load_bundle(empty)
        both = zipped(good, tmp_path / "both.zip")
        with zipfile.ZipFile(both, "a") as archive:
            archive.writestr("other/manifest.json", "{}")
        with pytest.raises(UserError, match=r"holds 2 manifest.json"):
            load_bundle(both)

    def test_a_cut_or_damaged_archive(self, good, tmp_path):
        path = zipped(good, tmp_path / "b.zip")
        data = path.read_bytes()
        (tmp_path / "cut.zip").write_bytes(data[: len(data) // 2])
        with pytest.raises(UserError, match="neither a bundle folder nor"):
            load_bundle(tmp_path / "cut.zip")
        damaged = bytearray(data)
        with zipfile.ZipFile(path) as archive:
            info = archive.getinfo("graph_a.tflite")
        for offset in range(info.header_offset + 60, info.header_offset + 160):
            damaged[offset] ^= 0x5A
        (tmp_path / "damaged.zip").write_bytes(damaged)
        with pytest.raises(UserError, match="cannot be unpacked"):
            load_bundle(tmp_path / "damaged.zip")


def recompressed(root: Path, target: Path, compression: int) -> bytes:
    with zipfile.ZipFile(target, "w", compression) as archive:
        for path in sorted(root.rglob("*")):
            archive.write(path, path.relative_to(root).as_posix())
    return target.read_bytes()


@pytest.mark.parametrize("compression", [zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_damaged_members_of_every_compression(good, tmp_path, monkeypatch, compression):
    """Whatever is damaged, one line and an empty temporary folder; each library has errors of its own."""
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(scratch))
    data = recompressed(good, tmp_path / "good.zip", compression)
    rng = random.Random(compression)
    refused = 0
    for _ in range(40):
        damaged = bytearray(data)
        start = rng.randrange(len(data) - 200)
        damaged[start : start + 8] = rng.randbytes(8)
        (tmp_path / "bad.zip").write_bytes(damaged)
        try:
            load_bundle(tmp_path / "bad.zip").close()
        except UserError as error:
            refused += 1
            assert "\n" not in str(error) and ";" in str(error)
        assert list(scratch.iterdir()) == []
    assert refused > 20


def test_a_zip_that_would_fill_the_disk_is_refused_before_it_is_unpacked(good, tmp_path, monkeypatch):
    unpacked = []
    monkeypatch.setattr("detr2litert.host_runtime.bundle._copy", lambda *_: unpacked.append(1))
    bundle = Path(shutil.copytree(good, tmp_path / "large"))
    zeros = bundle / "graph_b.tflite"
    zeros.write_bytes(b"")
    os.truncate(zeros, 3 * 2**20)
    # The sizes in the archive's directory and in the manifest agree: nothing but a bound can refuse them.
    rewrite(bundle, lambda data: data["files"]["graph_b.tflite"].update(bytes=10 * 2**30))
    with pytest.raises(UserError, match=r"10737418240 in graph_b.tflite, more than any detector has .*don't trust this bundle"):
        load_bundle(zipped(bundle, tmp_path / "b.zip"))
    with pytest.raises(UserError, match="more than any detector has"):
        load_bundle(bundle)
    rewrite(bundle, lambda data: data["files"]["graph_b.tflite"].update(bytes=3 * 2**20))
    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(2**21, 2**20, 2**20))
    with pytest.raises(UserError, match=r"needs \d+ bytes in .*, which has 1048576; free some"):
        load_bundle(zipped(bundle, tmp_path / "c.zip"))
    assert unpacked == []


def test_a_member_that_grows_while_it_is_read(good, tmp_path, monkeypatch):
    """Its header understates it: the copy stops at the manifest's size."""
    original = zipfile.ZipExtFile.read
    grown = lambda self, n=-1: original(self, n) if "manifest" in self.name else b"x" * 4096  # noqa: E731
    monkeypatch.setattr(zipfile.ZipExtFile, "read", grown)
    with pytest.raises(UserError, match=r"cannot be unpacked .*larger than the manifest says"):
        load_bundle(zipped(good, tmp_path / "b.zip"))
