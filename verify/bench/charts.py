"""The drawings of the page: a stacked bar of a frame's stages, and a histogram of whole frames."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from detr2litert.verify.bench.record import ContenderRecord
from detr2litert.verify.bench.stages import FRAME, STAGES

WIDTH, HEIGHT = 1000.0, 90.0
_BINS = 40
_CLIPPED = 99.0


@dataclass(frozen=True)
class Part:
    """One stage in a bar: its style (its place in ``STAGES``), and left edge and width in per cent of the longest bar."""

    stage: str
    style: int
    left: float
    width: float
    milliseconds: float


@dataclass(frozen=True)
class Bar:
    """A contender's median frame as the sum of its stages' medians."""

    name: str
    parts: tuple[Part, ...]
    milliseconds: float


@dataclass(frozen=True)
class Column:
    """One bin of a histogram, in the drawing's units."""

    x: float
    width: float
    height: float
    title: str


@dataclass(frozen=True)
class Histogram:
    """A contender's whole frames; all contenders of a page share the axis.

    Attributes:
        name: of the contender.
        columns: without the empty ones.
        median, p95: positions on the axis.
        low, high: the axis' ends in milliseconds.
        beyond: frames above its end, which is the 99th percentile of the slowest contender's frames.
    """

    name: str
    columns: tuple[Column, ...]
    median: float
    p95: float
    low: float
    high: float
    beyond: int


def bars(contenders: Sequence[ContenderRecord]) -> tuple[Bar, ...]:
    """Returns a bar for each contender, on one scale."""
    medians = [
        {stage: figures.median for stage, figures in contender.summary.items() if stage != FRAME} for contender in contenders
    ]
    longest = max(sum(stages.values()) for stages in medians) or 1.0
    found = []
    for contender, stages in zip(contenders, medians, strict=True):
        parts: list[Part] = []
        left = 0.0
        for stage, milliseconds in stages.items():
            width = 100 * milliseconds / longest
            parts.append(Part(stage, STAGES.index(stage), left, width, milliseconds))
            left += width
        found.append(Bar(contender.name, tuple(parts), sum(stages.values())))
    return tuple(found)


def histograms(contenders: Sequence[ContenderRecord]) -> tuple[Histogram, ...]:
    """Returns a histogram for each contender, on one axis."""
    frames = [np.asarray(contender.frames.stages[FRAME]) for contender in contenders]
    low = float(min(times.min() for times in frames))
    high = float(max(np.percentile(times, _CLIPPED) for times in frames))
    high = high if high > low else low + 1.0
    edges = np.linspace(low, high, _BINS + 1)
    found = []
    for contender, times in zip(contenders, frames, strict=True):
        counts, _ = np.histogram(times, edges)
        most = max(int(counts.max()), 1)
        step = WIDTH / _BINS
        columns = tuple(
            Column(
                i * step,
                0.9 * step,
                HEIGHT * int(count) / most,
                f"{edges[i]:.2f} to {edges[i + 1]:.2f} ms: {int(count)} of {times.size} frames",
            )
            for i, count in enumerate(counts)
            if count
        )
        summary = contender.summary[FRAME]
        found.append(
            Histogram(
                contender.name,
                columns,
                _position(summary.median, low, high),
                _position(summary.p95, low, high),
                low,
                high,
                int((times > high).sum()),
            )
        )
    return tuple(found)


def _position(milliseconds: float, low: float, high: float) -> float:
    return WIDTH * min(max((milliseconds - low) / (high - low), 0.0), 1.0)
