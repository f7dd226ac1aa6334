"""Extracts the README's example of another app for compilation: `python tests/android/readme_example.py README OUT`.

The README must have exactly one block of Kotlin, of at most 20 lines. check.sh compiles what this writes, so a reader is shown
nothing that does not compile.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

MOST_LINES = 20
_BLOCK = re.compile(r"^```kotlin\n(.*?)^```$", re.MULTILINE | re.DOTALL)


class ExampleError(Exception):
    """The README does not contain exactly one example."""


def example(text: str) -> str:
    """Returns the source of the only Kotlin block in a document.

    Raises:
        ExampleError: there is none, more than one, or it is too long.
    """
    blocks = _BLOCK.findall(text)
    if len(blocks) != 1:
        raise ExampleError(f"{len(blocks)} blocks of Kotlin, not one")
    lines = blocks[0].count("\n")
    if lines > MOST_LINES:
        raise ExampleError(f"the example has {lines} lines, more than {MOST_LINES}")
    return str(blocks[0])


def main(readme: Path, out: Path) -> int:
    """Writes the example to the file `out`; returns 1 if there is not exactly one, or it is too long."""
    try:
        source = example(readme.read_text(encoding="utf-8"))
    except ExampleError as error:
        print(f"{readme}: {error}", file=sys.stderr)
        return 1
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(source, encoding="utf-8")
    return 0


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit("usage: python tests/android/readme_example.py README OUT")
    sys.exit(main(Path(sys.argv[1]), Path(sys.argv[2])))
