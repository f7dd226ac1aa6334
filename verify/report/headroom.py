"""The fp16 headroom of each layer, from the range analysis, and its chart.

A bar's height is the number of powers of two between the largest value, or partial sum, of a layer and 65504.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from detr2litert.graphs.delegate import MIN_HEADROOM

_WIDTH, _HEIGHT, _BELOW = 1000.0, 200.0, 24.0
_MOST = 20.0
_SHOWN = 12


@dataclass(frozen=True)
class RangeRecord:
    """The value range of one operator of a graph, on the calibration pictures, before any rewrite protected it.

    Attributes:
        graph, node, op, module: where; the module is the dotted path in the PyTorch detector.
        largest: of |x|.
        partial_sum: largest |prefix| of its sums; None where it sums nothing.
        bound: largest sum of absolute terms, an upper bound for every order of summation; None likewise.
        headroom: powers of two between the larger of both and 65504; below zero it overflows.
        blurred: integers in it that fp16 cannot distinguish.
        protected: the rewrite that keeps it inside fp16; "" where the plain form ships.
    """

    graph: str
    node: str
    op: str
    module: str
    largest: float
    partial_sum: float | None
    bound: float | None
    headroom: float
    blurred: bool
    protected: str

    @classmethod
    def from_json(cls, record: Mapping[str, Any]) -> RangeRecord:
        """Reads a record of ``report.json``, where a non-finite figure is a string."""
        figures = {
            name: None if record[name] is None else float(record[name])
            for name in ("largest", "partial_sum", "bound", "headroom")
        }
        return cls(**{**record, **figures})

    @property
    def state(self) -> str:
        """``"protected"``, ``"over"`` (it overflows), ``"near"`` (with too little headroom) or ``"fits"``."""
        if self.protected:
            return "protected"
        return "over" if self.headroom < 0 else "near" if self.headroom < MIN_HEADROOM else "fits"


@dataclass(frozen=True)
class Bar:
    """A layer in the chart: its position and size in the drawing's units, its style, and its description."""

    x: float
    y: float
    width: float
    height: float
    state: str
    title: str


@dataclass(frozen=True)
class Chart:
    """One graph's layers, and its operators with the least headroom."""

    graph: str
    bars: tuple[Bar, ...]
    least: tuple[RangeRecord, ...]
    blurred: tuple[RangeRecord, ...]

    width, height, zero = _WIDTH, _HEIGHT + _BELOW, _HEIGHT
    spare = _HEIGHT * (1 - MIN_HEADROOM / _MOST)
    most = _MOST


def charts(records: Iterable[RangeRecord]) -> tuple[Chart, ...]:
    """Returns a chart for every graph, in order."""
    by_graph: dict[str, list[RangeRecord]] = {}
    for record in records:
        by_graph.setdefault(record.graph, []).append(record)
    return tuple(_chart(graph, found) for graph, found in by_graph.items())


def _chart(graph: str, records: Sequence[RangeRecord]) -> Chart:
    layers: dict[str, RangeRecord] = {}
    for record in records:
        known = layers.get(record.module)
        if known is None or record.headroom < known.headroom:
            layers[record.module] = record
    step = _WIDTH / max(len(layers), 1)
    bars = tuple(_bar(i * step, 0.8 * step, record) for i, record in enumerate(layers.values()))
    least = tuple(sorted(records, key=lambda record: record.headroom)[:_SHOWN])
    return Chart(graph, bars, least, tuple(record for record in records if record.blurred))


def _bar(x: float, width: float, record: RangeRecord) -> Bar:
    bits = max(-_MOST, min(_MOST, record.headroom))
    size = _HEIGHT * bits / _MOST if bits >= 0 else min(_BELOW, -_HEIGHT * bits / _MOST)
    top = _HEIGHT - size if bits >= 0 else _HEIGHT
    room = "unlimited headroom" if record.headroom == math.inf else f"{record.headroom:.1f} powers of two left"
    title = f"{record.module or '(top)'}, {record.op}: largest {record.largest:.4g}"
    title += "" if record.partial_sum is None else f", partial sums up to {record.partial_sum:.4g}"
    return Bar(x, top, width, max(size, 1.0), record.state, f"{title}; {room}")
