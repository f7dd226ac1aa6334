"""Locates a numeric fault, with one method for each comparison of the numerics gate."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from detr2litert.host_runtime.tflite.graph import Graph, read_graph
from detr2litert.verify.delegate.adapters import Driver
from detr2litert.verify.delegate.run import Job, run_models
from detr2litert.verify.parity.locate import (
    Located,
    LocateError,
    bisect_divergent,
    compare_trace,
    first_divergent,
    inner_values,
)
from detr2litert.verify.parity.metrics import Difference, difference, residual
from detr2litert.verify.parity.taps import TAP, read_tap, write_tap

Arrays = Mapping[str, NDArray[Any]]


def locate_traced(
    model: Path, inputs: Arrays, trace: Arrays, expected: Arrays, seen: Arrays, outputs: Sequence[str], limit: float
) -> Located:
    """Finds the first tensor of a file on the CPU that differs from PyTorch's node of the same name.

    Args:
        model: the file.
        inputs: by signature name.
        trace: PyTorch's values by fx node; if empty, only outputs are compared.
        expected, seen: PyTorch's outputs and the file's own (with XNNPACK), by signature name.
        outputs: the failing ones.
        limit: correlation limit.
    """
    graph = read_graph(model)
    values = inner_values(model, graph, inputs)
    found = compare_trace(graph, values, trace, limit)
    targets = {graph.signature_outputs[name] for name in outputs}
    own = {}
    for name, tensor in graph.signature_outputs.items():
        if tensor in values:
            own[tensor] = (difference(values[tensor], expected[name], tolerance=residual(limit)), "")
    if all(own[tensor][0].within(limit) for tensor in targets if tensor in own):
        again = "; ".join(f"{name}: {_apart(values, graph, name, seen)}" for name in outputs)
        raise LocateError(f"LiteRT's own kernels compute it right, so the fault is XNNPACK's ({again} between the two)")
    place = first_divergent(graph, targets, {**found, **own}, limit)
    if place is None:
        raise LocateError("no tensor that differs could be identified")
    if not trace:
        return replace(place, note="no trace of PyTorch's nodes was given, so only outputs were compared")
    if place.tensor in targets and _computed_by(trace, values[place.tensor], limit):
        hint = "the rewritten graph computes the same value: the fault arose before conversion, in a rewrite or the cut"
        return replace(place, note="; ".join(filter(None, (place.note, hint))))
    return place


def _computed_by(trace: Arrays, value: NDArray[Any], limit: float) -> bool:
    same_size = (other for other in trace.values() if other.size == value.size)
    return any(difference(value, other, tolerance=residual(limit)).within(limit) for other in same_size)


def locate_shipped(shipped: Path, float32: Path, inputs: Arrays, outputs: Sequence[str], limit: float) -> Located:
    """Finds the first tensor of the shipped file that differs from the float32 file's of the same name, both on the CPU."""
    graph, full = read_graph(shipped), read_graph(float32)
    values, wanted = inner_values(shipped, graph, inputs), inner_values(float32, full, inputs)
    by_name = {full.tensors[tensor].name: value for tensor, value in wanted.items()}
    by_name |= {f"\0{name}": wanted[tensor] for name, tensor in full.signature_outputs.items() if tensor in wanted}
    names = {tensor: graph.tensors[tensor].name for tensor in values}
    names |= {tensor: f"\0{name}" for name, tensor in graph.signature_outputs.items() if tensor in values}
    found: dict[int, tuple[Difference, str]] = {}
    for tensor, name in names.items():
        other = by_name.get(name)
        if other is not None and other.shape == values[tensor].shape:
            found[tensor] = (difference(values[tensor], other, tolerance=residual(limit)), "")
    place = first_divergent(graph, (graph.signature_outputs[name] for name in outputs), found, limit)
    if place is None:
        raise LocateError("LiteRT's own kernels show no difference, so the fault is XNNPACK's")
    return place


def locate_gpu(
    model: Path,
    correct: Path,
    inputs: Arrays,
    output: str,
    driver: Driver,
    limit: float,
    max_taps: int,
    timeout: float,
    folder: Path,
) -> Located:
    """Finds the first tensor of a file that the delegate computes differently from the CPU, by bisection over taps.

    ``correct`` is the file whose values on the CPU are right: ``model``, or its float form, which has the same tensors.

    Every tap is a run of its own with one more output, since one tap could disturb another. A fault that disappears with a tap
    is one of the delegate's fusions; the note then names the tap.
    """
    graph = read_graph(model)
    values = inner_values(correct, read_graph(correct), inputs)
    target = graph.signature_outputs[output]
    fixed: list[str] = []

    def measure(tensor: int, copy: bool = True) -> Difference | None:
        if tensor not in values:
            return None
        tapped = write_tap(model, tensor, folder / "tapped.tflite", copy=copy)
        run = run_models([Job(tapped, (inputs,))], driver=driver, enforce_f32=True, timeout=timeout)[0]
        if not run.ok or TAP not in run.outputs[0]:
            return None
        whole = difference(run.outputs[0][output], values[target], tolerance=residual(limit))
        if whole.within(limit):
            fixed.append(graph.tensors[tensor].name)
        return difference(read_tap(run.outputs[0], copy=copy), values[tensor], tolerance=residual(limit))

    place = bisect_divergent(graph, target, measure, limit, max_taps=max_taps)
    notes = [place.note] if place.note else []
    if graph.tensors[place.tensor].dtype == "float32":
        notes.append(_confirmed(place, target, measure(place.tensor, copy=place.tensor == target), limit))
    if fixed and place.tensor != target:
        notes.append(f"the output is right once {fixed[0]} is tapped: a fusion of the delegate is at fault")
    return replace(place, note="; ".join(notes))


def _confirmed(place: Located, target: int, again: Difference | None, limit: float) -> str:
    """Describes the result of a tap of the other kind: a copy of the failing output, or the inner tensor as an output."""
    if again is None:
        return "a second kind of tap could not be run"
    if not again.within(limit):
        return "a second kind of tap differs as well"
    if place.tensor == target:
        return (
            "a copy of it is right: the delegate computes the value and loses it as an output (LiteRT issue 8599); "
            "make the graph's output a tensor that nothing else reads"
        )
    return "it is right where the tensor itself is made an output: a fusion of the delegate is at fault"


def _apart(values: Mapping[int, NDArray[Any]], graph: Graph, name: str, seen: Arrays) -> str:
    found = difference(seen[name], values[graph.signature_outputs[name]])
    return f"max abs error {found.max_abs_error:.3g}"
