"""Reads the input size from the anchors in a checkpoint of RT-DETR or a descendant.

Their decoder stores the anchors of its evaluation size (``eval_spatial_size``) as the buffer ``decoder.anchors``, ``[1, tokens,
4]``: for each cell the logits of its centre and of a size of 0.05 · 2^level, and infinity where one of them is outside
(0.01, 0.99). Source: ``_generate_anchors`` in lyuwenyu/RT-DETR rtdetrv2_pytorch/src/zoo/rtdetr/rtdetrv2_decoder.py at 068dfde,
Peterande/D-FINE src/zoo/dfine/dfine_decoder.py at 4a1f73a.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from detr2litert.convert.models.settings.setting import Size
from detr2litert.graphs.delegate import MAX_SIDE

_STRIDES = ((8, 16, 32), (16, 32), (4, 8, 16), (8, 16), (32,), (16,), (4, 8, 16, 32), (8, 16, 32, 64))
"""Strides of the feature levels that published and documented configurations use."""

_SIZE = 0.05
_TOLERANCE = 1e-3


def size_of_anchors(anchors: Tensor, known: tuple[tuple[int, ...], ...] = _STRIDES) -> Size | None:
    """Returns the input size that anchors ``[1, tokens, 4]`` were generated for; None if no size gives them.

    Strides and size together decide the anchors: half the strides at half the size give the same. The first of ``known`` that
    fits counts.
    """
    if anchors.dim() != 3 or anchors.shape[0] != 1 or anchors.shape[2] != 4:
        return None
    values = anchors[0].float()
    for strides in known:
        for size in _sizes(values.shape[0], strides):
            expected = _generate(size, strides)
            finite = values.isfinite().all(dim=1) & expected.isfinite().all(dim=1)
            if bool(finite.any()) and float((values - expected)[finite].abs().max()) < _TOLERANCE:
                return size
    return None


def _sizes(tokens: int, strides: tuple[int, ...]) -> Iterator[Size]:
    """Yields the sizes whose levels have this number of cells in all, both sides multiples of the coarsest stride."""
    coarsest = strides[-1]
    cells = sum((coarsest // stride) ** 2 for stride in strides)
    if tokens % cells:
        return
    for rows in range(1, MAX_SIDE // coarsest + 1):
        columns, rest = divmod(tokens // cells, rows)
        if rest == 0 and 0 < columns * coarsest <= MAX_SIDE:
            yield Size(rows * coarsest, columns * coarsest)


def _generate(size: Size, strides: tuple[int, ...]) -> Tensor:
    levels = []
    for level, stride in enumerate(strides):
        rows, columns = size.height // stride, size.width // stride
        y, x = torch.meshgrid((torch.arange(rows) + 0.5) / rows, (torch.arange(columns) + 0.5) / columns, indexing="ij")
        side = torch.full_like(x, _SIZE * 2.0**level)
        levels.append(torch.stack((x, y, side, side), dim=-1).flatten(0, 1))
    return torch.cat(levels).logit()
