"""The one error a user can cause."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

REMAKE = "make the bundle again with `convert run`"
"""What to do about a bundle that cannot be used."""


class UserError(Exception):
    """Bad input or bad use, said in one line: what is wrong, where, and what to do next.

    The command line prints the message without a traceback and exits with 2. Anything else that is raised is a fault of ours.
    """


@contextmanager
def readable(path: Path) -> Iterator[None]:
    """Within this, a path that the system will not look at or read (no permission, a name too long) is the user's error.

    Even ``Path.exists`` and ``Path.is_dir`` raise for such a path.
    """
    try:
        yield
    except OSError as error:
        raise UserError(f"{error.filename or path} cannot be read ({reason(error)}); give a path that can") from error


def reason(error: OSError) -> str:
    """What the system says of it, without number and path: ``"permission denied"``."""
    return (error.strerror or str(error)).lower()
