"""Locates a fault of fp16 on the delegate, and classifies it.

By bisection over taps, each a run of its own. The tapped tensor is compared with LiteRT's CPU kernels in fp32. If it differs,
the same file is run on the delegate in fp32 as well: a tap that differs there too is no evidence, since making a tensor an
output changes what the delegate fuses and can itself corrupt it (LiteRT issue 8599 and its family).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from detr2litert.graphs.delegate import LARGEST
from detr2litert.host_runtime.tflite.graph import Graph, read_graph
from detr2litert.verify.delegate.adapters import Driver
from detr2litert.verify.delegate.run import Job, run_models
from detr2litert.verify.parity.locate import Located, bisect_divergent, inner_values
from detr2litert.verify.parity.metrics import Difference, difference, residual
from detr2litert.verify.parity.taps import HALVED, read_tap, write_tap

Arrays = Mapping[str, NDArray[Any]]

_JUMP = 8.0
"""An error this many times that of the tensor's inputs arose in one step: a step of well-behaved arithmetic adds only a few
roundings (2^-11 each)."""
_ROUNDING = 2.0**-11
_LOST_SHARE = 0.005
_TAKES_PART = frozenset({"GATHER", "SLICE", "SPLIT", "STRIDED_SLICE", "UNPACK"})


class Kind(StrEnum):
    """The kind of a fault of fp16."""

    OVERFLOW = "overflow"  # past 65504: infinities, NaN, or the zeros that an infinity leaves behind
    PRECISION = "precision"  # in one step: cancellation, or neighbouring values that fp16 cannot distinguish
    COMPOUNDING = "compounding"  # a slow drift over many steps


@dataclass(frozen=True)
class Fault:
    """The place and the kind of a fault of fp16.

    Attributes:
        place: the first tensor that differs.
        kind: what happened there.
        summary: the same in words, with figures.
        drift: what was measured in the search, in the graph's order: operator index and relative error.
    """

    place: Located
    kind: Kind
    summary: str
    drift: tuple[tuple[int, float], ...]


def locate_fp16(
    model: Path, inputs: Arrays, output: str, driver: Driver, limit: float, max_taps: int, timeout: float, folder: Path
) -> Fault:
    """Finds the first tensor of a file that the delegate computes wrong in fp16, and the kind of fault.

    Args:
        model: the file.
        inputs: by signature name.
        output: a failing one.
        driver: of an adapter that computes in fp16.
        limit: correlation limit.
        max_taps: tensors to measure; each costs one run, or two where it differs.
        timeout: seconds for each run.
        folder: for the tapped files.

    Raises:
        LocateError: the file's inner tensors cannot be read on the CPU.
    """
    graph = read_graph(model)
    values = inner_values(model, graph, inputs)
    taps = _Taps(model, graph, inputs, values, output, driver, limit, timeout, folder)
    target = graph.signature_outputs[output]
    taps.measure(target)
    place = bisect_divergent(graph, target, taps.measure, limit, max_taps=max_taps, confirm=True)
    if taps.fixed and place.tensor != target:
        note = f"the output is right once {taps.fixed[0]} is tapped: a fusion of the delegate contributes to the fault"
        place = replace(place, note="; ".join(filter(None, (place.note, note))))
    found = taps.found.get(place.tensor)
    seen = taps.seen.get(place.tensor)
    if found is None or seen is None:
        unseen = "its value could not be read: a tap of it differs in fp32 as well, or it could not be tapped"
        return Fault(place, Kind.COMPOUNDING, unseen, taps.drift())
    if found.within(limit):
        lost = "a copy of the output is right: the delegate computes the value and loses it as an output (LiteRT issue 8599)"
        return Fault(place, Kind.PRECISION, lost, taps.drift())
    kind, summary = classify(seen, values[place.tensor], found, _before(graph, place, taps))
    if kind is Kind.PRECISION and place.op in _TAKES_PART:
        summary += f"; {place.op} computes nothing: it selects a part that varies less than the whole, so the error weighs more"
    return Fault(place, kind, summary, taps.drift())


def classify(seen: NDArray[Any], wanted: NDArray[Any], found: Difference, before: float) -> tuple[Kind, str]:
    """Classifies a fault, and describes it with the figures that show it.

    Args:
        seen: the tensor as computed in fp16.
        wanted: the same in fp32.
        found: the difference between them.
        before: largest relative error of its inputs; NaN if that was not measured.
    """
    top = float(np.abs(wanted).max(initial=0.0))
    bad = int(np.count_nonzero(~np.isfinite(seen) & np.isfinite(wanted)))
    # Zeros that only an infinity explains: these values are within fp16's range.
    held = np.isfinite(wanted) & (np.abs(wanted) > 2.0**-14)
    zeros = int(np.count_nonzero((seen == 0) & held))
    full = int(np.count_nonzero(np.abs(seen) >= LARGEST)) - int(np.count_nonzero(~np.isfinite(seen)))
    of = f"of {seen.size} values"
    if bad or top > LARGEST or full > 0:
        parts = [f"{bad} {of} not finite" if bad else "", f"{full} {of} at the largest number" if full > 0 else ""]
        parts.append(f"the true values reach {top:.3g}, fp16's largest is {LARGEST:.0f}" if top > LARGEST else "")
        return Kind.OVERFLOW, ", ".join(filter(None, parts))
    if zeros > _LOST_SHARE * seen.size:
        return Kind.OVERFLOW, f"{zeros} {of} are zero where they should reach {top:.3g}"
    error = found.relative_error
    jump = error / max(before, _ROUNDING)
    if math.isnan(before) or jump >= _JUMP:
        came = "" if math.isnan(before) else f", {jump:.0f} times that of its inputs"
        return Kind.PRECISION, f"relative error {error:.2g}{came}"
    return Kind.COMPOUNDING, f"relative error {error:.2g}, after {before:.2g} in its inputs"


def _before(graph: Graph, place: Located, taps: _Taps) -> float:
    """Returns the largest relative error among the measured tensors nearest before a place; NaN if there is none."""
    errors, seen, stack = [], {place.tensor}, [place.tensor]
    while stack:
        maker = graph.producer(stack.pop())
        for source in maker.inputs if maker else ():
            if source in seen or not graph.is_runtime(source):
                continue
            seen.add(source)
            if source in taps.found:
                errors.append(taps.found[source].relative_error)
            elif graph.producer(source) is None:
                errors.append(0.0)  # a graph input, the same for both up to its rounding
            else:
                stack.append(source)
    return max((math.inf if math.isnan(error) else error for error in errors), default=math.nan)


class _Taps:
    """Measures tensors one at a time and records the results."""

    def __init__(
        self,
        model: Path,
        graph: Graph,
        inputs: Arrays,
        values: Mapping[int, NDArray[Any]],
        output: str,
        driver: Driver,
        limit: float,
        timeout: float,
        folder: Path,
    ) -> None:
        self._model, self._graph, self._inputs, self._values = model, graph, inputs, values
        self._output, self._driver, self._limit, self._timeout, self._folder = output, driver, limit, timeout, folder
        self.fixed: list[str] = []
        self.found: dict[int, Difference] = {}
        self.seen: dict[int, NDArray[Any]] = {}

    def measure(self, tensor: int) -> Difference | None:
        """Returns a tensor's difference in fp16 from fp32 on the CPU; None if unavailable, or if the tap corrupts it."""
        if tensor not in self._values:
            return None
        tapped = write_tap(self._model, tensor, self._folder / "tapped.tflite", factor=HALVED)
        outputs = self._run(tapped, enforce_f32=False)
        if outputs is None:
            return None
        if self._difference(outputs[self._output], self._graph.signature_outputs[self._output]).within(self._limit):
            self.fixed.append(self._graph.tensors[tensor].name)
        seen = read_tap(outputs, factor=HALVED)
        found = self._difference(seen, tensor)
        if not found.within(self._limit):
            again = self._run(tapped, enforce_f32=True)
            if again is None or not self._difference(read_tap(again, factor=HALVED), tensor).within(self._limit):
                return None
        self.found[tensor], self.seen[tensor] = found, seen
        return found

    def drift(self) -> tuple[tuple[int, float], ...]:
        makers = {tensor: self._graph.producer(tensor) for tensor in self.found}
        return tuple(sorted((maker.index, self.found[tensor].relative_error) for tensor, maker in makers.items() if maker))

    def _run(self, tapped: Path, *, enforce_f32: bool) -> Arrays | None:
        job = Job(tapped, (self._inputs,))
        run = run_models([job], driver=self._driver, enforce_f32=enforce_f32, timeout=self._timeout)[0]
        return run.outputs[0] if run.ok else None

    def _difference(self, seen: NDArray[Any], tensor: int) -> Difference:
        return difference(seen, self._values[tensor], tolerance=residual(self._limit))
