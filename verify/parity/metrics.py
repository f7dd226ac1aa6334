"""Measures how far two tensors, or two sets of boxes, differ. All arithmetic in float64.

Pearson correlation alone does not detect a wrong scale or offset, so every pair of tensors also has a relative error: the root
mean square of the difference over the standard deviation of the reference. The two are related: a correlation of r leaves a
residual of at least sqrt(1 - r²) of the reference's standard deviation (the coefficient of determination), so a correlation
limit r is also a limit of sqrt(1 - r²) on the relative error, and no second limit has to be chosen.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Float64 = NDArray[np.float64]

# A spread below this share of the magnitude is float32's rounding (2^-23 = 1.2e-7, a few roundings deep) and no signal.
_CONSTANT = 1e-6


@dataclass(frozen=True)
class Difference:
    """The difference between a candidate tensor and its reference.

    Attributes:
        correlation: Pearson's; see ``correlation`` for constants. NaN if undefined.
        relative_error: RMS of the difference over the reference's standard deviation; over max(1, |reference|) for a constant
            reference. NaN where a value is missing, infinite on one side only, or NaN.
        max_abs_error: largest absolute difference over the finite elements; infinite if a value is non-finite on one side only.
        reference_max: largest absolute finite value of the reference, to read the error against.
        non_finite: elements that are NaN on either side, or infinite and not equal.
    """

    correlation: float
    relative_error: float
    max_abs_error: float
    reference_max: float
    non_finite: int = 0

    def within(self, limit: float) -> bool:
        """True if both the correlation and the relative error meet a correlation limit; NaN never does."""
        return self.correlation >= limit and self.relative_error <= residual(limit)

    def as_dict(self) -> dict[str, Any]:
        """Returns plain data for JSON."""
        return dict(vars(self))


def residual(limit: float) -> float:
    """Returns the relative error that a correlation limit allows: sqrt(1 - limit²), at least float64's rounding."""
    return max(math.sqrt(max(0.0, 1.0 - limit * limit)), 1e-15)


def difference(candidate: NDArray[Any], reference: NDArray[Any], *, tolerance: float = 1e-5) -> Difference:
    """Compares two tensors element by element in row-major order; shapes may differ, sizes may not.

    Elements that are the same infinity on both sides agree and are skipped. Any other non-finite element makes correlation
    and relative error NaN, which meets no limit.

    Args:
        candidate, reference: any shapes with equal numbers of elements.
        tolerance: how close constants must be to count as equal, as a share of max(1, |reference|).

    Raises:
        ValueError: the numbers of elements differ.
    """
    x, y = _flat(candidate), _flat(reference)
    if x.size != y.size:
        raise ValueError(f"{list(candidate.shape)} and {list(reference.shape)} do not have equally many elements")
    finite = np.isfinite(x) & np.isfinite(y)
    bad = int(np.count_nonzero(~finite & (x != y)))  # NaN is unequal to itself, so it counts
    x, y = x[finite], y[finite]
    top = float(np.abs(y).max(initial=0.0))
    worst = float(np.abs(x - y).max(initial=0.0))
    if bad:
        return Difference(math.nan, math.nan, math.inf, top, bad)
    return Difference(correlation(x, y, tolerance=tolerance), _relative_error(x, y), worst, top)


def correlation(candidate: NDArray[Any], reference: NDArray[Any], *, tolerance: float = 1e-5) -> float:
    """Computes Pearson's r of finite tensors of equal size.

    Undefined where a side is constant. Then 1.0 if all elements are equal within ``tolerance`` x max(1, |reference|), else NaN.
    Two empty tensors are equal.
    """
    x, y = _flat(candidate), _flat(reference)
    if _is_constant(x) or _is_constant(y):
        worst = float(np.abs(x - y).max(initial=0.0))
        return 1.0 if worst <= tolerance * max(1.0, float(np.abs(y).max(initial=0.0))) else math.nan
    x, y = x - x.mean(), y - y.mean()
    # Divided by its own largest value first, so that squares of huge or tiny values neither overflow nor vanish.
    x, y = x / np.abs(x).max(), y / np.abs(y).max()
    return float(np.clip(np.dot(x, y) / math.sqrt(np.dot(x, x) * np.dot(y, y)), -1.0, 1.0))


def _relative_error(x: Float64, y: Float64) -> float:
    if x.size == 0:
        return 0.0
    scale = max(1.0, float(np.abs(y).max())) if _is_constant(y) else float(y.std())
    return float(np.sqrt(np.mean(((x - y) / scale) ** 2)))


def _is_constant(x: Float64) -> bool:
    return x.size == 0 or float(x.max() - x.min()) <= _CONSTANT * float(np.abs(x).max())


def _flat(x: NDArray[Any]) -> Float64:
    return np.asarray(x, np.float64).reshape(-1)


def iou_matrix(first: NDArray[Any], second: NDArray[Any]) -> Float64:
    """Computes the IoU of every box of ``first`` [N, 4] with every box of ``second`` [M, 4]: left, top, right, bottom.

    Two boxes whose union has no area have IoU 1 if they are the same box, else 0.
    """
    a, b = np.asarray(first, np.float64).reshape(-1, 1, 4), np.asarray(second, np.float64).reshape(1, -1, 4)
    overlap = np.maximum(np.minimum(a[..., 2:], b[..., 2:]) - np.maximum(a[..., :2], b[..., :2]), 0).prod(axis=-1)
    area_a, area_b = (np.maximum(box[..., 2:] - box[..., :2], 0).prod(axis=-1) for box in (a, b))
    union = area_a + area_b - overlap
    same = (a == b).all(axis=-1).astype(np.float64)
    result: Float64 = np.where(union > 0, overlap / np.where(union > 0, union, 1.0), same)
    return result


def match_sets(
    edges: NDArray[np.bool_], weight: Float64, left_required: Sequence[bool], right_required: Sequence[bool]
) -> list[tuple[int, int]]:
    """Pairs the elements of two sets so that as many required ones as possible have a partner, on both sides at once.

    Augmenting paths (Kuhn 1955): first from every required left element, then from every required right one, where an optional
    right element may lose its partner. A left element once paired stays so, and by the theorem of Mendelsohn and Dulmage (1958)
    the second phase therefore costs the first nothing. Last, optional elements are paired among the rest.

    Greedy best-first pairing is not sufficient: of two boxes that each fit two others it can take the only possible partner of
    the other one, and report a detection as missing that is not.

    Args:
        edges: [N, M], True where a pair is allowed.
        weight: [N, M], allowed partners are tried in descending order of it.
        left_required, right_required: N and M flags.

    Returns:
        (left, right) pairs, by left.
    """
    rows, columns = edges.shape
    order = [[int(j) for j in np.argsort(-weight[i], kind="stable") if edges[i, j]] for i in range(rows)]
    reverse = [[int(i) for i in np.argsort(-weight[:, j], kind="stable") if edges[i, j]] for j in range(columns)]
    left_of: dict[int, int] = {}
    right_of: dict[int, int] = {}

    def place_left(left: int, seen: set[int]) -> bool:
        for right in order[left]:
            if right not in seen:
                seen.add(right)
                if right not in left_of or place_left(left_of[right], seen):
                    left_of[right], right_of[left] = left, right
                    return True
        return False

    def place_right(right: int, seen: set[int]) -> bool:
        for left in reverse[right]:
            if left not in seen:
                seen.add(left)
                holder = right_of.get(left)
                if holder is None or not right_required[holder] or place_right(holder, seen):
                    if holder is not None and left_of.get(holder) == left:
                        del left_of[holder]
                    left_of[right], right_of[left] = left, right
                    return True
        return False

    for left in range(rows):
        if left_required[left]:
            place_left(left, set())
    for right in range(columns):
        if right_required[right] and right not in left_of:
            place_right(right, set())
    for left in range(rows):
        if left not in right_of:
            place_left(left, set())
    return sorted((left, right) for right, left in left_of.items())
