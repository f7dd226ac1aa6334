"""The record of a benchmark, from which the JSON file and the tables are made; imports nothing large."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from detr2litert.verify.bench.machine import Machine
from detr2litert.verify.cost.measure import Measurements
from tools.benchmark.conversion import Conversion
from tools.benchmark.frames import FrameTimes


@dataclass(frozen=True)
class Cost:
    """The cost of a set of nodes.

    Attributes:
        macs: multiply-accumulates of matmuls and linear layers.
        elementwise: operations of everything else that computes.
        bytes: of all intermediate tensors.
    """

    macs: int = 0
    elementwise: int = 0
    bytes: int = 0

    def __add__(self, other: Cost) -> Cost:
        return Cost(self.macs + other.macs, self.elementwise + other.elementwise, self.bytes + other.bytes)


@dataclass(frozen=True)
class VariantRecord:
    """The measurements of one variant.

    Attributes:
        conversions: time and memory of each ``convert run``, at least one.
        frames: times of whole frames, stage by stage, beside ONNX Runtime and PyTorch.
        graphs: dispatches and times of each graph in each form.
        sampling: form of bilinear sampling → cost of the modules that sample, both graphs together.
    """

    conversions: tuple[Conversion, ...]
    frames: FrameTimes
    graphs: Measurements
    sampling: Mapping[str, Cost]

    @property
    def conversion(self) -> Conversion:
        """The fastest conversion: other work on the machine can only make one slower."""
        return min(self.conversions, key=lambda run: run.seconds)


@dataclass(frozen=True)
class Record:
    """A benchmark: where, for which target, with how many CPU threads, and the variants by name."""

    machine: Machine
    target: str
    threads: int
    variants: Mapping[str, VariantRecord]

    def to_json(self) -> dict[str, Any]:
        """Returns a JSON-ready record."""
        return asdict(self)
