"""What the documents name exists: files, commands and options."""

from __future__ import annotations

import re
from pathlib import Path

import click
import pytest

from detr2litert.convert.cli import cli

ROOT = Path(__file__).parents[2]
DOCUMENTS = sorted(path for pattern in ("*.md", "convert/**/README.md", "android_sample/*.md") for path in ROOT.glob(pattern))


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_link_to_a_file_leads_to_one(document):
    links = re.findall(r"\]\(([^)#]+?)(?:#[^)]*)?\)", document.read_text(encoding="utf-8"))
    missing = [link for link in links if "://" not in link and not (document.parent / link).exists()]
    assert missing == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_command_and_option_exists(document):
    text = document.read_text(encoding="utf-8")
    for name, rest in re.findall(r"(?:\$ |`)detr2litert ([a-z][a-z-]*)([^\n`]*)", text):
        command = cli.commands.get(name)
        assert command is not None, name
        known = {option for parameter in command.params for option in parameter.opts if isinstance(parameter, click.Option)}
        assert set(re.findall(r"--[a-z-]+", rest)) <= known | {"--no-gpu", "--help"}, (name, rest)


def test_the_readme_opens_with_both_commands_and_they_are_in_the_makefile():
    opening = (ROOT / "README.md").read_text(encoding="utf-8").split("\n## ")[0]
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    assert {"run", "test"} <= set(re.findall(r"^\$ make ([a-z-]+)", opening, re.MULTILINE)) <= targets


def test_no_document_names_a_placeholder():
    for document in DOCUMENTS:
        assert not re.search(r"@@|TODO|FIXME|XXX|/work/|(?<!/data/local)/tmp/", document.read_text(encoding="utf-8")), document
