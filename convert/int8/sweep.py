"""Chooses the blocks of a graph that int8 computes: what each loses alone is measured, and those that lose most stay in floats.

1. No block: what dynamic range loses, from which the bound follows.
2. Each block in static int8 by itself, the rest in float32: its loss.
3. All of them, the weights of the others in dynamic range: if the graph's outputs agree with float32 within the bound, done.
   Else the blocks that lose most stay in floats, as few as suffice, found by bisection in the order of the losses. The file
   that is chosen has itself been measured.

A bounded time: a block whose turn does not come is not measured and stays in floats.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence

from detr2litert.convert.int8.blocks import Block
from detr2litert.verify.gates import Doing, unheard
from detr2litert.verify.report.static_int8 import BlockLoss, Sweep

FINEST, COARSEST = 0.999, 0.995
"""Agreements between which the bound is, see ``bound_of``.

The gates numerics and fp16 ask for 0.99 of int8, on inputs that no calibration has seen and with fp16's own rounding on top of
it: half of that loss is left to them. Measured: at 0.9922 dfine-tiny's graph A had 0.9878 in fp16, and a score moved by 0.145.
"""
SECONDS = 180.0
"""For the second step, of one graph. The others take at most six files for sixteen blocks."""

Measure = Callable[[Sequence[Block], bool], float]
"""Returns the lowest agreement of any output with float32 when these blocks are static; the second argument says whether the
weights of the others are int8 as well."""


def bound_of(dynamic: float) -> float:
    """Returns the lowest agreement with float32 that is accepted of a graph.

    Static int8 may lose as much again as dynamic range does, and always a thousandth. Measured: with all blocks static the demo
    detector's graph A agrees to 0.998, where dynamic range gives 0.9995, and a score moves by 0.105, more than the gate
    detections allows.

    Args:
        dynamic: the agreement with every weight in dynamic range.
    """
    return max(COARSEST, min(FINEST, 1.0 - 2.0 * (1.0 - dynamic))) if dynamic >= 0.0 else COARSEST


def sweep(
    graph: str,
    blocks: Sequence[Block],
    measure: Measure,
    *,
    seconds: float = SECONDS,
    doing: Doing = unheard,
    clock: Callable[[], float] = time.perf_counter,
) -> Sweep:
    """Measures every block alone and chooses those that int8 computes.

    Args:
        graph: its name.
        blocks: in the graph's order.
        measure: makes and judges a file.
        seconds: for measuring the blocks one at a time.
        doing: called with a description of each measurement.
        clock: seconds that only increase.
    """
    start = clock()
    doing(f"{graph}: dynamic range")
    dynamic = measure((), True)
    bound = bound_of(dynamic)
    losses: dict[str, float] = {}
    for number, block in enumerate(blocks, start=1):
        if clock() - start > seconds:
            break
        doing(f"{graph}: block {number} of {len(blocks)} alone, {block.name}")
        losses[block.name] = 1.0 - measure((block,), False)
    least = sorted((block for block in blocks if block.name in losses), key=lambda block: _badness(losses[block.name]))
    kept, agreement = _most(graph, least, measure, (bound, dynamic), doing)
    static = {block.name for block in least[:kept]}
    rows = tuple(BlockLoss(b.name, len(b.operators), losses.get(b.name), b.name in static) for b in blocks)
    return Sweep(graph, rows, agreement, dynamic, bound, clock() - start)


def _most(graph: str, least: Sequence[Block], measure: Measure, bounds: tuple[float, float], doing: Doing) -> tuple[int, float]:
    """Returns how many of the blocks, least loss first, can be static, and the agreement of that file.

    Args:
        graph: its name.
        least: the measured blocks.
        measure: makes and judges a file.
        bounds: the lowest agreement that is accepted, and that of no static block, which is accepted in any case.
        doing: called with a description of each measurement.
    """
    # ``good`` blocks are within the bound, and ``bad`` are not, as far as is known.
    good, bad, (bound, best) = 0, len(least) + 1, bounds
    while bad - good > 1:
        count = len(least) if bad > len(least) else (good + bad) // 2
        doing(f"{graph}: {count} of {len(least)} measured blocks together")
        found = measure(least[:count], True)
        if found >= bound:
            good, best = count, found
        else:
            bad = count
    return good, best


def _badness(loss: float) -> float:
    return math.inf if math.isnan(loss) else loss
