"""Computes, in PyTorch, a detector of one graph for a selection from elsewhere.

A detector of two graphs has its selection between them, where anyone can change the scores or the indices. In one graph the
operator that selects is given others.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, fx

from detr2litert.graphs.native_ops import TOP_ROWS
from detr2litert.graphs.partition import INDICES, Part

Array = NDArray[np.generic]

SCORES = "enc_scores"
"""The name of the scores that queries are selected by, ``[1, tokens]``, as in a detector of two graphs."""


@torch.no_grad()
def run_one_graph(part: Part, values: Mapping[str, Array], instead: Mapping[str, Array]) -> dict[str, Array]:
    """Computes the outputs of a graph that selects inside, and the scores that it selects by, by name.

    Args:
        part: the graph.
        values: its inputs by name.
        instead: scores, ``[1, tokens]``, or indices, ``[queries]``, to use in place of its own.
    """
    selecting = _Selecting(part.graph_module, instead)
    outputs = selecting.run(*(torch.from_numpy(np.asarray(values[name])) for name in part.input_names))
    named = {name: output.contiguous().numpy() for name, output in zip(part.output_names, outputs, strict=True)}
    return {**named, SCORES: selecting.scores}


class _Selecting(fx.Interpreter):
    def __init__(self, graph_module: fx.GraphModule, instead: Mapping[str, Array]) -> None:
        super().__init__(graph_module)
        self._instead = instead
        self.scores: Array = np.zeros((1, 0), np.float32)

    def call_function(self, target: Any, args: Any, kwargs: Any) -> Any:
        if target is not TOP_ROWS:
            return super().call_function(target, args, kwargs)
        own, count = args
        scores: Tensor = torch.from_numpy(np.asarray(self._instead[SCORES])).reshape(-1) if SCORES in self._instead else own
        self.scores = scores.reshape(1, -1).contiguous().numpy()
        if INDICES in self._instead:
            return torch.from_numpy(np.asarray(self._instead[INDICES], np.int32))
        return super().call_function(target, (scores, count), kwargs)
