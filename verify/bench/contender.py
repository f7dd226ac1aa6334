"""What can be measured: something that turns a picture into detections, stage by stage."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from detr2litert.verify.bench.setup import Setup

THRESHOLD = 0.5
"""Score above which a detection counts, in every contender."""

Picture = Path | Image.Image
"""A file, whose decoding is then a stage, or a decoded picture, as a camera gives it."""


@dataclass(frozen=True)
class Prepared:
    """A picture as the detector's input.

    Attributes:
        tensor: float32 ``[1, channels, height, width]``, or the pixels, uint8 ``[1, height, width, channels]``.
        size: (width, height) of the picture in its own pixels.
        milliseconds: of each stage so far.
    """

    tensor: NDArray[Any]
    size: tuple[int, int]
    milliseconds: Mapping[str, float]


@dataclass(frozen=True)
class Inferred:
    """The rest of a frame: the milliseconds of each stage, and the number of detections above ``THRESHOLD``."""

    milliseconds: Mapping[str, float]
    detections: int


class Contender(Protocol):
    """Anything that turns a picture into detections; for one thread at a time, except ``prepare``.

    Attributes:
        name: shown in tables; different from every other contender's of a run.
        setup: what it runs on.
        notes: what a reader of its times has to know, a sentence each.
        variant: of the detector, "" if it is not known.
    """

    @property
    def name(self) -> str: ...

    @property
    def setup(self) -> Setup: ...

    @property
    def notes(self) -> tuple[str, ...]: ...

    @property
    def variant(self) -> str: ...

    def prepare(self, picture: Picture) -> Prepared:
        """Decodes, resizes and normalises a picture; raises UserError if it cannot be read."""
        ...

    def infer(self, prepared: Prepared) -> Inferred:
        """Computes the detections of a prepared picture; raises UserError if the engine cannot, or computes NaN."""
        ...

    def close(self) -> None:
        """Frees what it holds."""
        ...


@runtime_checkable
class BatchContender(Contender, Protocol):
    """A contender that computes several pictures in one call."""

    def infer_batch(self, prepared: list[Prepared]) -> Inferred:
        """Computes the detections of several prepared pictures at once; the times are those of the whole batch."""
        ...

    @property
    def fixed_batch(self) -> int | None:
        """The only batch size that it computes; None if it computes any."""
        ...


def stack(prepared: list[Prepared]) -> NDArray[Any]:
    """Returns one tensor ``[n, channels, height, width]`` of n prepared pictures."""
    return np.ascontiguousarray(np.concatenate([one.tensor for one in prepared]))
