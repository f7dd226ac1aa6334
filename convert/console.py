"""Consoles that wrap lines only for a terminal."""

from __future__ import annotations

import sys

from rich.console import Console

_UNWRAPPED = 100_000
"""Number of columns, more than any line has."""


def console(*, stderr: bool = False) -> Console:
    """Returns a console for standard output or error: as wide as the terminal, and without wrapping for a file or a pipe."""
    stream = sys.stderr if stderr else sys.stdout
    return Console(stderr=stderr, highlight=False, width=None if stream.isatty() else _UNWRAPPED)
