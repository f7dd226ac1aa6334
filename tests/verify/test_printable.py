"""Names from a file, on a terminal."""

from __future__ import annotations

import pytest

from detr2litert.verify.printable import printable


@pytest.mark.parametrize(
    ("raw", "shown"),
    [
        ("\x1b[2J\x1b]0;title\x07", "\\x1b[2J\\x1b]0;title\\x07"),
        ("a\r\nb\x00\x9b31m", "a\\r\\nb\\x00\\x9b31m"),
        ("\u202egnp.exe\u200b", "\\u202egnp.exe\\u200b"),
        ("\udcff", "\\udcff"),
        ("model/norm [1, 2] é 日本 →", "model/norm [1, 2] é 日本 →"),
        ("", ""),
    ],
)
def test_invisible_characters_are_escaped(raw: str, shown: str) -> None:
    assert printable(raw) == shown
