"""The expected texts on disk, and the texts of the current compiler."""

from __future__ import annotations

import difflib
from pathlib import Path

from detr2litert.convert.compiler import compile_detector
from detr2litert.convert.models.reference import build_reference
from detr2litert.convert.models.variants import VARIANTS
from detr2litert.convert.targets import find_target
from tests.convert.shrunken import shrunken
from tests.expected.render import render

FOLDER = Path(__file__).parent
TARGET = "pixel"
"""The target with the most rewrites: tokens as maps, protected norms, and the selected tokens' tail on the host."""
HINT = "If the change is intended: run `make expected`, and commit the files with it."


def path_of(name: str) -> Path:
    """The path of a variant's text."""
    return FOLDER / f"{name}.txt"


def compiled_text(name: str, seed: int = 0) -> str:
    """A variant's text from the current compiler, with random weights of a seed."""
    reference = build_reference(shrunken(name), seed=seed)
    size = f"{reference.size.height} px, {reference.num_queries} queries, {reference.logit_columns} classes"
    return render(f"{name} for {TARGET}: {size}", compile_detector(reference, find_target(TARGET).profile))


def difference(name: str, text: str) -> str:
    """A unified diff from the expected text to this one, with advice; "" if they are equal."""
    path = path_of(name)
    expected = path.read_text(encoding="utf-8") if path.exists() else ""
    diff = difflib.unified_diff(
        expected.splitlines(), text.splitlines(), f"{path.name} (expected)", "compiled now", lineterm=""
    )
    return "\n".join([*diff, "", HINT]) if text != expected else ""


def stale_files() -> list[Path]:
    """Texts without a variant."""
    return sorted(path for path in FOLDER.glob("*.txt") if path.stem not in VARIANTS)
