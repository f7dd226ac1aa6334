"""What values an fp16 machine would have to hold: measured on calibration pictures, before anything is protected.

fp16's largest number is 65504, and it holds every integer up to 2048 (IEEE 754-2019, binary16). A phone computes in it whatever
the file says. ``measure`` runs a graph on real inputs and notes at each node the largest |x| and, where the operator adds up,
the largest partial sum (``rewrites.partial_sums``). The rewrites that protect a value read it with ``range_of``.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, fx

from detr2litert.graphs.delegate import LARGEST, LARGEST_INTEGER, SPARE
from detr2litert.graphs.toolbox import module_of
from detr2litert.rewrites.partial_sums import PartialSum, partial_sum

_HARMLESS = LARGEST / 2**SPARE
_KEY = "range"


@dataclass(frozen=True)
class ValueRange:
    """The values of one node, over all that was measured.

    Attributes:
        largest: of |x|, infinite where a value is not finite.
        sums: how large its partial sums get; None where it adds nothing up.
        blurred: some two of its integers, such as indices or pixels above 2048, become one in fp16.
    """

    largest: float
    sums: PartialSum | None = None
    blurred: bool = False

    @property
    def peak(self) -> float:
        """The largest number that has to be held on the way to this value."""
        return max(self.largest, self.sums.measured) if self.sums else self.largest

    @property
    def headroom(self) -> float:
        """Powers of two between the peak and fp16's largest number; below zero it overflows."""
        if self.peak == 0:
            return math.inf
        return -math.inf if math.isinf(self.peak) else math.log2(LARGEST / self.peak)


@dataclass(frozen=True)
class NodeRange:
    """A node's range with what it is: name, operator and dotted path of its module."""

    node: str
    op: str
    module: str
    values: ValueRange


def range_of(node: fx.Node) -> ValueRange | None:
    """What was measured at a node; None if nothing was."""
    return node.meta.get(_KEY)


@torch.no_grad()
def measure(graph_module: fx.GraphModule, inputs: Sequence[Tensor]) -> tuple[Tensor, ...]:
    """Run a graph, widen the range of each of its nodes by what is seen, and return its outputs."""
    results: tuple[Tensor, ...] = _Meter(graph_module).run(*inputs)
    return results


def measured(graph_module: fx.GraphModule) -> tuple[NodeRange, ...]:
    """All operators that were measured, in the graph's order."""
    return tuple(
        NodeRange(node.name, str(node.target), module_of(node), values)
        for node in graph_module.graph.nodes
        if node.op == "call_function" and (values := range_of(node)) is not None
    )


class _Meter(fx.Interpreter):
    """Runs a graph and notes each tensor's range on its node."""

    def run_node(self, n: fx.Node) -> Any:
        value = super().run_node(n)
        floats = isinstance(value, Tensor) and value.is_floating_point() and value.numel()
        if floats and n.op in ("call_function", "placeholder"):
            args = self.fetch_args_kwargs_from_env(n)[0] if n.op == "call_function" else ()
            n.meta[_KEY] = _widened(range_of(n) or ValueRange(0.0), n.target, args, value)
        return value


def _widened(known: ValueRange, target: Any, args: Sequence[Any], value: Tensor) -> ValueRange:
    """A range with one more value in it."""
    least, most = torch.aminmax(value)
    largest = float(torch.maximum(-least, most))
    if not math.isfinite(largest):
        return ValueRange(math.inf, known.sums, known.blurred)
    blurred = known.blurred or _blurred(value, largest)
    return ValueRange(max(largest, known.largest), partial_sum(target, args, known.sums, _HARMLESS, largest), blurred)


def _blurred(value: Tensor, largest: float) -> bool:
    if largest <= LARGEST_INTEGER or not (value == value.round()).all():
        return False
    exact, rounded = set(value.flatten().tolist()), set(value.half().flatten().tolist())
    return len(rounded) < len(exact)
