"""Outputs of seeded random weights, for the tests of several families."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from unittest import mock

import torch
from torch import Tensor

from detr2litert.convert.models.reference import Reference


@dataclass
class Outputs:
    """A reference with random weights and its outputs for two images."""

    reference: Reference
    boxes: Tensor = field(init=False)
    logits: Tensor = field(init=False)

    @torch.no_grad()
    def __post_init__(self) -> None:
        self.boxes, self.logits = self.reference.module(self.reference.example_input())

    @torch.no_grad()
    def check_variety(self) -> None:
        """Checks that outputs are finite and differ between queries, between classes, and between images."""
        boxes, logits = self.boxes[0], self.logits[0]
        assert boxes.isfinite().all() and logits.isfinite().all()
        assert boxes[:, :2].std(0).min() > 0.1
        assert boxes[:, 2:].std(0).min() > 0.005
        assert 0.3 < logits.std(0).mean() < 3
        assert 0.3 < logits.std(1).mean() < 3
        assert len(set(logits.argmax(1).tolist())) > 5
        other = self.reference.module(self.reference.example_input(seed=1))
        assert (other[0][0] - boxes).abs().mean() > 0.01
        assert (other[1][0] - logits).abs().mean() > 0.1

    @torch.no_grad()
    def without(self, pattern: str) -> float:
        """The change of the outputs when the parameters of this name are zero.

        The order of the queries may change with the selection, so outputs are compared in sorted order.
        """
        parameters = [p for name, p in self.reference.module.model.named_parameters() if re.search(pattern, name)]
        assert parameters, pattern
        originals = [parameter.clone() for parameter in parameters]
        try:
            for parameter in parameters:
                parameter.zero_()
            boxes, logits = self.reference.module(self.reference.example_input())
        finally:
            for parameter, values in zip(parameters, originals, strict=True):
                parameter.copy_(values)
        moved = [
            (before.flatten().sort().values - after.flatten().sort().values).abs().max()
            for before, after in ((self.boxes, boxes), (self.logits, logits))
        ]
        return float(max(moved))


@torch.no_grad()
def selected_scores(reference: Reference) -> Tensor:
    """The encoder's scores of the tokens that the example image selects, ``[Q]``."""
    selected: list[Tensor] = []
    topk = torch.topk

    def record(scores: Tensor, k: int, dim: int = -1) -> tuple[Tensor, Tensor]:
        values, indices = topk(scores, k, dim=dim)
        selected.append(values[0])
        return values, indices

    with mock.patch.object(torch, "topk", record):
        reference.module(reference.example_input())
    return selected[0]
