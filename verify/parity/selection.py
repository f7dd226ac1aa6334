"""Compares two runs of a graph that selects its queries inside.

Two runs, on the CPU and on the GPU or before and after fp16 weights, may rank nearly equal scores differently. Their queries
then stand in another order or differ, and element by element their outputs have nothing in common. The graph gives the indices
that it selected, and PyTorch can compute the outputs for any selection. So where the indices differ,

- the outputs' reference is changed by what the other selection changes in PyTorch, which leaves the difference of the runs:
  ``reference + PyTorch(found's selection) - PyTorch(reference's selection)``;
- the selections are compared by PyTorch's scores of the tokens, best first: only nearly equal scores may change places.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Arrays = Mapping[str, Array]


@dataclass(frozen=True)
class SelectionInside:
    """The selection of a graph.

    Attributes:
        indices: name of the output with the selected tokens' indices, ``[queries]``.
        scores: name of the scores of all tokens, ``[1, tokens]``, among what ``compute`` returns.
        compute: PyTorch's outputs and scores, from the graph's inputs and the indices to select.
    """

    indices: str
    scores: str
    compute: Callable[[Arrays, Array], Arrays]

    def aligned(self, inputs: Arrays, found: Arrays, reference: Arrays) -> tuple[Arrays, Arrays]:
        """Returns both sides' tensors by name, in the form to compare element by element.

        Args:
            inputs: the graph's.
            found: a run's outputs.
            reference: another run's, or PyTorch's.

        An impossible selection, one that is out of range or has a token twice, becomes NaN, which agrees with nothing.
        """
        own, other = found.get(self.indices), reference.get(self.indices)
        if own is None or other is None or own.shape != other.shape or np.array_equal(own, other):
            return found, reference
        at_other = self.compute(inputs, other)
        scores = np.asarray(at_other[self.scores]).reshape(-1)
        if len(set(own.tolist())) < own.size or not ((own >= 0) & (own < scores.size)).all():
            return {**found, self.indices: np.full(own.shape, np.nan)}, reference
        at_own = self.compute(inputs, own)
        changed = {
            name: scores[other] if name == self.indices else _moved(value, at_own[name], at_other[name])
            for name, value in reference.items()
        }
        return {**found, self.indices: scores[own]}, changed


def _moved(value: Array, to: Array, origin: Array) -> Array:
    """Returns a reference at another selection; one of another shape than PyTorch's as it is, for the caller to find."""
    return value + (to - origin) if value.shape == to.shape else value
