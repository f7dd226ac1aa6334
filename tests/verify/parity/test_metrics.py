"""Metrics against hand-made answers: constants, non-finite values, degenerate boxes, and pairing where greedy fails."""

from __future__ import annotations

import math
from itertools import permutations

import numpy as np
import pytest

from detr2litert.verify.parity.metrics import correlation, difference, iou_matrix, match_sets, residual

NAN, INF = math.nan, math.inf


def test_correlation_is_pearsons() -> None:
    rng = np.random.default_rng(0)
    x = rng.standard_normal(1000)
    y = x + 0.1 * rng.standard_normal(1000)
    assert correlation(x, y) == pytest.approx(np.corrcoef(x, y)[0, 1], abs=1e-12)
    assert correlation(-x, x) == -1.0
    assert correlation(1e200 * x, 1e-200 * x) == pytest.approx(1.0)  # whose squares overflow and vanish


def test_correlation_of_constants() -> None:
    ones = np.ones(5, np.float32)
    assert correlation(ones, ones) == 1.0
    assert correlation(ones * (1 + 1e-6), ones) == 1.0
    assert math.isnan(correlation(ones * 1.1, ones))
    assert correlation(ones * 1.01, ones, tolerance=0.05) == 1.0
    assert math.isnan(correlation(np.arange(5), ones))
    assert math.isnan(correlation(ones, np.arange(5)))
    # The variation of rounding errors is not a signal: a correlation of noise with noise would be meaningless.
    noise = np.nextafter(ones, 2)
    noise[::2] = 1
    assert correlation(noise, ones) == correlation(noise[::-1], noise) == 1.0
    assert correlation(np.zeros(0), np.zeros(0)) == 1.0


def test_scale_and_offset_show_in_the_relative_error() -> None:
    x = np.random.default_rng(0).standard_normal(1000)
    scaled, moved = difference(2 * x, x), difference(x + 0.5, x)
    assert scaled.correlation == pytest.approx(1) and moved.correlation == pytest.approx(1)
    assert not scaled.within(0.99999) and not moved.within(0.99)
    assert moved.max_abs_error == pytest.approx(0.5) and moved.relative_error == pytest.approx(0.5 / x.std())
    assert difference(x, x).within(1.0)


def test_relative_error_is_bounded_below_by_correlation() -> None:
    rng = np.random.default_rng(0)
    for noise in (1e-3, 1e-2, 1e-1, 1):
        x = rng.standard_normal(500)
        found = difference(x + noise * rng.standard_normal(500), x)
        assert found.relative_error >= residual(found.correlation) * (1 - 1e-9)
    assert residual(0.999) == pytest.approx(0.04471, abs=1e-5)


def test_non_finite_values_are_explicit() -> None:
    x = np.array([1.0, 2, INF, -INF, 3])
    assert difference(x, x).within(0.99999)  # equal infinities agree
    for bad in (np.array([1.0, 2, INF, INF, 3]), np.array([1.0, 2, INF, 0, 3]), np.array([1.0, 2, INF, NAN, 3])):
        found = difference(bad, x)
        assert math.isnan(found.correlation) and math.isnan(found.relative_error) and found.max_abs_error == INF
        assert found.non_finite == 1 and not found.within(-1.0)
    assert difference(np.array([NAN]), np.array([NAN])).non_finite == 1  # NaN on both sides does not agree
    assert difference(np.full(3, INF), np.full(3, INF)).within(1.0)


def test_sizes_must_agree_and_shapes_need_not() -> None:
    assert difference(np.arange(6).reshape(2, 3), np.arange(6)).within(1.0)
    with pytest.raises(ValueError, match=r"\[2\] and \[3\]"):
        difference(np.zeros(2), np.zeros(3))


def test_iou() -> None:
    boxes = np.array([[0, 0, 2, 2], [1, 1, 3, 3], [5, 5, 6, 6], [1, 1, 1, 1], [2, 2, 2, 2]], float)
    found = iou_matrix(boxes, boxes)
    assert np.diag(found) == pytest.approx(1)
    assert found[0, 1] == pytest.approx(1 / 7) and found[0, 2] == 0
    assert found[3, 4] == 0 and found[0, 3] == 0
    assert iou_matrix(np.zeros((0, 4)), boxes).shape == (0, 5)


def test_matching_finds_pairs_that_greedy_misses() -> None:
    edges = np.array([[True, True], [True, False]])
    weight = np.array([[0.999, 0.995], [0.992, 0.0]])
    assert match_sets(edges, weight, [True, True], [True, True]) == [(0, 1), (1, 0)]


def test_required_ones_come_before_optional_ones() -> None:
    edges = np.ones((2, 1), bool)
    assert match_sets(edges, np.array([[0.9], [0.5]]), [False, True], [True]) == [(1, 0)]
    assert match_sets(edges.T, np.array([[0.9, 0.5]]), [True], [False, True]) == [(0, 1)]
    assert match_sets(edges, np.ones((2, 1)), [False, False], [False]) == [(0, 0)]
    assert match_sets(~edges, np.ones((2, 1)), [True, True], [True]) == []


def test_matching_covers_as_many_required_as_possible() -> None:
    """Against all pairings of random graphs: both sides' required elements are covered as well as each side could be alone."""
    rng = np.random.default_rng(0)
    for _ in range(200):
        rows, columns = rng.integers(1, 5, 2)
        edges = rng.random((rows, columns)) < 0.5
        left, right = rng.random(rows) < 0.6, rng.random(columns) < 0.6
        pairs = match_sets(edges, rng.random((rows, columns)), list(left), list(right))
        assert all(edges[pair] for pair in pairs)
        assert len({i for i, _ in pairs}) == len({j for _, j in pairs}) == len(pairs)
        assert sum(left[i] for i, _ in pairs) == _best(edges, left)
        assert sum(right[j] for _, j in pairs) == _best(edges.T, right)


def _best(edges: np.ndarray, required: np.ndarray) -> int:
    rows, columns = edges.shape
    slots = [*range(columns), *[-1] * rows]
    return max(
        sum(bool(required[i]) for i in range(rows) if order[i] >= 0 and edges[i, order[i]])
        for order in set(permutations(slots, rows))
    )
