"""Text from a file, made safe to print.

A tensor's name is whatever bytes its maker wrote. Printed as it is, it can recolour or clear a terminal, set its title, or turn
the rest of the line around.
"""

from __future__ import annotations


def printable(text: str) -> str:
    r"""The text with every character that is no visible one, and no space, as its escape: ``\x1b``, ``\n``, ``\u202e``.

    Visible is what ``str.isprintable`` says: control and format characters, lone surrogates and separators are not.
    """
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)
