"""Inputs that reach what pictures of objects do not: constant pictures, ties, saturated values.

- Pictures without an object: black, white, mid grey, and a patchwork of these with the first picture.
- Tied and equal scores at the query selection. PyTorch leaves the order of equal scores open, so the original selects them here
  by the lower index, like the host step.
- Equal probabilities: every softmax gives all its positions the same value, in the original and in the rewritten detector. That
  ties whatever is selected from a softmax, which no picture does to trained weights.
- Saturated proposals: what the host step selects, times 16, as graph B's input. Sigmoids saturate, boxes reach over the border,
  and points fall on the last cell and beyond.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils._python_dispatch import TorchDispatchMode

from detr2litert.convert.models.reference import Reference
from detr2litert.graphs.toolbox import aten

Array = NDArray[np.generic]
Arrays = Mapping[str, Array]

SATURATION = 16.0
_LEVELS = 16
_MASKED = 50
_GREY = 128 / 255  # a pixel's value, so that a graph of pixels takes it too
_SMALL = 256**2


@dataclass(frozen=True)
class Rare:
    """A rare input of the whole detector.

    Attributes:
        name: for the report.
        image: ``[1, channels, height, width]``, normalised.
        scores: replaces the scores that queries are selected by; None to keep them.
        condition: entered while either side is computed.
        saturated: graph B's inputs from the host step are saturated, and graph B alone is compared.
    """

    name: str
    image: Tensor
    scores: Callable[[Tensor], Tensor] | None = None
    condition: Callable[[], AbstractContextManager[Any]] = nullcontext
    saturated: bool = False


def rare_inputs(reference: Reference, picture: Tensor) -> tuple[Rare, ...]:
    """Returns the rare inputs of a detector, made from its first picture ``[1, channels, height, width]``."""
    plain = {name: constant(reference, level) for name, level in (("black", 0.0), ("white", 1.0), ("grey", _GREY))}
    return (
        *(Rare(f"{name} picture", image) for name, image in plain.items()),
        Rare("patchwork", patchwork(reference, picture)),
        Rare("tied scores", picture, scores=tied),
        # Of equal scores the first cells are selected; on a large map these are the border's, which the detector masks.
        *((Rare("equal scores", picture, scores=torch.zeros_like),) if _maps_are_small(reference) else ()),
        Rare("equal probabilities", picture, condition=equal_probabilities),
        Rare("saturated proposals", picture, saturated=True),
    )


def _maps_are_small(reference: Reference) -> bool:
    """Returns whether no map has a cell within 0.01 of the border, where proposals are masked."""
    strides = reference.variant.strides
    return not strides or max(reference.size) // min(strides) < _MASKED


@contextmanager
def few_threads(reference: Reference) -> Iterator[None]:
    """Computes a small detector on one thread: on two, beside other processes, its operators wait for each other (20 times)."""
    before = torch.get_num_threads()
    if reference.size.height * reference.size.width <= _SMALL:
        torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def constant(reference: Reference, level: float) -> Tensor:
    """Returns a picture of one brightness from 0 to 1, normalised."""
    settings, white = reference.settings, 255 * reference.settings.scale.value
    mean, std = (torch.tensor(value.value, dtype=torch.float32).view(1, -1, 1, 1) for value in (settings.mean, settings.std))
    return ((level * white - mean) / std).expand(1, reference.channels, *reference.size).contiguous()


def patchwork(reference: Reference, picture: Tensor) -> Tensor:
    """Returns the picture with three of its quarters constant: black, white and grey."""
    height, width = (side // 2 for side in reference.size)
    result = picture.clone()
    result[..., :height, :width] = constant(reference, 0.0)[..., :height, :width]
    result[..., :height, width:] = constant(reference, 1.0)[..., :height, width:]
    result[..., height:, :width] = constant(reference, _GREY)[..., height:, :width]
    return result


def saturated(inputs: Arrays, from_a: Collection[str]) -> dict[str, Array]:
    """Returns graph B's inputs with its proposals saturated.

    These are the inputs from the host step, which graph A does not compute. Where the host step gives indices, graph B computes
    the proposals from the memory: then all else is saturated.
    """
    given = {name: value for name, value in inputs.items() if np.issubdtype(value.dtype, np.integer) or name in from_a}
    unchanged = {} if len(given) == len(inputs) else given
    return {
        name: value
        if name in unchanged or np.issubdtype(value.dtype, np.integer)
        else np.asarray(value, np.float32) * np.float32(SATURATION)
        for name, value in inputs.items()
    }


def tied(scores: Tensor) -> Tensor:
    """Returns the scores rounded down to sixteen levels, so that most are tied."""
    low, high = scores.min(), scores.max()
    step = (high - low) / _LEVELS
    return low + ((scores - low) / step).floor() * step if step > 0 else scores


@contextmanager
def equal_probabilities() -> Iterator[None]:
    """Every softmax within it gives all its positions the same probability."""
    with ExitStack() as stack:
        # This form of attention has a softmax of its own.
        stack.enter_context(sdpa_kernel(SDPBackend.MATH))
        stack.enter_context(_EqualLogits())  # type: ignore[no-untyped-call]
        yield


class _EqualLogits(TorchDispatchMode):  # type: ignore[no-untyped-call]
    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func in (aten._softmax.default, aten._safe_softmax.default):
            args = (torch.zeros_like(args[0]), *args[1:])
        return func(*args, **(kwargs or {}))
