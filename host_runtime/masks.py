"""Masks of instances: from a graph's logits to the picture's pixels, and to run lengths in COCO's form.

As rfdetr (1.11.2, `models/postprocess.py`, `_postprocess_masks`): the logits are resized bilinearly to the picture
(`F.interpolate`, `align_corners=False`, no antialias), and a pixel is of the object if its logit is above 0.

D-FINE-seg (40fdf64, `src/infer/torch_model.py`, `process_masks` and `cleanup_masks`) resizes probabilities instead, of which
half is the threshold, and clears the pixels outside of the box. Here a half is taken from a probability, so that the threshold
is 0 too. The two differ at an object's edge by a part of a cell, since the sigmoid is not linear.

Run lengths are those of pycocotools (`common/maskApi.c`): pixels column by column, the lengths of the runs of 0 and 1 in turn,
of which the first is of 0 and may be empty; after the third, each is the difference to the one two before; in characters of 5
bits from `0` on, a sixth bit saying that more follow.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from detr2litert.host_runtime.host_kernels import sigmoid
from detr2litert.host_runtime.manifest import MaskActivation
from detr2litert.host_runtime.placement import Placement

Bits = NDArray[np.bool_]
_FIRST, _BITS = 48, 5


@dataclass(frozen=True)
class Mask:
    """Which pixels of a picture are of an object; `counts` are its run lengths, see the module."""

    width: int
    height: int
    counts: str

    @classmethod
    def of(cls, pixels: Bits) -> Mask:
        """Encodes the pixels [height, width]."""
        height, width = pixels.shape
        return cls(width, height, _encode(_runs(pixels)))

    @property
    def pixels(self) -> Bits:
        """The pixels [height, width]; raises ValueError if the run lengths are not those of a mask of this size."""
        runs = _decode(self.counts)
        if min(runs, default=0) < 0 or sum(runs) != self.width * self.height:
            raise ValueError(f"the run lengths are not those of {self.width} x {self.height} pixels")
        values = np.repeat(np.arange(len(runs)) % 2 == 1, runs)
        return np.ascontiguousarray(values.reshape(self.width, self.height).T)

    def within(self, box: tuple[float, float, float, float]) -> Mask:
        """Returns the mask without the pixels outside of a box: pixel x is inside if left <= x < right, and y likewise."""
        left, top, right, bottom = box
        columns, rows = np.arange(self.width), np.arange(self.height)[:, None]
        inside = (columns >= left) & (columns < right) & (rows >= top) & (rows < bottom)
        return Mask.of(self.pixels & inside)

    def iou(self, other: Mask) -> float:
        """Returns the intersection over union with a mask of the same size; 1 if both are empty."""
        one, two = self.pixels, other.pixels
        union = int((one | two).sum())
        return int((one & two).sum()) / union if union else 1.0

    def to_dict(self) -> dict[str, Any]:
        """Returns COCO's run-length form."""
        return {"size": [self.height, self.width], "counts": self.counts}

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Mask:
        """Parses the result of `to_dict`; raises ValueError if it is none."""
        height, width = data["size"]
        mask = cls(int(width), int(height), str(data["counts"]))
        _ = mask.pixels
        return mask


def mask_of(logits: NDArray[np.float32], placement: Placement, activation: MaskActivation = "none") -> Mask:
    """Returns a picture's mask of logits [h, w] that cover the detector's input, in which `placement` says where it lies."""
    if activation == "sigmoid":
        with np.errstate(over="ignore"):
            logits = sigmoid(logits) - np.float32(0.5)
    width, height = placement.picture
    rows = _positions(height, placement.height, placement.top, placement.input[1], logits.shape[0])
    columns = _positions(width, placement.width, placement.left, placement.input[0], logits.shape[1])
    wide = _between(logits.T, *columns).T
    pixels: Bits = _between(wide, *rows) > 0
    return Mask.of(pixels)


def _positions(
    pixels: int, resized: int, offset: int, whole: int, cells: int
) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.float32]]:
    """Returns, for each pixel of a side, the two nearest cells and the share of the second."""
    centres = ((np.arange(pixels) + 0.5) * (resized / pixels) + offset) * (cells / whole) - 0.5
    centres = np.clip(centres, 0, cells - 1)
    low = np.floor(centres).astype(np.intp)
    return low, np.minimum(low + 1, cells - 1), (centres - low).astype(np.float32)


def _between(
    values: NDArray[np.float32], low: NDArray[np.intp], high: NDArray[np.intp], share: NDArray[np.float32]
) -> NDArray[np.float32]:
    mixed: NDArray[np.float32] = values[low] * (1 - share[:, None]) + values[high] * share[:, None]
    return mixed


def _runs(pixels: Bits) -> list[int]:
    flat = pixels.T.reshape(-1)
    changes = np.flatnonzero(flat[1:] != flat[:-1]) + 1
    runs = np.diff(np.concatenate(([0], changes, [flat.size]))).tolist()
    return [0, *runs] if flat.size and flat[0] else runs


def _encode(runs: Sequence[int]) -> str:
    text = []
    for index, run in enumerate(runs):
        value = run - runs[index - 2] if index > 2 else run
        more = True
        while more:
            bits, value = value & 31, value >> _BITS
            more = value != (-1 if bits & 16 else 0)
            text.append(chr(_FIRST + (bits | 32 if more else bits)))
    return "".join(text)


def _decode(counts: str) -> list[int]:
    """Returns the run lengths; raises ValueError for other characters, a number beyond 64 bits, or an unfinished one."""
    runs: list[int] = []
    value, shift = 0, 0
    for character in counts:
        code = ord(character) - _FIRST
        if not 0 <= code < 64 or shift > 60:
            raise ValueError("the run lengths are not in COCO's compressed form")
        value |= (code & 31) << shift
        shift += _BITS
        if not code & 32:
            value -= (1 << shift) if code & 16 else 0
            runs.append(value + runs[-2] if len(runs) > 2 else value)
            value, shift = 0, 0
    if shift:
        raise ValueError("the run lengths end within a number")
    return runs
