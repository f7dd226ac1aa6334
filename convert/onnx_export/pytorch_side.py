"""What PyTorch computes for the pictures that a file is checked on: the outputs, and the scores by which queries are selected.

Each picture is computed alone, so that a picture of a batch is compared with what the detector finds in it without the others.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from detr2litert.convert.models.reference import Reference
from detr2litert.convert.onnx_export.metadata import DETS, LABELS
from detr2litert.convert.proof.rare import tied
from detr2litert.convert.proof.recorded_selection import RecordedSelection
from detr2litert.convert.proof.reference_path import ReferencePath
from detr2litert.convert.proof.scenes import Picture

Array = NDArray[np.generic]

NEARLY = 1e-4
"""Differences of scores, as a share of their spread, that count as a near tie: ten times what is rounding in one of two runs
(``convert.proof.recorded_selection``)."""


@dataclass(frozen=True)
class Computed:
    """The outputs for one picture by one selection.

    Attributes:
        outputs: ``dets`` ``[1, Q, 4]`` and ``labels`` ``[1, Q, C]``.
        scores: of all tokens ``[1, T]``, that were selected by; None if all tokens are selected.
    """

    outputs: dict[str, Array]
    scores: Array | None

    def order(self, count: int) -> Array | None:
        """Returns the tokens with the ``count`` best scores, of equal scores the lower index first, ``[1, count]``."""
        return None if self.scores is None else best(self.scores, count)


@dataclass(frozen=True)
class Case:
    """A picture that a file is checked on.

    Attributes:
        name: for the report.
        picture: as decoded detections refer to it.
        image: the input ``[1, channels, H, W]``.
        plain: what PyTorch computes.
        tied: the same with the scores rounded to sixteen levels, so that most are equal; None if all tokens are selected.
    """

    name: str
    picture: Picture
    image: Tensor
    plain: Computed
    tied: Computed | None


class _Used(TorchFunctionMode):
    """Records whether ``grid_sample`` is called within it."""

    def __init__(self) -> None:
        super().__init__()
        self.sampling = False

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.sampling |= func in (functional.grid_sample, torch.grid_sampler)
        return func(*args, **(kwargs or {}))


@torch.no_grad()
def samples(module: nn.Module, image: Tensor) -> bool:
    """Returns whether a module uses ``grid_sample``."""
    with _Used() as used:
        module(image)
    return bool(used.sampling)


def images(path: ReferencePath, pictures: Sequence[Picture], count: int) -> list[tuple[str, Picture, Tensor]]:
    """Returns ``count`` different inputs with the pictures that they are of: each picture, then each rolled around.

    Different, since a fault that mixes a batch's pictures has no effect on equal ones.
    """
    found = []
    for number in range(count):
        turn, place = divmod(number, len(pictures))
        picture, tensor = pictures[place], path.tensor(pictures[place].image)
        height, width = tensor.shape[2:]
        shift = (turn * height // (count + 1), turn * width // (count + 1))
        name = f"{picture.name}, shifted {turn}×" if turn else picture.name
        found.append((name, picture, tensor.roll(shift, dims=(2, 3))))
    return found


def compute_cases(path: ReferencePath, pictures: Sequence[Picture], count: int) -> tuple[Case, ...]:
    """Computes ``count`` cases, see ``images``, with and without tied scores."""
    cases = []
    for name, picture, image in images(path, pictures, count):
        plain = compute(path.reference, image)
        same = None if plain.scores is None else compute(path.reference, image, mostly_tied(plain.scores))
        cases.append(Case(name, picture, image, plain, same))
    return tuple(cases)


@torch.no_grad()
def compute(reference: Reference, image: Tensor, scores: Array | None = None) -> Computed:
    """Computes one picture.

    Args:
        reference: the detector.
        image: ``[1, channels, H, W]``.
        scores: select by these ``[1, T]``, of equal ones the lower index first; None for its own.
    """
    change = None if scores is None else lambda own: torch.from_numpy(np.asarray(scores)).to(own.dtype)
    with RecordedSelection(reference.num_queries, change) as selection:
        boxes, logits = reference.module(image)
    return Computed({DETS: boxes.numpy(), LABELS: logits.numpy()}, selection.scores)


def in_selected_order(reference: Reference, case: Case, order: Array) -> Computed:
    """Computes a case with given tokens selected.

    Args:
        reference: the detector.
        case: what is known already.
        order: the tokens ``[1, Q]``, each at most once.
    """
    own = case.plain.order(reference.num_queries)
    if own is None or np.array_equal(own, order):
        return case.plain
    assert case.plain.scores is not None
    ranks = np.full(case.plain.scores.shape, -1, np.float32)
    np.put_along_axis(ranks, order.astype(np.int64), np.arange(order.shape[1], 0, -1, dtype=np.float32)[None], axis=1)
    return compute(reference, case.image, ranks)


def nearly_tied(case: Case, order: Array) -> bool:
    """Returns whether rounding may select these tokens ``[1, Q]``: by PyTorch's scores they are nearly the best, in order."""
    scores = case.plain.scores
    if scores is None or len(set(order[0].tolist())) < order.shape[1]:
        return False
    values = np.asarray(scores, np.float64)
    places = (order.astype(np.int64), best(scores, order.shape[1]))
    chosen, own = (np.take_along_axis(values, place, axis=1) for place in places)
    spread = float(np.ptp(values[np.isfinite(values)]))
    # Masked tokens have minus infinity on both sides.
    return bool(np.where(chosen == own, 0, np.abs(chosen - own)).max() <= NEARLY * spread)


def best(scores: Array, count: int) -> NDArray[np.int64]:
    """Returns the places of the ``count`` highest of scores ``[B, T]``, of equal ones the lower first: ``[B, count]``."""
    return np.argsort(-np.asarray(scores, np.float64), axis=1, kind="stable")[:, :count]


def mostly_tied(scores: Array) -> Array:
    """Returns the scores rounded down to sixteen levels; those of masked tokens, minus infinity, are unchanged."""
    result = torch.from_numpy(np.array(scores))
    finite = result.isfinite()
    result[finite] = tied(result[finite])
    return result.numpy()
