"""Records the query selection of a detector while it runs, and how clear it is."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.overrides import TorchFunctionMode

Array = NDArray[np.generic]

_CLEAR = 1e-5


class RecordedSelection(TorchFunctionMode):
    """Records how clear the selection of queries within it is: how far the last score is above the next, as a share of all.

    Where that is as small as rounding, PyTorch and the rewritten graph may legitimately select different tokens. It is measured
    in the original, since a wrong rewrite can make any selection unclear.

    Attributes:
        queries: how many are selected.
        change: changes the scores, which are then selected by the lower index among equals.
        gap: that share; 1 until a selection is recorded.
        scores: of all proposals, in the shape used by the selection; None until one is recorded.
    """

    def __init__(self, queries: int, change: Callable[[Tensor], Tensor] | None = None) -> None:
        super().__init__()
        self.change = change
        self.queries = queries
        self.gap = 1.0
        self.scores: Array | None = None

    @property
    def clear(self) -> bool:
        """True if rounding cannot select other tokens."""
        return self.gap > _CLEAR

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        # Heads use top-k elsewhere too, for example over a few bins.
        if func in (torch.topk, Tensor.topk) and args[1] == self.queries < args[0].numel():
            changed = args[0] if self.change is None else self.change(args[0])
            self.scores = changed.detach().contiguous().numpy()
            scores = args[0].flatten().sort(descending=True).values
            last, following = scores[self.queries - 1], scores[self.queries]
            self.gap = float((last - following) / (scores[0] - scores[-1]).clamp(min=1e-12))
            if self.change is not None:
                ordered = changed.sort(dim=-1, descending=True, stable=True)
                return torch.return_types.topk((ordered.values[..., : self.queries], ordered.indices[..., : self.queries]))
        return func(*args, **(kwargs or {}))
