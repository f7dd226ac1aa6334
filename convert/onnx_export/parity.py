"""Gate parity: onnxruntime computes from the file what PyTorch computes, at each batch, equal scores included.

Rounding differs between the two, and where scores are equal or nearly so it reorders the queries; then the outputs have nothing
in common element by element although both are right. So what is compared is, for each picture of a batch,

- the scores of all tokens;
- the order in which the file selects its tokens, with a stable sort of its own scores, exactly: ONNX's TopK takes the lower
  index of equal scores;
- the outputs, with PyTorch's for the tokens that the file selected;
- the outputs once more with scores that are mostly tied: PyTorch's, rounded to sixteen levels, given to both.

A backbone's maps are compared with those that its detector's backbone hands on while the detector runs.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from detr2litert.convert.models.backbone import maps_inside
from detr2litert.convert.models.reference import Reference
from detr2litert.convert.onnx_export.onnx_side import (
    OnnxFile,
    OpenedSelection,
    SelectedRun,
    UnreadableSelectionError,
    one_line,
    runtime_errors,
)
from detr2litert.convert.onnx_export.pytorch_side import Case, Computed, best, in_selected_order
from detr2litert.convert.proof.compared_outputs import in_order
from detr2litert.verify.gates import Doing, Finding, GateResult, Verdict
from detr2litert.verify.parity.figures import describe, figures
from detr2litert.verify.parity.metrics import Difference, difference

Array = NDArray[np.generic]
_File = TypeVar("_File")

GATE = "parity"
TITLE = "ONNX against PyTorch"
PROVES = "onnxruntime computes PyTorch's outputs from the file at each batch, with tied scores too"
LIMIT = 0.9999999
"""Lowest correlation of each tensor, equivalent to a relative error of 4.5e-4: that of the gate rewrites, since both sides
compute in float32. The largest error of the two demo detectors and of a small relative of each family is 1e-5."""


@dataclass(frozen=True)
class _Compared:
    """One comparison: the difference of two tensors, or the reason why they cannot be compared."""

    subject: str
    found: Difference | None = None
    problem: str = ""

    @property
    def good(self) -> bool:
        return self.found is not None and self.found.within(LIMIT)

    @property
    def text(self) -> str:
        return self.problem if self.found is None else describe(self.found)


def check_parity(path: Path, reference: Reference, cases: Sequence[Case], batches: Sequence[int], doing: Doing) -> GateResult:
    """Compares a detector's file with PyTorch.

    Args:
        path: of the file.
        reference: the detector.
        cases: at least as many as the largest batch.
        batches: to run the file at.
        doing: receives a description of each computation.
    """

    def compare(opened: OpenedSelection, batch: int) -> Iterator[_Compared]:
        return _compare_batch(opened, reference, cases[:batch], f"batch {batch}")

    return _judge(lambda: OpenedSelection(path), compare, batches, doing)


def check_backbone_parity(
    path: Path, reference: Reference, images: Sequence[Tensor], batches: Sequence[int], doing: Doing
) -> GateResult:
    """Compares a backbone's file with the feature maps inside the whole detector in PyTorch.

    Args:
        path: of the file.
        reference: the detector.
        images: ``[1, channels, H, W]`` each, at least as many as the largest batch.
        batches: to run the file at.
        doing: receives a description of each computation.
    """
    expected = [[part.numpy() for part in maps_inside(reference.module, image)] for image in images]

    def compare(file: OnnxFile, batch: int) -> Iterator[_Compared]:
        found = file.run(torch.cat(list(images[:batch])).numpy())
        for level, (name, value) in enumerate(found.items()):
            yield _compare(f"batch {batch} / {name}", value, np.concatenate([maps[level] for maps in expected[:batch]]))

    return _judge(lambda: OnnxFile(path), compare, batches, doing)


def _compare_batch(opened: OpenedSelection, reference: Reference, cases: Sequence[Case], where: str) -> Iterator[_Compared]:
    images = torch.cat([case.image for case in cases]).numpy()
    run = opened.run(images)
    if any(case.plain.scores is None for case in cases):
        yield from _compare_unordered(run, [case.plain for case in cases], where)
        return
    yield _compare(f"{where} / scores", run.scores, _joined(case.plain.scores for case in cases))
    yield from _compare_selected(
        run, reference, where, run.scores, lambda place, order: in_selected_order(reference, cases[place], order)
    )
    ties = _joined(case.tied.scores for case in cases if case.tied is not None)
    tied = [case.tied for case in cases if case.tied is not None]
    yield from _compare_selected(
        opened.run(images, ties), reference, f"{where}, tied scores", ties, lambda place, _: tied[place]
    )


def _compare_selected(
    run: SelectedRun, reference: Reference, where: str, scores: Array, expected: Callable[[int, Array], Computed]
) -> Iterator[_Compared]:
    """Compares the order of a selection by ``scores``, and the outputs with those that PyTorch computes for that order.

    Args:
        run: of the file.
        reference: the detector.
        where: for the subject.
        scores: ``[B, T]``, that the file selects by.
        expected: PyTorch's, for a picture's place in the batch and the order ``[1, Q]``.
    """
    order = best(scores, reference.num_queries)
    if run.order.shape != order.shape or not np.array_equal(run.order, order):
        text = f"{list(run.order.shape)}, not {list(order.shape)}" if run.order.shape != order.shape else "another order"
        yield _Compared(f"{where} / order", None, f"TopK does not sort the scores, of equal ones the lower index first: {text}")
        return
    computed = [expected(place, run.order[place : place + 1]) for place in range(len(run.order))]
    for name, value in run.outputs.items():
        yield _compare(f"{where} / {name}", value, _joined(item.outputs.get(name) for item in computed))


def _compare_unordered(run: SelectedRun, expected: Sequence[Computed], where: str) -> Iterator[_Compared]:
    """Compares the outputs of a detector that selects all tokens, as sets of queries."""
    for place, computed in enumerate(expected):
        one = {name: value[place : place + 1] for name, value in run.outputs.items()}
        ordered, _ = in_order(one, computed.outputs)
        for name, value in ordered.items():
            yield _compare(f"{where} / picture {place + 1}, {name}", value, computed.outputs[name])


def _compare(subject: str, found: Array, expected: Array) -> _Compared:
    if found.shape != expected.shape:
        return _Compared(subject, None, f"the shape is {list(found.shape)}, PyTorch's {list(expected.shape)}")
    return _Compared(subject, difference(found, expected))


def _joined(parts: Iterable[Array | None]) -> Array:
    return np.concatenate([part for part in parts if part is not None])


def _judge(
    load: Callable[[], _File], compare: Callable[[_File, int], Iterator[_Compared]], batches: Sequence[int], doing: Doing
) -> GateResult:
    """Loads a file, compares it at each batch, and judges the comparisons."""
    start = time.perf_counter()
    compared: list[_Compared] = []
    where = "loading the file"
    try:
        with torch.no_grad():
            file = load()
            for batch in batches:
                where = f"batch {batch}"
                doing(where)
                compared.extend(compare(file, batch))
    except UnreadableSelectionError as error:
        compared.append(_Compared("query selection", None, str(error)))
    except runtime_errors() as error:
        compared.append(_Compared(where, None, f"onnxruntime fails: {one_line(error)}"))
    wrong = [item for item in compared if not item.good]
    found = [item.found for item in compared if item.found is not None]
    errors = [item.relative_error for item in found]
    largest = math.nan if not errors or any(map(math.isnan, errors)) else max(errors)
    several = "es" if len(batches) > 1 else ""
    summary = (
        f"{len(compared) - len(wrong)} of {len(compared)} comparisons within limits at batch{several} "
        f"{', '.join(map(str, batches))}, relative errors up to {largest:.1e}"
    )
    if wrong:
        summary = f"{wrong[0].subject}: {wrong[0].text}; {summary}"
    return GateResult(
        GATE,
        Verdict.FAILED if wrong else Verdict.PASSED,
        summary,
        f"{wrong[0].subject} differs first: do not use the file; try another --opset" if wrong else "",
        tuple(measure for item in compared if item.found is not None for measure in figures(item.subject, item.found, LIMIT)),
        tuple(Finding("wrong-output", "wrong", item.subject, item.text, "try another --opset") for item in wrong),
        time.perf_counter() - start,
        {"batches": list(batches)},
        TITLE,
        PROVES,
    )
