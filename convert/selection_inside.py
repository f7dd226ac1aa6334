"""How to compare the runs of a detector of one graph, which selects its queries inside."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from numpy.typing import NDArray

from detr2litert.convert.compiler import CompiledDetector
from detr2litert.convert.one_graph import SCORES
from detr2litert.graphs.partition import INDICES
from detr2litert.verify.parity.selection import SelectionInside

Array = NDArray[np.generic]


def selection_inside(compiled: CompiledDetector) -> SelectionInside | None:
    """Returns the comparison with PyTorch's outputs for any selection; None for a detector of two graphs."""
    if compiled.parts.b is not None:
        return None

    def compute(inputs: Mapping[str, Array], indices: Array) -> Mapping[str, Array]:
        image = torch.from_numpy(np.asarray(inputs[compiled.parts.a.input_names[0]], np.float32))
        return compiled.reorder(image, {INDICES: indices})

    return SelectionInside(INDICES, SCORES, compute)
