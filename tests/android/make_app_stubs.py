"""Stand-ins for what the Android build generates: `python tests/android/make_app_stubs.py APP OUT`.

Writes OUT/R.kt and OUT/BuildConfig.kt for type-checking android_sample/app without Android's tools, from the app's own
resources. Checks on the way what those tools would: every XML file parses, every `@kind/name` that it mentions is defined,
and a view of the app's own class exists.
"""

from __future__ import annotations

import re
import sys
import xml.etree.ElementTree as ET
from collections import defaultdict
from pathlib import Path

PACKAGE = "org.detr2litert.sample"
# What build.gradle.kts writes into BuildConfig.
BUILD_CONFIG = {"VERSION_NAME": "String", "LITERT_VERSION": "String", "DEBUG": "Boolean"}
_REFERENCE = re.compile(r"@(\+?)(id|string|style|drawable|layout)/([\w.]+)")


def resources(folder: Path) -> dict[str, set[str]]:
    """Resource names by kind: files of layout/ and drawable/, values by their tags, and the ids that layouts create."""
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


def problems(app: Path, found: dict[str, set[str]]) -> list[str]:
    """References in XML to what is not defined, and views without a class."""
    wrong = []
    for path in sorted(app.glob("src/**/*.xml")):
        text = path.read_text()
        references = {(kind, name) for _, kind, name in _REFERENCE.findall(text)}
        wrong += [f"{path}: @{kind}/{name} is not defined" for kind, name in sorted(references) if name not in found[kind]]
        classes = re.findall(rf"<({re.escape(PACKAGE)}[\w.]+)", text)
        classes += [f"{PACKAGE}.{name}" for name in re.findall(r'android:name="\.(\w+)"', text)]
        wrong += [f"{path}: there is no class {name}" for name in classes if not _source(app, name).is_file()]
    return wrong


def _source(app: Path, name: str) -> Path:
    return (app / "src/main/kotlin" / Path(*name.split("."))).with_suffix(".kt")


def main(app: Path, out: Path) -> int:
    """Write both files; returns 1 if a reference leads nowhere."""
    found = resources(app / "src/main/res")
    wrong = problems(app, found)
    for line in wrong:
        print(line, file=sys.stderr)
    out.mkdir(parents=True, exist_ok=True)
    lines = ["// STUB for type-checking only, written by make_app_stubs.py", f"package {PACKAGE}", "", "object R {"]
    for kind in sorted(found):
        lines.append(f"    object {kind} {{")
        lines += [f"        const val {name.replace('.', '_')} = {index}" for index, name in enumerate(sorted(found[kind]), 1)]
        lines.append("    }")
    (out / "R.kt").write_text("\n".join([*lines, "}", ""]))
    fields = [f"    val {name}: {kind} = TODO()" for name, kind in BUILD_CONFIG.items()]
    (out / "BuildConfig.kt").write_text("\n".join([*lines[:3], "object BuildConfig {", *fields, "}", ""]))
    return bool(wrong)


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit("usage: python tests/android/make_app_stubs.py APP OUT")
    sys.exit(main(Path(sys.argv[1]), Path(sys.argv[2])))
