"""Writes stubs of the classes that the Android build generates: `python tests/android/make_app_stubs.py MODULE OUT`.

Writes OUT/BuildConfig.kt and, for a module with resources, OUT/R.kt, for type-checking android_sample/detector and app without
Android's tools, from the module's build file and resources. Like those tools, it checks that every XML file parses, that every
referenced `@kind/name` is defined, and that the classes of custom views exist.
"""

from __future__ import annotations

import re
import sys
import xml.etree.ElementTree as ET
from collections import defaultdict
from pathlib import Path

# BuildConfig's fields in every module, and those only in an application.
_EVERY_FIELD = {"DEBUG": "Boolean", "BUILD_TYPE": "String"}
_APP_FIELDS = {"APPLICATION_ID": "String", "VERSION_CODE": "Int", "VERSION_NAME": "String"}
_REFERENCE = re.compile(r"@(\+?)(id|string|style|drawable|layout)/([\w.]+)")


def build_config(build_file: str) -> tuple[str, dict[str, str]]:
    """Returns the namespace and the types of BuildConfig's fields by name, from the text of a build.gradle.kts."""
    namespace = re.search(r'^\s*namespace = "([\w.]+)"$', build_file, re.MULTILINE)
    if namespace is None:
        raise ValueError("the build file names no namespace")
    fields = _EVERY_FIELD | (_APP_FIELDS if "libs.plugins.android.application" in build_file else {})
    own = re.findall(r'buildConfigField\("(\w+)", "(\w+)"', build_file)
    return namespace[1], fields | {name: kind for kind, name in own}


def resources(folder: Path) -> dict[str, set[str]]:
    """Returns resource names by kind: files of layout/ and drawable/, values by their tags, and the ids that layouts create."""
    found: dict[str, set[str]] = defaultdict(set)
    for path in sorted(folder.rglob("*.xml")):
        root = ET.parse(path).getroot()
        kind = path.parent.name.split("-")[0]
        if kind == "values":
            for item in root:
                found[item.tag].add(item.attrib["name"])
        else:
            found[kind].add(path.stem)
        found["id"].update(name for plus, _, name in _REFERENCE.findall(path.read_text()) if plus)
    return found


def problems(module: Path, package: str, found: dict[str, set[str]]) -> list[str]:
    """Returns the undefined references in XML, and the views without a class."""
    wrong = []
    for path in sorted(module.glob("src/**/*.xml")):
        text = path.read_text()
        ET.fromstring(text)
        references = {(kind, name) for _, kind, name in _REFERENCE.findall(text)}
        wrong += [f"{path}: @{kind}/{name} is not defined" for kind, name in sorted(references) if name not in found[kind]]
        classes = re.findall(rf"<({re.escape(package)}[\w.]+)", text)
        classes += [f"{package}.{name}" for name in re.findall(r'android:name="\.(\w+)"', text)]
        wrong += [f"{path}: there is no class {name}" for name in classes if not _source(module, name).is_file()]
    return wrong


def _source(module: Path, name: str) -> Path:
    return (module / "src/main/kotlin" / Path(*name.split("."))).with_suffix(".kt")


def main(module: Path, out: Path) -> int:
    """Writes the files; returns 1 if a reference is undefined."""
    package, fields = build_config((module / "build.gradle.kts").read_text())
    found = resources(module / "src/main/res")
    wrong = problems(module, package, found)
    for line in wrong:
        print(line, file=sys.stderr)
    out.mkdir(parents=True, exist_ok=True)
    head = ["// STUB for type-checking only, written by make_app_stubs.py", f"package {package}", ""]
    values = [f"    val {name}: {kind} = TODO()" for name, kind in fields.items()]
    (out / "BuildConfig.kt").write_text("\n".join([*head, "object BuildConfig {", *values, "}", ""]))
    if found:
        lines = [*head, "object R {"]
        for kind in sorted(found):
            lines.append(f"    object {kind} {{")
            names = [name.replace(".", "_") for name in sorted(found[kind])]
            lines += [f"        const val {name} = {index}" for index, name in enumerate(names, 1)]
            lines.append("    }")
        (out / "R.kt").write_text("\n".join([*lines, "}", ""]))
    return bool(wrong)


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit("usage: python tests/android/make_app_stubs.py MODULE OUT")
    sys.exit(main(Path(sys.argv[1]), Path(sys.argv[2])))
