"""The text of a compiled detector: the result of each step, the tensors that cross the cut, and the remaining operators."""

from __future__ import annotations

import operator
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import count
from typing import Any

from torch import Tensor, fx

from detr2litert.convert.compiler import CompiledDetector
from detr2litert.graphs.host_step import HostPart
from detr2litert.graphs.partition import Part
from detr2litert.host_runtime.host_program import HostOp
from detr2litert.rewrites.driver import StepReport


def render(title: str, compiled: CompiledDetector) -> str:
    """A title, and sections for the steps, the interface and the operators.

    Every step has a line, also one that did not fire: the file shows the whole pipeline in order, and a step that starts or
    stops firing is a changed line. The columns have fixed widths, so that no line changes because of another.
    """
    sections = (_steps(compiled), _interface(compiled), _operators(compiled))
    return "\n\n".join([title, *("\n".join(line.rstrip() for line in section) for section in sections)]) + "\n"


def _steps(compiled: CompiledDetector) -> Iterator[str]:
    for where, reports in compiled.reports.items():
        yield from (_step(where, report) for report in reports)


def _step(where: str, report: StepReport) -> str:
    changed = report.ops_before != report.ops_after
    ops = f"ops {report.ops_before:>4} → {report.ops_after}" if changed else f"ops {report.ops_before:>4}"
    return f"{where:<9} {report.name:<24}" + (f"fired {len(report.fired):>4}   {ops}" if report.fired or changed else "–")


def _interface(compiled: CompiledDetector) -> Iterator[str]:
    graphs = compiled.parts.graphs
    first, *others = graphs
    yield from _signature(first, graphs[first])
    yield from _host_step(compiled.parts.host)
    for name in others:
        yield from _signature(name, graphs[name])


def _signature(where: str, part: Part) -> Iterator[str]:
    """The tensors that a graph reads and writes, with their shapes."""
    nodes = list(part.graph_module.graph.nodes)
    inputs = [node for node in nodes if node.op == "placeholder"]
    for kind, names, values in (("input", part.input_names, inputs), ("output", part.output_names, nodes[-1].args[0])):
        for name, node in zip(names, values, strict=True):
            yield f"{where:<9} {kind:<8}{name:<16}{_shape(node.meta['val'])}"


def _host_step(host: HostPart) -> Iterator[str]:
    """The host's ops in order, values counted from %0 and constants shown as their shapes.

    The ops' own names are the exported program's, where one more node renames all that follow.
    """
    names = {name: name for name in (*host.program.inputs, *host.program.outputs)}
    names |= {name: _shape(value) for name, value in host.constants.items()}
    numbers = count()
    for op in host.program.ops:
        if op.output not in names:
            names[op.output] = f"%{next(numbers)}"
        yield f"{'host':<10}{names[op.output]} = {op.op}({', '.join(names[name] for name in op.inputs)}){_attributes(op)}"


def _attributes(op: HostOp) -> str:
    return "".join(f" {name}={value}" for name, value in sorted(op.attributes.items()))


def _operators(compiled: CompiledDetector) -> Iterator[str]:
    """How often each operator occurs in each graph."""
    histograms = {name: _histogram(part.graph_module) for name, part in compiled.parts.graphs.items()}
    yield _row("", list(histograms))
    for target in sorted(set().union(*histograms.values())):
        yield _row(target, [histogram[target] or "–" for histogram in histograms.values()])
    yield _row("all", [histogram.total() for histogram in histograms.values()])


def _histogram(graph_module: fx.GraphModule) -> Counter[str]:
    return Counter(_operator(node.target) for node in graph_module.graph.nodes if node.op == "call_function")


def _operator(target: Any) -> str:
    return "getitem" if target is operator.getitem else str(target)


def _row(name: str, cells: Sequence[object]) -> str:
    return f"{name:<34}" + "".join(f"{cell!s:>10}" for cell in cells)


def _shape(value: Tensor) -> str:
    return f"[{', '.join(str(size) for size in value.shape)}]"
