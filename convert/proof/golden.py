"""Compares a finished bundle's golden vectors with what its checkpoint computes."""

from __future__ import annotations

import time
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from detr2litert.host_runtime.decode import Detections
from detr2litert.verify.gates import GateResult, Measurement, Verdict
from detr2litert.verify.parity.detections import EXTRA, MATCHED, MISSING, DetectionCase, DetectionLimits, compare_detections

Array = NDArray[np.generic]


def check_golden(
    golden: Mapping[str, Array],
    values: Mapping[str, Array],
    detections: tuple[Detections, Detections],
    limits: DetectionLimits,
    tolerance: float = 1e-3,
) -> GateResult:
    """Compares a bundle's golden vectors and detections with the checkpoint's.

    Args:
        golden: the bundle's tensors.
        values: the checkpoint's tensors, all of which the bundle must have.
        detections: the bundle's and the checkpoint's.
        limits: for comparing detections.
        tolerance: largest difference of a tensor, relative to its largest magnitude.
    """
    start = time.perf_counter()
    errors = {name: _relative_error(golden.get(name), values[name]) for name in sorted(values)}
    worst = max(errors, key=lambda name: errors[name])
    rows = compare_detections(DetectionCase("golden picture", detections[1].items, detections[0].items), limits)
    wrong = [row for row in rows if row.status in (MISSING, EXTRA)]
    matched = sum(row.status == MATCHED for row in rows)
    if worst not in golden:
        summary = f"the golden vectors lack {worst}"
    elif not errors[worst] <= tolerance:
        summary = f"golden {worst} differs from the checkpoint's by {errors[worst]:.1e} of its range"
    elif wrong:
        summary = (
            f"{len(wrong)} golden detections differ from the checkpoint's, the first {wrong[0].status} {wrong[0].class_name}"
        )
    else:
        both = f"{matched} detection{'' if matched == 1 else 's'}"
        summary = f"{len(values)} golden vectors agree with the checkpoint to {errors[worst]:.1e}, and {both}"
    good = worst in golden and errors[worst] <= tolerance and not wrong
    return GateResult(
        "golden",
        Verdict.PASSED if good else Verdict.FAILED,
        summary,
        "" if good else "the golden vectors are stale or of another checkpoint: make the bundle again with `convert run`",
        tuple(Measurement(name, "relative_error", error, tolerance, at_least=False) for name, error in errors.items()),
        seconds=time.perf_counter() - start,
    )


def _relative_error(found: Array | None, wanted: Array) -> float:
    """Returns the largest difference over the largest magnitude; infinite if it cannot be compared."""
    if found is None or found.shape != wanted.shape:
        return float("inf")
    a, b = np.asarray(found, np.float64), np.asarray(wanted, np.float64)
    error = float(np.abs(a - b).max() / max(float(np.abs(b).max()), 1e-12))
    return float("inf") if np.isnan(error) else error
