"""Stubs of generated code are written from the app's resources, and undefined references are reported."""

from __future__ import annotations

import shutil
from pathlib import Path

import make_app_stubs
import pytest

APP = Path(__file__).parents[2] / "android_sample" / "app"
DETECTOR = APP.with_name("detector")


def test_the_app_as_it_is(tmp_path: Path, capsys):
    assert make_app_stubs.main(APP, tmp_path) == 0
    assert capsys.readouterr().err == ""
    text = (tmp_path / "R.kt").read_text()
    assert "object string {" in text and "const val activity_main = " in text and "const val overlay = " in text
    assert "val VERSION_NAME: String" in (tmp_path / "BuildConfig.kt").read_text()


def test_the_library_as_it_is(tmp_path: Path, capsys):
    assert make_app_stubs.main(DETECTOR, tmp_path) == 0
    assert capsys.readouterr().err == ""
    assert [path.name for path in tmp_path.iterdir()] == ["BuildConfig.kt"], "it has no resources"
    text = (tmp_path / "BuildConfig.kt").read_text()
    assert "package org.detr2litert.detector\n" in text and "val LITERT_VERSION: String" in text
    assert "VERSION_NAME" not in text, "a library has none"


def test_a_build_file_without_a_namespace():
    with pytest.raises(ValueError, match="names no namespace"):
        make_app_stubs.build_config("plugins { }\n")


def test_undefined_references(tmp_path: Path, capsys):
    app = tmp_path / "app"
    shutil.copytree(APP / "src", app / "src")
    shutil.copy(APP / "build.gradle.kts", app)
    layout = app / "src/main/res/layout/activity_main.xml"
    layout.write_text(layout.read_text().replace("@string/live", "@string/alive").replace("ui.DetectionOverlay", "ui.Overlay"))
    (app / "src/main/kotlin/org/detr2litert/sample/MainActivity.kt").unlink()
    assert make_app_stubs.main(app, tmp_path / "out") == 1
    lines = capsys.readouterr().err.splitlines()
    assert [line.split(": ")[1] for line in lines] == [
        "there is no class org.detr2litert.sample.MainActivity",
        "@string/alive is not defined",
        "there is no class org.detr2litert.sample.ui.Overlay",
    ]
