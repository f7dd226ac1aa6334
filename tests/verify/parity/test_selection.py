"""Runs of a graph that selects inside: compared at the same selection, whichever it is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from detr2litert.verify.parity.metrics import residual
from detr2litert.verify.parity.numerics import GraphCase
from detr2litert.verify.parity.selection import SelectionInside

Array = NDArray[Any]
SCORES = np.array([0.5, 0.9, 0.4999999, 0.1, 0.8, 0.3], np.float32)
TOKENS = np.random.default_rng(0).normal(size=(6, 4)).astype(np.float32)
RANKS = np.arange(4, dtype=np.float32)[:, None]
"""Queries are learned for their rank."""
BEST, SWAPPED = np.array([1, 4, 0, 2], np.int32), np.array([1, 4, 2, 0], np.int32)


def compute(inputs: Any, indices: Array) -> dict[str, Array]:
    """The reference's outputs for a selection."""
    return {"boxes": (TOKENS[indices] + RANKS)[None], "indices": indices, "enc_scores": SCORES[None]}


def outputs(indices: Array, error: float = 0.0) -> dict[str, Array]:
    made = compute({}, indices)
    return {"boxes": made["boxes"] + np.float32(error), "indices": made["indices"]}


SELECTION = SelectionInside("indices", "enc_scores", compute)


def case(selection: SelectionInside | None = SELECTION) -> GraphCase:
    return GraphCase("graph_a", None, Path("x"), ({},), (outputs(BEST),), selection=selection)


def good(
    found: dict[str, Array], reference: dict[str, Array], selection: SelectionInside | None = SELECTION
) -> dict[str, bool]:
    differences = case(selection).differences(0, found, reference, residual(0.99999))
    return {name: one.within(0.99999) for name, one in differences.items()}


def test_nearly_equal_scores_may_change_places() -> None:
    assert good(outputs(SWAPPED), outputs(BEST)) == {"boxes": True, "indices": True}
    assert not good(outputs(SWAPPED), outputs(BEST), None)["boxes"]


def test_between_two_runs_only_their_own_difference_is_left() -> None:
    """The reference has an error of its own, such as that of fp16 weights, which the other run has too."""
    assert good(outputs(SWAPPED, 0.1), outputs(BEST, 0.1)) == {"boxes": True, "indices": True}
    assert not good(outputs(SWAPPED, 0.1), outputs(BEST))["boxes"]


def test_a_wrong_value_is_found_at_any_selection() -> None:
    wrong = outputs(SWAPPED)
    wrong["boxes"][0, 3, 1] += 1
    assert good(wrong, outputs(BEST)) == {"boxes": False, "indices": True}


def test_a_worse_token_is_no_near_tie() -> None:
    assert good(outputs(np.array([1, 4, 0, 3], np.int32)), outputs(BEST)) == {"boxes": True, "indices": False}


@pytest.mark.parametrize("indices", [[1, 4, 0, 0], [1, 4, 0, 6], [1, 4, 0, -1]])
def test_an_impossible_selection_agrees_with_nothing(indices: list[int]) -> None:
    found = {"boxes": outputs(BEST)["boxes"], "indices": np.array(indices, np.int32)}
    assert not good(found, outputs(BEST))["indices"]
