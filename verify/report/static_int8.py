"""What was measured of a graph when it was brought to static int8: the loss of each block, and which blocks are static."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class BlockLoss:
    """A block and its loss.

    Attributes:
        name: the module's dotted path.
        operators: how many operators with weights it has.
        loss: one less the agreement of the outputs with float32 when it alone is static; None if it was not measured, NaN if
            an output was not finite.
        static: whether int8 computes it in the file.
    """

    name: str
    operators: int
    loss: float | None
    static: bool


@dataclass(frozen=True)
class Sweep:
    """What was measured on one graph, and chosen.

    Attributes:
        graph: its name.
        blocks: in the graph's order.
        agreement: of the chosen file's outputs with float32, the lowest.
        dynamic: the same with every weight in dynamic range and no static block.
        bound: that it had to reach; below it only if no block is static.
        seconds: that it took.
    """

    graph: str
    blocks: tuple[BlockLoss, ...]
    agreement: float
    dynamic: float
    bound: float
    seconds: float

    @classmethod
    def from_json(cls, record: Mapping[str, Any]) -> Sweep:
        """Reads a record of ``report.json``, where a non-finite figure is a string."""
        blocks = tuple(
            BlockLoss(**{**block, "loss": None if block["loss"] is None else float(block["loss"])})
            for block in record["blocks"]
        )
        return cls(**{**record, "blocks": blocks, **{name: float(record[name]) for name in ("agreement", "dynamic")}})

    @property
    def floats(self) -> tuple[str, ...]:
        """Names of the blocks that stay in floats."""
        return tuple(block.name for block in self.blocks if not block.static)

    def describe(self) -> str:
        """Returns the result in a line."""
        count = len(self.blocks) - len(self.floats)
        figures = f"{self.agreement:.4f} (dynamic range {self.dynamic:.4f})"
        text = f"{count} of {len(self.blocks)} blocks static, lowest agreement with float32 {figures}"
        if not self.floats:
            return text
        unmeasured = sum(block.loss is None for block in self.blocks)
        late = f" ({unmeasured} not measured in time)" if unmeasured else ""
        return f"{text}; in floats{late}: {', '.join(self.floats)}"
