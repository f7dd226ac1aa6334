"""The Android project's modules are layered and import only declared dependencies."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

SAMPLE = Path(__file__).parents[2] / "android_sample"
# Each module's declared dependencies (without tests), equal to check.sh's class paths.
DECLARED = {
    "core": set(),
    "detector": {'api(project(":core"))', "implementation(libs.litert)", "implementation(libs.litert.gpu)"},
    "app": {'implementation(project(":detector"))'},
}
# Forbidden imports. Android's jar is on :core's class path in check.sh as its class library, so the compiler would not notice
# an `android.` there.
FORBIDDEN = {
    "core": ("android.", "androidx.", "com.google.", "org.detr2litert.detector", "org.detr2litert.sample"),
    "detector": ("androidx.", "org.detr2litert.sample", "android.view.", "android.widget.", "android.app."),
    "app": ("androidx.", "com.google."),
}


def test_the_modules_are_those_of_the_build() -> None:
    (included,) = re.findall(r"^include\((.*)\)$", (SAMPLE / "settings.gradle.kts").read_text(), re.MULTILINE)
    assert re.findall(r'":(\w+)"', included) == list(DECLARED)


@pytest.mark.parametrize("module", DECLARED)
def test_declared_dependencies(module: str) -> None:
    text = (SAMPLE / module / "build.gradle.kts").read_text()
    lines = re.findall(r"^    ((?:api|implementation|compileOnly|runtimeOnly)\(.*\))(?: //.*)?$", text, re.MULTILINE)
    assert set(lines) == DECLARED[module]


@pytest.mark.parametrize("module", DECLARED)
def test_imports(module: str) -> None:
    sources = sorted(SAMPLE.glob(f"{module}/src/main/kotlin/**/*.kt"))
    assert sources
    used = {(path.name, name) for path in sources for name in re.findall(r"^import ([\w.]+)", path.read_text(), re.MULTILINE)}
    assert {(path, name) for path, name in used if name.startswith(FORBIDDEN[module])} == set()


@pytest.mark.parametrize("module", DECLARED)
def test_a_file_is_in_its_packages_folder(module: str) -> None:
    for path in sorted(SAMPLE.glob(f"{module}/src/*/kotlin/**/*.kt")):
        root = next(parent for parent in path.parents if parent.name == "kotlin")
        (package,) = re.findall(r"^package ([\w.]+)$", path.read_text(), re.MULTILINE)
        assert path.parent.relative_to(root).as_posix() == package.replace(".", "/"), path
