"""Gate detections: the file finds what PyTorch finds, compared as sets.

The file as it is, at each batch. Both sides' outputs are decoded by the official post-processing in PyTorch. Rounding may swap
tokens of nearly equal scores at the query selection, and with them the queries that are learned for their ranks. So where the
detections differ and the file's tokens are, by PyTorch's scores, nearly the best, they are compared once more with what PyTorch
finds for these tokens in this order.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from detr2litert.convert.onnx_export.metadata import DETS, LABELS
from detr2litert.convert.onnx_export.onnx_side import (
    OnnxFile,
    OpenedSelection,
    UnreadableSelectionError,
    one_line,
    runtime_errors,
)
from detr2litert.convert.onnx_export.pytorch_side import Case, in_selected_order, nearly_tied
from detr2litert.convert.proof.reference_path import ReferencePath
from detr2litert.host_runtime.decode import Detection
from detr2litert.verify.gates import Doing, Finding, GateResult, Verdict
from detr2litert.verify.parity.detections import (
    EXTRA,
    MISSING,
    DetectionCase,
    DetectionLimits,
    check_detections,
    compare_detections,
)

Array = NDArray[np.generic]

GATE = "detections"
TITLE = "Detections"
PROVES = "the file finds what PyTorch finds in the test pictures, at each batch"


def check_file_detections(
    file: Path, path: ReferencePath, cases: Sequence[Case], batches: Sequence[int], limits: DetectionLimits, doing: Doing
) -> GateResult:
    """Compares a file's detections with PyTorch's.

    Args:
        file: the ONNX file.
        path: the detector, with the official post-processing.
        cases: at least as many as the largest batch.
        batches: to run the file at.
        limits: of the comparison.
        doing: receives a description of each computation.
    """
    judge = _Judge(file, path, limits)
    compared: list[DetectionCase] = []
    try:
        with torch.no_grad():
            session = OnnxFile(file)
            for batch in batches:
                doing(f"batch {batch}")
                images = torch.cat([case.image for case in cases[:batch]]).numpy()
                compared += judge.cases(session.run(images), cases[:batch], images)
    except runtime_errors() as error:
        text = f"onnxruntime fails: {one_line(error)}"
        finding = Finding("onnxruntime", "wrong", file.name, text, "try another --opset")
        return GateResult(GATE, Verdict.FAILED, text, "try another --opset", findings=(finding,), title=TITLE, proves=PROVES)
    result = replace(check_detections(compared, limits), title=TITLE, proves=PROVES)
    if judge.reordered and result.verdict is Verdict.PASSED:
        result = replace(result, summary=f"{result.summary}; {judge.reordered} with PyTorch's queries in the file's order")
    if result.verdict is not Verdict.FAILED:
        return result
    first = result.findings[0]
    return replace(result, advice=f"{first.place}: {first.message}; see what parity finds")


class _Judge:
    """Decodes both sides' outputs, and reads the file's selection where they differ.

    Attributes:
        reordered: how many comparisons are with PyTorch's queries in the file's order.
    """

    def __init__(self, file: Path, path: ReferencePath, limits: DetectionLimits) -> None:
        self._file, self._path, self._limits = file, path, limits
        self._opened: OpenedSelection | None = None
        self.reordered = 0

    def cases(self, outputs: dict[str, Array], cases: Sequence[Case], images: Array) -> list[DetectionCase]:
        """Returns the comparisons of a batch's outputs."""
        found = [
            DetectionCase(
                f"{case.name}, batch {len(cases)}",
                self._decode(case, case.plain.outputs),
                self._decode(case, {name: value[place : place + 1] for name, value in outputs.items()}),
                sides=("PyTorch", "the file"),
            )
            for place, case in enumerate(cases)
        ]
        wrong = [place for place, item in enumerate(found) if not self._agree(item)]
        order = self._order(images) if wrong and all(case.plain.scores is not None for case in cases) else None
        if order is None:
            return found
        for place in wrong:
            if not nearly_tied(cases[place], order[place : place + 1]):
                continue
            computed = in_selected_order(self._path.reference, cases[place], order[place : place + 1])
            again = replace(found[place], reference=self._decode(cases[place], computed.outputs))
            if self._agree(again):
                found[place] = again
                self.reordered += 1
        return found

    def _agree(self, case: DetectionCase) -> bool:
        return not any(row.status in (MISSING, EXTRA) for row in compare_detections(case, self._limits))

    def _order(self, images: Array) -> Array | None:
        """Returns the tokens that the file selects ``[B, Q]``; None if they cannot be read."""
        try:
            self._opened = self._opened or OpenedSelection(self._file)
        except UnreadableSelectionError:
            return None
        return self._opened.run(images).order

    def _decode(self, case: Case, outputs: dict[str, Array]) -> tuple[Detection, ...]:
        boxes, logits = (torch.from_numpy(np.asarray(outputs[name], np.float32)) for name in (DETS, LABELS))
        return self._path.decode(boxes, logits, case.picture.image.size, self._limits.floor).items
