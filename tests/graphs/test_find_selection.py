"""Finding the top-k at which a detector is cut."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from detectors import CHANNELS, SELECTED, TOKENS, TwoStage, image, normalised
from torch import Tensor, nn

from detr2litert.graphs.selection import NoSelectionError, find_selection
from detr2litert.graphs.toolbox import RewriteRefusedError, aten, calls

TARGETS = "aten.gather.default"


class Selects(nn.Module):
    """Tokens with one score each, and a function that selects."""

    def __init__(self, select: Callable[[Tensor, Tensor], object]) -> None:
        super().__init__()
        self._select = select

    def forward(self, tokens: Tensor) -> object:
        return self._select(tokens * 2, tokens.amax(-1))


def whole(index: Tensor, channels: int = CHANNELS) -> Tensor:
    return index.unsqueeze(-1).expand(-1, -1, channels)


def find(select: Callable[[Tensor, Tensor], object], batch: int = 1) -> object:
    return find_selection(normalised(Selects(select), torch.randn(batch, TOKENS, CHANNELS)))


def test_found() -> None:
    graph_module = normalised(TwoStage(), image())
    selection = find_selection(graph_module)
    assert selection.topk.target is aten.topk.default and selection.scores.meta["val"].shape == (1, TOKENS)
    assert (selection.k, selection.axis) == (SELECTED, 1) and selection.indices.meta["val"].shape == (1, SELECTED)
    assert list(selection.gathers) == calls(graph_module, aten.gather.default)


def test_the_gathers_come_in_graph_order() -> None:
    def three(tokens: Tensor, scores: Tensor) -> Tensor:
        index = whole(scores.topk(3)[1])
        return torch.gather(tokens, 1, index) + torch.gather(tokens + 1, 1, index) + torch.gather(tokens + 2, 1, index)

    selection = find(three)
    assert [g.name for g in selection.gathers] == ["gather", "gather_1", "gather_2"]  # type: ignore[attr-defined]


def test_none_found() -> None:
    with pytest.raises(NoSelectionError, match=r"there are 1 top-k ops, none of which feeds a gather") as caught:
        find(lambda tokens, scores: scores.topk(3)[0])
    assert "two-stage DETR" in str(caught.value)
    with pytest.raises(NoSelectionError, match="there are 0 top-k ops"):
        find(lambda tokens, scores: tokens)


def gathered(tokens: Tensor, scores: Tensor) -> Tensor:
    return torch.gather(tokens, 1, whole(scores.topk(3)[1]))


@pytest.mark.parametrize(
    ("select", "op", "reason"),
    [
        (lambda t, s: gathered(t, s) + gathered(t, -s), "aten.topk.default", "a second query selection"),
        (lambda t, s: torch.gather(t, 1, whole(s.topk(3, largest=False)[1])), "aten.topk.default", "the lowest scores"),
        (
            lambda t, s: torch.gather(t, 1, whole(s.topk(3)[1] // 2)),
            "aten.floor_divide.default",
            "reads the selection's indices",
        ),
        (lambda t, s: torch.gather(t, 1, whole(s.topk(3)[1] + 1)), "aten.add.Tensor", "reads the selection's indices"),
        (lambda t, s: t[0, s.topk(3)[1][0]], "aten.select.int", "reads the selection's indices"),
        (lambda t, s: (lambda i: (torch.gather(t, 1, whole(i)), i))(s.topk(3)[1]), "output", "reads the selection's indices"),
        (
            lambda t, s: (lambda k: torch.gather(t, 1, whole(k[1])) * k[0][..., None])(s.topk(3)),
            "getitem",
            "the selected scores",
        ),
        (lambda t, s: torch.gather(t, 1, s.topk(3)[1][..., None]), TARGETS, "does not select whole tokens"),
        (
            lambda t, s: torch.gather(t.flip(1)[:, :6], 1, whole(s[:, :6].topk(3)[1], 4)),
            TARGETS,
            "does not select whole tokens",
        ),
        (lambda t, s: torch.gather(s, 1, s.topk(3)[1]), TARGETS, "does not select whole tokens"),
    ],
)
def test_refusals(select: Callable[[Tensor, Tensor], object], op: str, reason: str) -> None:
    with pytest.raises(RewriteRefusedError, match=reason) as caught:
        find(select)
    error = caught.value
    assert op in error.op and error.node and error.hint in str(error)


def test_more_than_one_picture_is_refused() -> None:
    with pytest.raises(RewriteRefusedError, match=r"scores that are not \[1, tokens\]; export with batch size one"):
        find(gathered, batch=2)
