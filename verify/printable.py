"""Makes text from a file safe to print.

A tensor's name can hold any bytes. Printed unchanged, they can recolour or clear a terminal, set its title, or reverse the rest
of the line.
"""

from __future__ import annotations


def printable(text: str) -> str:
    r"""Escapes every character that is neither visible nor a space: ``\x1b``, ``\n``, ``\u202e``.

    Visible is what ``str.isprintable`` accepts: not control and format characters, lone surrogates and separators.
    """
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)
