"""Generated passages in a document, each between its own two markers."""

from __future__ import annotations

from pathlib import Path

from detr2litert.host_runtime.errors import UserError


def insert(document: str, section: str, text: str) -> str:
    """``document`` with ``text`` between ``<!-- SECTION:begin -->`` and ``<!-- SECTION:end -->``.

    Raises:
        UserError: it lacks a marker, or has them in the wrong order.
    """
    begin, end = f"<!-- {section}:begin -->", f"<!-- {section}:end -->"
    before, found, rest = document.partition(begin)
    _, closed, after = rest.partition(end)
    if not found or not closed:
        raise UserError(f"the document has no {begin} with {end} after it; put both where the passage belongs")
    return f"{before}{begin}\n{text.strip()}\n{end}{after}"


def read_document(path: Path, section: str) -> str:
    """The text of a document that has the section's markers.

    Raises:
        UserError: it cannot be read, or it has not.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}") from error
    insert(text, section, "")
    return text
