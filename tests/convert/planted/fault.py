"""Planted faults, and how they are inserted into the compiler's pipeline."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import pytest
from torch import fx

from detr2litert.graphs.partition import Layout
from detr2litert.rewrites import pipeline
from detr2litert.rewrites.contract import Findings, Rewrite

BOTH = ("tiny", "dfine-tiny")
Plant = Callable[[pytest.MonkeyPatch], None]
Mutation = Callable[[fx.GraphModule], int]
"""Changes a graph in place; returns the number of places it changed."""


class Planted(Protocol):
    """What all kinds of faults have: a name, which is their text, and the detectors that they affect."""

    @property
    def detectors(self) -> tuple[str, ...]: ...


@dataclass(frozen=True)
class Fault:
    """One mistake that a compiler or a bundle could have.

    Attributes:
        name: a description.
        plant: inserts it, until the patches are undone.
        place: regular expression of the fault's place, which the failing gate's finding must match.
        detectors: those that the fault affects.
        layout: how the detector is cut, where the fault needs another layout than the target's.
        native: the fault is in the native form, which is compiled only then.
    """

    name: str
    plant: Plant
    place: str
    detectors: tuple[str, ...] = BOTH
    layout: Layout | None = None
    native: bool = False

    def __str__(self) -> str:
        return self.name.replace(" ", "-")


def cases(faults: Sequence[Planted]) -> list[object]:
    """A test's parameters: every fault with each of its detectors.

    Continuous integration tests each fault with one of them, in turns; the slow lane with the others.
    """
    return [
        pytest.param(detector, fault, id=f"{fault}-{detector}", marks=[] if turn else pytest.mark.slow)
        for number, fault in enumerate(faults)
        for place, detector in enumerate(fault.detectors)
        for turn in [place == number % len(fault.detectors)]
    ]


def after(step: str, mutation: Mutation) -> Plant:
    """A rewrite followed by a fault."""

    def plant(patch: pytest.MonkeyPatch) -> None:
        for group in ("NORMALISE", "LOWER", "PROTECT", "LAY_OUT"):
            steps = [
                replace(item, rewrite=_followed_by(item.rewrite, mutation)) if item.name == step else item
                for item in getattr(pipeline, group)
            ]
            patch.setattr(pipeline, group, tuple(steps))

    return plant


def _followed_by(rewrite: Rewrite, mutation: Mutation) -> Rewrite:
    @functools.wraps(rewrite.run)
    def wrong(graph_module: fx.GraphModule, **options: object) -> Findings:
        findings = rewrite.run(graph_module, **options)
        mutation(graph_module)
        graph_module.recompile()
        return findings

    return replace(rewrite, run=wrong)
