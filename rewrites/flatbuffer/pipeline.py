"""The fix-ups in order."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from detr2litert.host_runtime.tflite.editor import FlatbufferEditor
from detr2litert.rewrites.contract import Site, document_of
from detr2litert.rewrites.driver import StepReport
from detr2litert.rewrites.flatbuffer.isolate_outputs import isolate_outputs
from detr2litert.rewrites.flatbuffer.restore_rank import restore_rank


@dataclass(frozen=True)
class FixUp:
    """A fix-up and the reason for its place in the order."""

    apply: Callable[[FlatbufferEditor], list[Site]]
    reason: str

    @property
    def name(self) -> str:
        return self.apply.__name__

    @property
    def document(self) -> str:
        """The docstring of the fix-up's module."""
        return document_of(self.apply)


FIX_UPS: tuple[FixUp, ...] = (
    FixUp(restore_rank, "a reshape in the graph would be canonicalised away by the converter"),
    FixUp(isolate_outputs, "the converter would merge two equal ops; last, so that it copies fixed ops"),
)
"""Fixes that can only be applied to the converted file."""


def fix_up(source: Path, target: Path) -> tuple[StepReport, ...]:
    """Applies every fix-up to ``source``, writes ``target``, and returns a report for each fix-up."""
    editor = FlatbufferEditor(source)
    reports = []
    for step in FIX_UPS:
        before = len(editor.subgraph.operators)
        fired = step.apply(editor)
        reports.append(StepReport(step.name, step.reason, tuple(fired), before, len(editor.subgraph.operators)))
    editor.save(target)
    return tuple(reports)
