"""The fix-ups in order."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from rewrites.base import Site
from rewrites.flatbuffer.editor import FlatbufferEditor
from rewrites.flatbuffer.isolate_outputs import isolate_outputs
from rewrites.flatbuffer.restore_rank import restore_rank

FIX_UPS: tuple[Callable[[FlatbufferEditor], list[Site]], ...] = (restore_rank, isolate_outputs)
"""Independent of one another; each leaves what the other looks for alone."""


def fix_up(source: Path, target: Path) -> dict[str, list[Site]]:
    """Write ``target`` as ``source`` with every fix-up applied; return where each fired."""
    editor = FlatbufferEditor(source)
    fired = {step.__name__: step(editor) for step in FIX_UPS}
    editor.save(target)
    return fired
