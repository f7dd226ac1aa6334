"""Compares a compiled detector's outputs with the original's: query by query, in any order of the queries."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import torch
from numpy.typing import NDArray

from detr2litert.convert.compiler import KEYPOINTS, OUTPUT_NAMES
from detr2litert.graphs.mask_product import KEPT, MASKS
from detr2litert.verify.parity.metrics import Difference, difference, residual

Array = NDArray[np.generic]
Arrays = Mapping[str, Array]

LIMIT = 0.9999999
"""Lowest correlation of each output, equivalent to a relative error of 4.5e-4. The demo detectors' errors are below 2e-6; a
layer norm without its epsilon changes tiny's logits by 8e-4."""


def of_queries(outputs: Arrays) -> dict[str, Array]:
    """Returns the outputs that are compared query by query, of all queries."""
    return {name: outputs[name] for name in (*OUTPUT_NAMES, KEYPOINTS) if name in outputs}


def in_order(found: Arrays, expected: Arrays) -> tuple[dict[str, Array], int]:
    """Returns the outputs with their queries in the order of the expected ones, if they differ only in the order.

    Args:
        found, expected: ``[1, Q, …]`` by name, all of one Q.

    Returns:
        The outputs, and how many queries were at another position; the given outputs and 0 if no order makes them agree.
    """
    plain = {name: np.asarray(value) for name, value in found.items()}
    alike = all(plain[name].shape == expected[name].shape for name in plain)
    if not alike or agree(differences(plain, expected)):
        return plain, 0
    ours, theirs = (
        np.concatenate([_rows(side[name]) / (np.abs(expected[name]).max() + 1e-12) for name in plain], axis=1)
        for side in (plain, expected)
    )
    if not (np.isfinite(ours).all() and np.isfinite(theirs).all()):
        return plain, 0
    nearest = torch.cdist(torch.from_numpy(theirs), torch.from_numpy(ours)).argmin(dim=1).numpy()
    if len(set(nearest.tolist())) != len(nearest):
        return plain, 0
    sorted_again = {name: value[:, nearest] for name, value in plain.items()}
    if not agree(differences(sorted_again, expected)):
        return plain, 0
    return sorted_again, int((nearest != np.arange(len(nearest))).sum())


def _rows(output: Array) -> NDArray[np.float64]:
    """Returns an output ``[1, Q, …]`` as a row a query."""
    queries: NDArray[np.float64] = np.asarray(output, np.float64)[0]
    return queries.reshape(len(queries), math.prod(queries.shape[1:]))


def mask_differences(values: Arrays, expected: Arrays) -> dict[str, Difference]:
    """Returns the differences of the kept queries' masks, each compared with the mask of the nearest of the original's boxes.

    Boxes and logits are compared as well, so that a mask of another query shows.
    """
    if MASKS not in values or MASKS not in expected:
        return {}
    kept = np.asarray(values[KEPT], np.int64)
    ours, theirs = (
        np.concatenate([np.asarray(side[name], np.float64)[0] for name in OUTPUT_NAMES], axis=1) for side in (values, expected)
    )
    nearest = torch.cdist(torch.from_numpy(ours[kept]), torch.from_numpy(theirs)).argmin(dim=1).numpy()
    return differences({MASKS: np.asarray(values[MASKS]).transpose(0, 3, 1, 2)}, {MASKS: expected[MASKS][:, nearest]})


def differences(found: Arrays, expected: Arrays) -> dict[str, Difference]:
    """Returns the differences by name; outputs of another shape differ completely."""
    return {
        name: difference(found[name], value, tolerance=residual(LIMIT))
        if found[name].shape == value.shape
        else Difference(math.nan, math.nan, math.inf, float(np.abs(value).max()))
        for name, value in expected.items()
    }


def agree(differences: Mapping[str, Difference]) -> bool:
    return all(found.within(LIMIT) for found in differences.values())
