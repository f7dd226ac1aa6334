"""The gate on the compiler: what counts as the original's outputs, and what does not."""

from __future__ import annotations

import numpy as np

from convert.proof.equivalence import in_order

GENERATOR = np.random.default_rng(0)
BOXES = GENERATOR.random((1, 6, 4), np.float32)
LOGITS = GENERATOR.standard_normal((1, 6, 3)).astype(np.float32)
EXPECTED = {"boxes": BOXES, "logits": LOGITS}


def moved(order: list[int]) -> dict[str, np.ndarray]:
    return {name: value[:, order] for name, value in EXPECTED.items()}


def test_equal_outputs_stay_as_they_are() -> None:
    found, count = in_order(EXPECTED, EXPECTED)
    assert count == 0
    assert all((found[name] == EXPECTED[name]).all() for name in EXPECTED)


def test_queries_in_another_order_are_put_back_and_counted() -> None:
    found, count = in_order(moved([0, 2, 1, 3, 5, 4]), EXPECTED)
    assert count == 4
    assert all((found[name] == EXPECTED[name]).all() for name in EXPECTED)


def test_a_query_that_is_there_twice_is_no_order() -> None:
    given = moved([0, 0, 1, 2, 3, 4])
    found, count = in_order(given, EXPECTED)
    assert count == 0
    assert (found["boxes"] == given["boxes"]).all()


def test_boxes_of_other_queries_than_the_logits_are_no_order() -> None:
    given = {"boxes": BOXES[:, ::-1], "logits": LOGITS}
    found, count = in_order(given, EXPECTED)
    assert count == 0
    assert all((found[name] == given[name]).all() for name in given)


def test_queries_that_are_off_as_well_as_moved_stay_where_they_are() -> None:
    """Each has a nearest one of its own, but in no order do they agree."""
    given = moved([1, 0, 2, 3, 4, 5])
    given = {**given, "boxes": given["boxes"] + np.float32(0.01)}
    found, count = in_order(given, EXPECTED)
    assert count == 0
    assert all((found[name] == given[name]).all() for name in given)


def test_other_shapes_and_values_that_are_not_numbers_are_left_alone() -> None:
    short = {name: value[:, :5] for name, value in EXPECTED.items()}
    assert in_order(short, EXPECTED)[0]["boxes"].shape == (1, 5, 4)
    broken = {"boxes": BOXES * np.float32(np.nan), "logits": LOGITS}
    assert in_order(broken, EXPECTED)[1] == 0
