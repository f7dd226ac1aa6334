"""The files, headings, commands, options and lines of code in the documents exist; each command has a section."""

from __future__ import annotations

import json
import os
import re
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from detr2litert.convert.cli.main import cli
from detr2litert.convert.models.variants import VARIANTS
from tests.test_floors import FLOORS

ROOT = Path(__file__).parents[2]
_NOT_OURS = ("build", "node_modules")


def _documents() -> Iterator[Path]:
    for folder, inner, names in os.walk(ROOT):
        inner[:] = [name for name in inner if name not in _NOT_OURS and not name.startswith(".")]
        yield from (Path(folder) / name for name in names if name.endswith(".md"))


DOCUMENTS = sorted(_documents())
GUIDES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
"""Documents for users and contributors."""
README_BYTES = 12_000
SIX = ("lint", "residency", "numerics", "rewrites", "fp16", "host")
"""The gates that a published size passes with random weights; the first three where the others were not run."""
_BLOCK = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
_OTHER_WORDS = (
    r"at hand|held against|\banew\b|\bmend|as phones do|told (from|apart)|(comes?|came) to its end|\bharmless\b|"
    r"in the open|the safe way|bad use|the way out|not run, so not proven|where nothing else is said|(that|is|are) off\b|"
    r"nobody reads|for nobody|\bsunk\b|\bsink_gather|without a word|the delegate takes|takes every operator|the variant's own|"
    r"\bwants\b|numbers gate|op lint|made ready once|the figure stands|a word for"
)
"""A pattern of expressions for which the field has a standard term."""

documents = pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
guides = pytest.mark.parametrize("document", GUIDES, ids=lambda path: str(path.relative_to(ROOT)))


def text_of(document: Path) -> str:
    return document.read_text(encoding="utf-8")


def links(document: Path) -> list[str]:
    """The targets of its links and pictures, except links to the web."""
    prose = re.sub(r"`[^`\n]*`", "``", _BLOCK.sub("", text_of(document)))
    found = re.findall(r"\]\(\s*<?([^)\s>]+)", prose)
    found += re.findall(r'\b(?:href|src)="([^"]+)"', prose)
    return [link for link in found if not re.match(r"[a-z][a-z+.-]*:", link)]


def anchors(document: Path) -> set[str]:
    """The ids that GitHub assigns to a document's headings, and its explicit ones."""
    counts: dict[str, int] = {}
    found = set(re.findall(r'<a (?:id|name)="([^"]+)"', text_of(document)))
    for heading in re.findall(r"^#{1,6} +(.+?)(?: +#+)?$", _BLOCK.sub("", text_of(document)), re.MULTILINE):
        plain = re.sub(r"!?\[([^\]]*)\]\([^)]*\)", r"\1", heading).replace("`", "").replace("*", "")
        slug = re.sub(r"[^\w\- ]", "", plain.strip().lower()).replace(" ", "-")
        counts[slug] = counts.get(slug, -1) + 1
        found.add(f"{slug}-{counts[slug]}" if counts[slug] else slug)
    return found


def sections(document: Path) -> dict[str, str]:
    """The text under each heading of the second level."""
    parts = re.split(r"^## +(.+)$", text_of(document), flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


@documents
def test_every_link_leads_to_a_file_and_to_a_heading_in_it(document: Path) -> None:
    broken = []
    for link in links(document):
        path, _, anchor = link.partition("#")
        target = (document.parent / path).resolve() if path else document
        if not target.is_relative_to(ROOT) or not target.exists():
            broken.append(f"{link}: no such file")
        elif anchor and (target.suffix != ".md" or anchor not in anchors(target)):
            broken.append(f"{link}: no such heading")
    assert broken == []


def test_headings_get_githubs_anchors(tmp_path: Path) -> None:
    document = tmp_path / "a.md"
    document.write_text("# `run`, in 3 steps: *A → B* & [more](x.md)\n## Once\n## Once\n```\n# none\n```\n", encoding="utf-8")
    assert anchors(document) == {"run-in-3-steps-a--b--more", "once", "once-1"}


@documents
def test_every_command_and_option_exists(document: Path) -> None:
    for name, rest in re.findall(r"(?:\$ |`)detr2litert ([a-z][a-z-]*)([^\n`]*)", text_of(document)):
        assert name in cli.commands, name
        known = options(cli.commands[name])
        assert set(re.findall(r"--[a-z0-9-]+", rest)) <= known | {"--help"}, (name, rest)


def options(command: click.Command) -> set[str]:
    """A command's options by their long names, the negative ones included."""
    flags = [p for p in command.params if isinstance(p, click.Option)]
    return {name for flag in flags for name in (*flag.opts, *flag.secondary_opts) if name.startswith("--")} - {"--help"}


@pytest.mark.parametrize("name", cli.commands)
def test_every_command_has_a_section_with_all_its_options_and_no_others(name: str) -> None:
    section = sections(ROOT / "docs" / "commands.md").get(name)
    assert section is not None, f"docs/commands.md lacks '## {name}'"
    rows = re.findall(r"^\| (`--[^|]*) \|", section, re.MULTILINE)
    listed = {option for row in rows for option in re.findall(r"`(--[a-z0-9-]+)`", row)}
    if rows:
        assert listed == options(cli.commands[name])
    else:
        assert options(cli.commands[name]) <= set(re.findall(r"`(--[a-z0-9-]+)`", section))


@guides
def test_every_target_of_make_exists(document: Path) -> None:
    targets = set(re.findall(r"^([a-z-]+):", text_of(ROOT / "Makefile"), re.MULTILINE))
    assert set(re.findall(r"(?:^\$ |`)make ([a-z-]+)", text_of(document), re.MULTILINE)) <= targets


@guides
def test_every_module_to_run_exists(document: Path) -> None:
    for module in set(re.findall(r"python -m ([a-z_0-9.]+)", text_of(document))) - {"venv", "pytest", "pip"}:
        base = ROOT / ("src/" if module.startswith("detr2litert") else "") / module.replace(".", "/")
        assert base.with_suffix(".py").exists() or (base / "__main__.py").exists(), module


def test_the_readme_is_short_and_opens_with_three_commands() -> None:
    assert len((ROOT / "README.md").read_bytes()) <= README_BYTES
    opening = text_of(ROOT / "README.md").split("\n## ")[0]
    assert re.findall(r"^\$ ((?:pip|detr2litert) [a-z]+)", opening, re.MULTILINE) == [
        "pip install",
        "detr2litert run",
        "detr2litert push",
    ]
    assert 'src="docs/detections.png"' in opening


def test_the_readmes_table_of_families_is_the_catalogues() -> None:
    record = json.loads(text_of(ROOT / "docs" / "catalogue.json"))
    lines = re.findall(r"^\| ([A-Z][\w -]+) \|(.*)\|$", text_of(ROOT / "README.md").split("\n## ")[0], re.MULTILINE)
    table = {family: [re.findall(r"[a-z][\w-]*(?: \(\w+\))?", cell) for cell in row.split("|")] for family, row in lines}
    converted = {name: row for name, row in VARIANTS.items() if name in record}
    others = re.search(r"^Without a conversion at their published size: (.*)\.$", text_of(ROOT / "README.md"), re.MULTILINE)
    assert others is not None and others[1].split(", ") == [name for name in VARIANTS if name not in record]
    expected: dict[str, list[list[str]]] = {row.family.name: [[], [], [], []] for row in converted.values()}
    for name, row in converted.items():
        conversion = record[name]["conversion"]
        gates = conversion["gates"]
        failed = [gate for gate, verdict in gates.items() if verdict == "failed"]
        column = 3 if not conversion["random_weights"] else 2 if failed else 0 if gates.get("fp16") == "passed" else 1
        assert {gates[gate] for gate in (SIX if column == 0 else SIX[:3])} == {"passed"} or failed, name
        expected[row.family.name][column].append(f"{name} ({failed[0]})" if failed else name)
        assert conversion["random_weights"] or set(gates.values()) == {"passed"}, name
    assert table == expected


def test_the_drawing_has_every_room_on_its_floor() -> None:
    rooms = {}
    for shape in ET.parse(ROOT / "docs" / "architecture.svg").iter("{http://www.w3.org/2000/svg}rect"):
        if shape.get("id", "").startswith("room-"):
            rooms[shape.get("id", "").removeprefix("room-")] = float(shape.get("y", "nan"))
    assert set(rooms) == set(FLOORS)
    heights = [rooms[name] for name in FLOORS]
    assert heights == sorted(heights, reverse=True), "a room that imports another stands above it or beside it"
    assert " ← ".join(f"`{name}`" for name in FLOORS) in text_of(ROOT / "docs" / "architecture.md")


def test_the_diffs_are_in_the_tree() -> None:
    """Each added or context line of a diff is in the named file, in order; ``…`` marks omitted lines.

    A diff after ``<!-- diff: NAME -->`` is a placeholder and is skipped.
    """
    checked = 0
    diffs = re.compile(r"^(.*)\n```diff\n((?:(?!```).*\n)*)```$", re.MULTILINE)
    for before, diff in diffs.findall(text_of(ROOT / "CONTRIBUTING.md")):
        if before.startswith("<!-- diff:"):
            continue
        for path, body in re.findall(r"^\+\+\+ b/(\S+)\n(.*?)(?=^--- |\Z)", diff, re.MULTILINE | re.DOTALL):
            lines = iter(text_of(ROOT / path).splitlines())
            for line in body.splitlines():
                if line[:1] in ("+", " "):
                    assert line[1:] in lines, f"{path} lacks, in this order: {line[1:]}"
            checked += 1
    assert checked >= 9


@guides
def test_the_words_are_the_fields(document: Path) -> None:
    prose = re.sub(r"^```diff.*?^```$", "", text_of(document), flags=re.MULTILINE | re.DOTALL)
    assert [found.group() for found in re.finditer(_OTHER_WORDS, " ".join(prose.split()))] == []


@documents
def test_no_document_names_a_placeholder(document: Path) -> None:
    assert not re.search(r"@@|TODO|FIXME|XXX|/work/|(?<!/data/local)/tmp/", text_of(document))


def test_the_examples_in_python_compile_and_are_short() -> None:
    """Those of other projects' packages, which are not installed here."""
    blocks = re.findall(r"^```python\n(.*?)^```$", text_of(ROOT / "docs" / "proof.md"), re.MULTILINE | re.DOTALL)
    assert len(blocks) == 4
    for block in blocks:
        compile(block, "proof.md", "exec")
        assert "expected.json" in block and len([line for line in block.splitlines() if line]) <= 20
