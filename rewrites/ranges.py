"""Measures value ranges on calibration images, to find where fp16 would overflow.

fp16's largest number is 65504, and it represents every integer up to 2048 (IEEE 754-2019, binary16). Phone GPUs compute in fp16
whatever the file's dtype. ``measure`` runs a graph on real inputs and records at each node the largest |x| and, for an operator
that sums, the largest partial sum (``rewrites.partial_sums``). The rewrites that protect a value read it with ``range_of``.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, fx

from detr2litert.graphs.delegate import LARGEST, LARGEST_INTEGER, MIN_HEADROOM
from detr2litert.graphs.toolbox import module_of
from detr2litert.rewrites.partial_sums import PartialSum, partial_sum

_SAFE_SUM = LARGEST / 2**MIN_HEADROOM
_KEY = "range"


@dataclass(frozen=True)
class ValueRange:
    """The range of one node's values over all measured inputs.

    Attributes:
        largest: largest |x|, infinite if a value is not finite.
        sums: its largest partial sums; None for an operator that does not sum.
        blurred: two of its integers, such as indices or pixels above 2048, round to the same fp16 number.
    """

    largest: float
    sums: PartialSum | None = None
    blurred: bool = False

    @property
    def peak(self) -> float:
        """The largest magnitude of this value and of its partial sums."""
        return max(self.largest, self.sums.measured) if self.sums else self.largest

    @property
    def headroom(self) -> float:
        """Powers of two between the peak and fp16's largest number; below zero it overflows."""
        if self.peak == 0:
            return math.inf
        return -math.inf if math.isinf(self.peak) else math.log2(LARGEST / self.peak)


@dataclass(frozen=True)
class NodeRange:
    """A node's range with its name, operator and dotted module path."""

    node: str
    op: str
    module: str
    values: ValueRange


def range_of(node: fx.Node) -> ValueRange | None:
    """Returns the range measured at a node, or None."""
    return node.meta.get(_KEY)


@torch.no_grad()
def measure(graph_module: fx.GraphModule, inputs: Sequence[Tensor]) -> tuple[Tensor, ...]:
    """Runs a graph, widens the range of each node by its values, and returns the outputs."""
    results: tuple[Tensor, ...] = _RangeRecorder(graph_module).run(*inputs)
    return results


def measured(graph_module: fx.GraphModule) -> tuple[NodeRange, ...]:
    """Returns the range of each measured operator, in graph order."""
    return tuple(
        NodeRange(node.name, str(node.target), module_of(node), values)
        for node in graph_module.graph.nodes
        if node.op == "call_function" and (values := range_of(node)) is not None
    )


class _RangeRecorder(fx.Interpreter):
    """Runs a graph and records each tensor's range on its node."""

    def run_node(self, n: fx.Node) -> Any:
        value = super().run_node(n)
        floats = isinstance(value, Tensor) and value.is_floating_point() and value.numel()
        if floats and n.op in ("call_function", "placeholder"):
            args = self.fetch_args_kwargs_from_env(n)[0] if n.op == "call_function" else ()
            n.meta[_KEY] = _widened(range_of(n) or ValueRange(0.0), n.target, args, value)
        return value


def _widened(known: ValueRange, target: Any, args: Sequence[Any], value: Tensor) -> ValueRange:
    """Returns a range widened by one more value."""
    least, most = torch.aminmax(value)
    largest = float(torch.maximum(-least, most))
    if not math.isfinite(largest):
        return ValueRange(math.inf, known.sums, known.blurred)
    blurred = known.blurred or _blurred(value, largest)
    return ValueRange(max(largest, known.largest), partial_sum(target, args, known.sums, _SAFE_SUM, largest), blurred)


def _blurred(value: Tensor, largest: float) -> bool:
    if largest <= LARGEST_INTEGER or not (value == value.round()).all():
        return False
    exact, rounded = set(value.flatten().tolist()), set(value.half().flatten().tolist())
    return len(rounded) < len(exact)
