"""Where a picture lies in the detector's input after the resize, and how boxes get back from there to the picture.

- `stretch`: the picture fills the input, whatever its aspect ratio.
- `letterbox`: scaled by the smaller factor, sides rounded to nearest (half to even), in the centre, an odd pixel of padding at
  the right or bottom. Source: ultralytics, `LetterBox` in ultralytics/data/augment.py (v8.3), with `center=True`.
- `letterbox_top_left`: scaled by the smaller factor, sides rounded down, padded at the right and bottom. Source: transformers
  5.23, `get_image_size_for_max_height_width` in image_utils.py, then `pad` of RTDetrImageProcessor.

All three are computed in float64, in this order of operations, in every runtime.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from detr2litert.host_runtime.manifest import Preprocess


@dataclass(frozen=True)
class Placement:
    """A picture of `picture` = (width, height) pixels, resized to `height` x `width`, at `top`, `left` of the input."""

    picture: tuple[int, int]
    input: tuple[int, int]
    height: int
    width: int
    top: int = 0
    left: int = 0

    @property
    def pads(self) -> bool:
        """Whether any pixel of the input is not of the picture."""
        return (self.width, self.height) != self.input

    @property
    def rows(self) -> slice:
        """The picture's rows of the input."""
        return slice(self.top, self.top + self.height)

    @property
    def columns(self) -> slice:
        """The picture's columns of the input."""
        return slice(self.left, self.left + self.width)

    def to_picture(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Returns scale and offset (x, y, x, y) from fractions of the input to pixels of the picture."""
        factors = self.picture[0] / self.width, self.picture[1] / self.height
        scale = [self.input[0] * factors[0], self.input[1] * factors[1]]
        offset = [-self.left * factors[0], -self.top * factors[1]]
        return np.asarray(scale * 2, np.float32), np.asarray(offset * 2, np.float32)


def place(picture: tuple[int, int], spec: Preprocess) -> Placement:
    """Returns the place of a picture of (width, height) pixels in the input."""
    size = (spec.width, spec.height)
    if spec.fit == "stretch":
        return Placement(picture, size, spec.height, spec.width)
    factor = min(spec.height / picture[1], spec.width / picture[0])
    rounded = int if spec.fit == "letterbox_top_left" else round
    height = min(max(rounded(picture[1] * factor), 1), spec.height)
    width = min(max(rounded(picture[0] * factor), 1), spec.width)
    if spec.fit == "letterbox_top_left":
        return Placement(picture, size, height, width)
    return Placement(picture, size, height, width, (spec.height - height) // 2, (spec.width - width) // 2)
