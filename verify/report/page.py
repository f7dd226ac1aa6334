"""Shared by every HTML report: the template environment and the marks of the verdicts."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

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
    environment.filters.update(slug=slug, **filters)
    return environment


def slug(text: str) -> str:
    """Converts a name to a part of a CSS class or an anchor."""
    return str(text).replace(" ", "-")
