"""Inserts generated passages into a document, each between its own two markers."""

from __future__ import annotations

from pathlib import Path

from detr2litert.host_runtime.errors import UserError


def insert(document: str, section: str, text: str) -> str:
    """Returns ``document`` with ``text`` between ``<!-- SECTION:begin -->`` and ``<!-- SECTION:end -->``.

    Raises:
        UserError: a marker is missing, or they are in the wrong order.
    """
    begin, end = f"<!-- {section}:begin -->", f"<!-- {section}:end -->"
    before, found, rest = document.partition(begin)
    _, closed, after = rest.partition(end)
    if not found or not closed:
        raise UserError(f"the document has no {begin} followed by {end}; insert both where the passage belongs")
    return f"{before}{begin}\n{text.strip()}\n{end}{after}"


def read_document(path: Path, section: str) -> str:
    """Reads a document that has the section's markers.

    Raises:
        UserError: it cannot be read, or has no such markers.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}") from error
    insert(text, section, "")
    return text
