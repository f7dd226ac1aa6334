"""The one error a user can cause."""

from __future__ import annotations


class UserError(Exception):
    """Bad input or bad use, said in one line: what is wrong, where, and what to do next.

    The command line prints the message without a traceback and exits with 2. Anything else that is raised is a fault of ours.
    """
