"""``convert app-assets``: exactly the bundle's files, whole or not at all."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from detr2litert.convert.commands import app_assets as assets_module
from detr2litert.host_runtime.bundle import load_bundle
from detr2litert.host_runtime.manifest import NativeFiles
from tests.convert.command import assert_refused, invoke, tree
from tests.host_runtime import tiny_bundle


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    """A handmade bundle, with a report that is not part of it in the same folder."""
    place = tmp_path / "bundle"
    tiny_bundle.write_bundle(place)
    (place / "report.html").write_text("not of the bundle")
    return place


@pytest.fixture
def sample(tmp_path: Path) -> Path:
    """The part of the Android project that the command checks."""
    place = tmp_path / "android_sample"
    (place / "app/src/main/kotlin").mkdir(parents=True)
    return place


def assets(sample: Path) -> Path:
    return sample / "app/src/main/assets/bundles"


def listed(bundle: Path) -> set[str]:
    """The bundle's files and the folders they are in."""
    files = {*load_bundle(bundle).manifest.files, "manifest.json"}
    return files | {parent.as_posix() for name in files for parent in Path(name).parents if parent != Path()}


def test_exactly_the_bundles_files(bundle: Path, sample: Path) -> None:
    outcome = invoke("app-assets", bundle, "--sample", sample)
    assert outcome.code == 0, outcome
    (made,) = assets(sample).iterdir()
    assert outcome.stdout == f"{made}\n"
    assert tree(made) == listed(bundle)
    load_bundle(made)
    assert (made / "manifest.json").read_bytes() == (bundle / "manifest.json").read_bytes()


def test_the_files_of_the_native_form_too(tmp_path: Path, sample: Path) -> None:
    native = NativeFiles("graph_a.tflite", "graph_b.native.tflite")
    tiny_bundle.write_bundle(tmp_path / "native", {native.b: tiny_bundle.graph_b()}, native=native)
    assert invoke("app-assets", tmp_path / "native", "--sample", sample).code == 0
    (made,) = assets(sample).iterdir()
    assert native.b in tree(made)
    assert load_bundle(made).manifest.native == native


def test_a_zip(bundle: Path, sample: Path, tmp_path: Path) -> None:
    zipped = shutil.make_archive(str(tmp_path / "packed"), "zip", bundle)
    assert invoke("app-assets", zipped, "--sample", sample).code == 0
    (made,) = assets(sample).iterdir()
    assert tree(made) == listed(bundle)


def test_an_older_copy_is_replaced_and_other_files_are_kept(bundle: Path, sample: Path) -> None:
    assert invoke("app-assets", bundle, "--sample", sample).code == 0
    (made,) = assets(sample).iterdir()
    (made / "graph_a.tflite").write_bytes(b"older")
    (made / "golden/of_an_older_version.bin").touch()
    (assets(sample) / "another").mkdir()
    assert invoke("app-assets", bundle, "--sample", sample).code == 0
    assert tree(made) == listed(bundle)
    load_bundle(made)
    assert {path.name for path in assets(sample).iterdir()} == {made.name, "another"}


def test_the_sample_of_this_folder_is_the_default(bundle: Path, sample: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(sample.parent)
    assert invoke("app-assets", bundle).code == 0
    assert len(list(assets(sample).iterdir())) == 1


def test_an_invalid_bundle(bundle: Path, sample: Path) -> None:
    (bundle / "graph_b.tflite").write_bytes(b"changed")
    assert_refused(invoke("app-assets", bundle, "--sample", sample), "graph_b.tflite")
    assert_refused(invoke("app-assets", sample, "--sample", sample), "no manifest.json")
    assert_refused(invoke("app-assets", bundle / "none", "--sample", sample), "no bundle at")
    assert not assets(sample).exists()


def test_a_folder_that_is_not_the_sample(bundle: Path, tmp_path: Path) -> None:
    for place in (tmp_path / "none", bundle, bundle / "manifest.json"):
        before = tree(tmp_path)
        assert_refused(invoke("app-assets", bundle, "--sample", place), "is not the Android sample's project", "--sample")
        assert tree(tmp_path) == before


def test_a_full_disk_preserves_the_older_copy(bundle: Path, sample: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert invoke("app-assets", bundle, "--sample", sample).code == 0
    before = tree(sample)
    copy, copied = shutil.copyfile, []

    def fills(source: Path, target: Path) -> Path:
        if len(copied) == 2:
            target.write_bytes(b"half")
            raise OSError(28, "No space left on device")
        copied.append(target)
        return Path(copy(source, target))

    monkeypatch.setattr(assets_module.shutil, "copyfile", fills)
    assert_refused(invoke("app-assets", bundle, "--sample", sample), "cannot be written (No space left on device)", "--sample")
    assert tree(sample) == before
    load_bundle(next(assets(sample).iterdir()))


def test_a_file_in_its_place(bundle: Path, sample: Path) -> None:
    assets(sample).parent.mkdir()
    assets(sample).write_text("a file")
    assert_refused(invoke("app-assets", bundle, "--sample", sample), "cannot be written", "--sample")
    assert assets(sample).read_text() == "a file"
