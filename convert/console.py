"""Consoles that wrap lines for a terminal, and for nothing else."""

from __future__ import annotations

import sys

from rich.console import Console

_UNWRAPPED = 100_000
"""Columns: more than any line has."""


def console(*, stderr: bool = False) -> Console:
    """Standard output or error: as wide as the terminal, or, for a file or a pipe, as wide as the longest line."""
    stream = sys.stderr if stderr else sys.stdout
    return Console(stderr=stderr, highlight=False, width=None if stream.isatty() else _UNWRAPPED)
