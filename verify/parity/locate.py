"""Finds the first tensor of a graph that differs from the reference, from all values at once or from one run per value.

"First" means: it differs and all its inputs are right, so the fault lies in the operators between. An error is assumed to
propagate to everything computed from it; one that is cancelled before the output does not matter.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from detr2litert.graphs.delegate import MAX_RANK
from detr2litert.host_runtime.tflite.graph import Graph, Op
from detr2litert.verify.parity.metrics import Difference, difference, residual
from detr2litert.verify.parity.origins import GraphOrigins, describe_origin
from detr2litert.verify.parity.taps import preserved_tensors, runtime_ancestors

Values = Mapping[int, NDArray[Any]]
Named = Mapping[str, NDArray[Any]]

_NAME_SHOWN = 120


class LocateError(Exception):
    """The place could not be found; the message says why, and what follows from that."""


@dataclass(frozen=True)
class Located:
    """The first tensor that differs from the reference.

    Attributes:
        tensor, name: its index and name in the file.
        op_index, op: the operator that produces it.
        origin: description of the module, node and rewrites it came from.
        difference: its difference; None where only its consequences were measured.
        since: the operators between it and the last tensors known to be right, its own last, as ``"12 CONV_2D"``.
        note: further observations.
        taps: the number of runs.
    """

    tensor: int
    name: str
    op_index: int
    op: str
    origin: str
    difference: Difference | None
    since: tuple[str, ...]
    note: str = ""
    taps: int = 0

    @property
    def place(self) -> str:
        """Operator and tensor; a long name (fused operators, foreign files) is cut at the front."""
        name = self.name if len(self.name) <= _NAME_SHOWN else f"…{self.name[1 - _NAME_SHOWN :]}"
        return f"op {self.op_index} {self.op} ({name})"


def inner_values(model: Path, graph: Graph, inputs: Named) -> dict[int, NDArray[Any]]:
    """Returns every tensor of a file by index, computed by LiteRT's CPU kernels in fp32.

    Raises:
        LocateError: they cannot be read.
    """
    try:
        return preserved_tensors(model, graph, inputs)
    except (RuntimeError, ValueError) as error:
        raise LocateError(f"its inner tensors cannot be read on the CPU ({' '.join(str(error).split())[:200]})") from error


def located(
    graph: Graph, tensor: int, found: Difference | None, right: Iterable[int], *, note: str = "", taps: int = 0
) -> Located:
    """Describes a tensor's place; ``right`` are the tensors known to be right, where the range of suspects ends."""
    op = _maker(graph, tensor)
    suspects = _stretch(graph, tensor, set(right))
    return Located(
        tensor, graph.tensors[tensor].name, op.index, op.name, describe_origin(graph, tensor), found,
        tuple(f"{suspect.index} {suspect.name}" for suspect in suspects), note, taps,
    )  # fmt: skip


def compare_trace(graph: Graph, values: Values, trace: Named, limit: float) -> dict[int, tuple[Difference, str]]:
    """Compares the tensors that are values of fx nodes with those values.

    Of several tensors named after one node the last with its number of elements is its value: the others are steps of its
    decomposition. A fused operator is named after several nodes and is right if it equals one of them. Elements are compared
    in row-major order; where that fails and the shapes are permutations of each other, in sorted order, which is independent
    of the layout, and the note says so.

    Returns:
        Tensor index to its difference and a note, for the tensors that could be compared.
    """
    last: dict[str, int] = {}
    origins = GraphOrigins.of(graph)
    for op in graph.ops:
        for tensor in op.outputs:
            for origin in origins.values.get(tensor, ()):
                node = origin.node
                if node is not None and node in trace and tensor in values and trace[node].size == values[tensor].size:
                    last[node] = tensor
    nodes: dict[int, list[str]] = {}
    for node, tensor in last.items():
        nodes.setdefault(tensor, []).append(node)
    found: dict[int, tuple[Difference, str]] = {}
    for tensor, names in nodes.items():
        tries = [_either_order(values[tensor], trace[name], limit) for name in names]
        found[tensor] = max(tries, key=lambda item: (item[0].within(limit), _rank(item[0])))
    return found


def _rank(found: Difference) -> float:
    return -2.0 if math.isnan(found.correlation) else found.correlation


def _either_order(value: NDArray[Any], expected: NDArray[Any], limit: float) -> tuple[Difference, str]:
    flat = difference(value, expected, tolerance=residual(limit))
    shapes = [[d for d in x.shape if d != 1] for x in (value, expected)]
    if flat.within(limit) or shapes[0] == shapes[1] or sorted(shapes[0]) != sorted(shapes[1]):
        return flat, ""
    ordered = difference(np.sort(value, axis=None), np.sort(expected, axis=None), tolerance=residual(limit))
    return ordered, f"compared in sorted order: {list(value.shape)} is a permutation of {list(expected.shape)}"


def first_divergent(
    graph: Graph, targets: Iterable[int], found: Mapping[int, tuple[Difference, str]], limit: float
) -> Located | None:
    """Finds the first tensor that differs, among those compared, on the way to the failing outputs ``targets``.

    A tensor whose readers are all right again is not a culprit (its name may be misleading, or its error vanishes).
    None if there is no such tensor.
    """
    targets = set(targets)
    relevant = targets.union(*(runtime_ancestors(graph, target) for target in targets))
    diverging = {tensor for tensor, (result, _) in found.items() if tensor in relevant and not result.within(limit)}
    right = {tensor for tensor in found if tensor not in diverging}
    for op in graph.ops:
        for tensor in op.outputs:
            if tensor in diverging and (tensor in targets or _propagates(graph, tensor, relevant, diverging, right)):
                result, note = found[tensor]
                return located(graph, tensor, result, right, note=note)
    return None


def _propagates(graph: Graph, tensor: int, relevant: set[int], diverging: set[int], right: set[int]) -> bool:
    """True if one of the nearest compared tensors computed from this one differs, or none was compared."""
    seen, stack, any_right = {tensor}, [tensor], False
    while stack:
        for op in graph.consumers(stack.pop()):
            for output in op.outputs:
                if output in seen or output not in relevant:
                    continue
                seen.add(output)
                if output in diverging:
                    return True
                if output in right:
                    any_right = True
                else:
                    stack.append(output)
    return not any_right


Measure = Callable[[int], "Difference | None"]


def bisect_divergent(
    graph: Graph, target: int, measure: Measure, limit: float, *, max_taps: int = 24, confirm: bool = False
) -> Located:
    """Finds the first tensor that differs on the way to ``target``, which differs, with one measurement per step.

    Like ``git bisect`` on a branching history: a tensor that is right clears everything it is computed from, one that differs
    leaves only what it is computed from; each step measures the tensor that splits the rest most evenly. At the end the direct
    inputs that were only inferred to be right are measured too.

    Args:
        graph: the graph.
        target: tensor index of an output that differs.
        measure: a tensor's difference from its reference; None if it cannot be measured.
        limit: correlation limit.
        max_taps: stop after this many measurements and return the best tensor so far.
        confirm: follow a tensor that differs only if one computed from it on the way to the target differs too, and not
            because of another input that differs more. Costs more measurements; needed where a difference can be without
            effect, such as a value that fp16 rounds to zero before it is added.
    """
    results: dict[int, Difference | None] = {}
    harmless: set[int] = set()
    culprit = target

    def diverges(tensor: int) -> bool:
        if tensor == target:
            return True
        if tensor not in results:
            results[tensor] = measure(tensor)
        found = results[tensor]
        return found is not None and not found.within(limit)

    def to_blame(tensor: int) -> int | None:
        """Returns the tensor, or another input of its readers that differs more; None if nothing computed from it differs."""
        for reader in _readers_towards(graph, tensor, culprit):
            maker = _maker(graph, reader)
            others = {t for t in _measurable(graph, maker.inputs) if t != tensor and tensor not in runtime_ancestors(graph, t)}
            if diverges(reader):
                worse = (t for t in sorted(others) if diverges(t) and _outweighs(results[t], results[tensor], maker.name))
                return next(worse, tensor)
        return None

    while len(results) < max_taps:
        suspects = _suspects(graph, culprit, results, harmless, limit)
        if not suspects:
            suspects = {t for t in _measurable(graph, _maker(graph, culprit).inputs) if t not in results}
        if not suspects:
            break
        # A right tensor clears itself and all its ancestors, a wrong one leaves its ancestors: choose the most even split.
        behind = {t: len(runtime_ancestors(graph, t) & suspects) for t in suspects}
        pick = max(suspects, key=lambda t: (min(behind[t] + 1, len(suspects) - behind[t]), -t))
        if diverges(pick):
            blamed = to_blame(pick) if confirm else pick
            if blamed != pick:
                harmless.add(pick)
            culprit = culprit if blamed is None else blamed
    right = {tensor for tensor, found in results.items() if found is not None and found.within(limit)}
    note = "" if len(results) < max_taps else f"stopped after {max_taps} taps: the fault may lie before"
    return located(graph, culprit, results.get(culprit), right, note=note, taps=len(results))


def _readers_towards(graph: Graph, tensor: int, target: int) -> list[int]:
    """Returns the direct readers' outputs of a tensor from which the target is computed, the target included."""
    on_the_way = runtime_ancestors(graph, target) | {target}
    made = {output for op in graph.consumers(tensor) for output in op.outputs if output in on_the_way}
    return sorted(made & (_measurable(graph, made) | {target}))


def _outweighs(one: Difference | None, other: Difference | None, op: str) -> bool:
    """True if one input's error has more effect than another's on an operator's output."""
    if one is None or other is None or one.non_finite != other.non_finite:
        return one is not None and (other is None or one.non_finite > other.non_finite)
    if op in ("ADD", "SUB", "MAXIMUM", "MINIMUM"):
        return one.max_abs_error > other.max_abs_error
    return one.relative_error > other.relative_error


def _suspects(
    graph: Graph, culprit: int, results: Mapping[int, Difference | None], harmless: set[int], limit: float
) -> set[int]:
    """Returns the candidates for the first wrong tensor: ancestors of the culprit, not measured, and of no right tensor.

    A tensor that is right although one of its ancestors differs (an error that was lost on the way) clears nothing, unless
    that ancestor is known to be ``harmless``.
    """
    diverging = {t for t, found in results.items() if found is not None and not found.within(limit)}
    left = _measurable(graph, runtime_ancestors(graph, culprit)) - results.keys()
    for tensor, found in results.items():
        if (
            found is not None
            and tensor not in diverging
            and not (behind := runtime_ancestors(graph, tensor)) & (diverging - harmless)
        ):
            left -= behind
    return left


def _measurable(graph: Graph, tensors: Iterable[int]) -> set[int]:
    """Returns the float tensors that operators compute at run time, of a rank the delegate accepts."""
    return {
        t
        for t in tensors
        if graph.is_runtime(t)
        and graph.producer(t) is not None
        and graph.tensors[t].dtype == "float32"
        and graph.tensors[t].rank <= MAX_RANK
    }


def _maker(graph: Graph, tensor: int) -> Op:
    maker = graph.producer(tensor)
    if maker is None:
        raise ValueError(f"tensor {tensor} of {graph.name} is not the output of an operator")
    return maker


def _stretch(graph: Graph, tensor: int, right: set[int]) -> list[Op]:
    """Returns the operators between a tensor and the nearest tensors known to be right, in execution order."""
    found: dict[int, Op] = {}
    stack = [tensor]
    while stack:
        maker = graph.producer(stack.pop())
        if maker is None or maker.index in found:
            continue
        found[maker.index] = maker
        stack += [source for source in maker.inputs if graph.is_runtime(source) and source not in right]
    return [found[index] for index in sorted(found)]
