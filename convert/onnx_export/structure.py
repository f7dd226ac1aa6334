"""Gate structure: the file is valid, of standard operators, and has the interface that was asked for.

Grid sampling and the query selection must be ONNX's own GridSample and TopK: an exporter that lacks an operator decomposes it
into gathers, which a runtime then cannot recognise, or emits one of a domain of its own, which other runtimes lack.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from detr2litert.convert.models.backbone import INPUT
from detr2litert.convert.onnx_export.exporter import BATCH
from detr2litert.convert.onnx_export.request import OnnxOptions
from detr2litert.verify.gates import Finding, GateResult, Measurement, Verdict

GATE = "structure"
TITLE = "File"
PROVES = "ONNX's checker accepts the file; its operators are standard, and its names, shapes and metadata as asked for"
_STANDARD = ("", "ai.onnx")
_NAMES_SHOWN = 3

Shape = tuple[int | str, ...]


@dataclass(frozen=True)
class Interface:
    """What a file must have.

    Attributes:
        inputs, outputs: name to shape; a dynamic dimension is its name.
        operators: operators that must occur.
        metadata: entries by name.
    """

    inputs: Mapping[str, Shape]
    outputs: Mapping[str, Shape]
    operators: Sequence[str]
    metadata: Mapping[str, str]


def interface(
    options: OnnxOptions, image: Sequence[int], outputs: Mapping[str, Sequence[int]], sampled: bool, metadata: Mapping[str, str]
) -> Interface:
    """Returns the interface that options ask for.

    Args:
        options: the form of the file.
        image: ``[channels, H, W]``.
        outputs: name to shape without the batch.
        sampled: whether the detector samples with ``grid_sample``.
        metadata: the entries.
    """
    batch: int | str = BATCH if options.batch is None else options.batch
    needed = () if options.backbone_only else ("TopK", *(("GridSample",) if sampled else ()))
    return Interface(
        {INPUT: (batch, *image)}, {name: (batch, *shape) for name, shape in outputs.items()}, needed, dict(metadata)
    )


def check_structure(path: Path, expected: Interface, opset: int) -> GateResult:
    """Checks a file with ``onnx.checker`` and against what was asked for.

    Args:
        path: of the file.
        expected: its interface.
        opset: version of the operators.
    """
    import onnx

    start = time.perf_counter()
    try:
        onnx.checker.check_model(str(path), full_check=True)
        model = onnx.load(str(path))
    except Exception as error:  # the checker's own error, one of shape inference, or protobuf's
        problems = [_problem("invalid-file", path.name, " ".join(str(error).split())[:500], "export it again")]
        return _result(problems, Counter(), start)
    problems = [*_wrong_interface(model.graph, expected), *_wrong_operators(model, expected, opset)]
    stored = {entry.key: entry.value for entry in model.metadata_props}
    problems += [
        _problem("metadata", name, "is missing or another one", "export it again")
        for name, value in expected.metadata.items()
        if stored.get(name) != value
    ]
    return _result(problems, _operators(model), start)


def _wrong_interface(graph: Any, expected: Interface) -> list[Finding]:
    sides = (("input", graph.input, expected.inputs), ("output", graph.output, expected.outputs))
    found = []
    for side, values, shapes in sides:
        actual = {value.name: _shape(value) for value in values}
        if list(actual) != list(shapes):
            found.append(_problem(side, ", ".join(actual), f"should be {', '.join(shapes)}", "export it again"))
        found += [
            _problem(f"{side}-shape", name, f"has the shape {list(actual[name])}, not {list(shape)}", "export it again")
            for name, shape in shapes.items()
            if name in actual and actual[name] != shape
        ]
    return found


def _shape(value: Any) -> Shape:
    return tuple(dim.dim_param or dim.dim_value for dim in value.type.tensor_type.shape.dim)


def _wrong_operators(model: Any, expected: Interface, opset: int) -> list[Finding]:
    counts = _operators(model)
    foreign = sorted({entry.domain for entry in model.opset_import if entry.domain not in _STANDARD})
    foreign += [f"function {function.domain}::{function.name}" for function in model.functions]
    versions = {entry.version for entry in model.opset_import if entry.domain in _STANDARD}
    found = []
    if foreign:
        shown = ", ".join(foreign[:_NAMES_SHOWN])
        found.append(_problem("custom-domain", shown, "is not of ONNX's standard operators", "try another --opset"))
    if versions != {opset}:
        text = ", ".join(map(str, sorted(versions)))
        found.append(_problem("opset", text, f"is not the opset that was asked for, {opset}", "try another --opset"))
    found += [
        _problem("missing-operator", name, "does not occur: the exporter decomposed it", "try another --opset")
        for name in expected.operators
        if not counts[name]
    ]
    return found


def _operators(model: Any) -> Counter[str]:
    return Counter(
        f"{node.domain}::{node.op_type}" if node.domain not in _STANDARD else node.op_type for node in model.graph.node
    )


def _problem(rule: str, place: str, message: str, advice: str) -> Finding:
    return Finding(rule, "wrong", place, message, advice)


def _result(problems: Sequence[Finding], counts: Counter[str], start: float) -> GateResult:
    if problems:
        first = problems[0]
        summary, advice = f"{first.place}: {first.message}", f"{first.rule}: {first.advice}"
    else:
        named = [f"{counts[name]} {name}" for name in ("GridSample", "TopK") if counts[name]]
        summary, advice = (
            f"valid, {sum(counts.values())} standard operators{', with ' if named else ''}{' and '.join(named)}",
            "",
        )
    return GateResult(
        GATE,
        Verdict.FAILED if problems else Verdict.PASSED,
        summary,
        advice,
        tuple(Measurement(name, "count", float(count)) for name, count in counts.items()),
        tuple(problems),
        time.perf_counter() - start,
        {"operators": dict(sorted(counts.items()))},
        TITLE,
        PROVES,
    )
