"""Shared by every HTML report: the template environment and the marks of the verdicts."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape

from detr2litert.verify.gates import Verdict

MARKS = {Verdict.PASSED: "✓", Verdict.FAILED: "✕", Verdict.NOT_RUN: "–"}


def page_environment(**filters: Callable[..., Any]) -> Environment:
    """Returns an environment for templates below verify/ that escapes all values and lets none be missing, with own filters."""
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parents[1]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(slug=slug, words=words, **filters)
    return environment


def words(name: str) -> Markup:
    """Lets a browser break the name of an operator or a graph after a colon or a full stop."""
    return Markup(re.sub(r"([:.])", r"\1<wbr>", str(escape(name))))


def slug(text: str) -> str:
    """Converts a name to a part of a CSS class or an anchor."""
    return str(text).replace(" ", "-")
