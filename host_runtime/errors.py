"""The errors that a user can cause."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

REMAKE = "make the bundle again with `convert run`"
"""Advice for a bundle that cannot be used."""


class UserError(Exception):
    """Bad input or a usage error; the message says in one line what is wrong, where, and what to do.

    The command line prints the message without a traceback and exits with 2. Any other exception is a defect of this project.
    """


class BusyError(UserError):
    """An object that only one thread at a time may use was called while another thread was in it; nothing was mixed."""


@contextmanager
def readable(path: Path) -> Iterator[None]:
    """Raises ``UserError`` for an ``OSError`` in its block: a path that cannot be read (no permission, a name too long).

    Even ``Path.exists`` and ``Path.is_dir`` raise for such a path.
    """
    try:
        yield
    except OSError as error:
        raise UserError(f"{error.filename or path} cannot be read ({reason(error)}); give a path that can") from error


def reason(error: OSError) -> str:
    """Returns the system's reason, without number and path: ``"permission denied"``."""
    return (error.strerror or str(error)).lower()
