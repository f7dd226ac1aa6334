"""Operators that the delegate has and ATen has not, as PyTorch operators: a graph that calls them still runs in PyTorch.

Each has a kernel written in other ATen operators, which defines what the operator computes, and a shape function for graphs
without data. ``convert.lowering.native`` writes them to the .tflite file. Encodings and measurements:
``verify.probe.suite.native``.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional


@torch.library.custom_op("detr2litert::resample", mutates_args=())
def resample(image: Tensor, points: Tensor) -> Tensor:
    """Samples bilinearly at points in pixels, with zeros outside; the custom operator ``Resampler``.

    Args:
        image: ``[B, H, W, C]``.
        points: ``[B, Q, P, 2]``, x and y; 0 is the centre of the first column or row, so that the image ends at -0.5 and
            ``size - 0.5``.

    Returns:
        ``[B, Q, P, C]``.
    """
    height, width = image.shape[1:3]
    size = torch.tensor([width, height], dtype=points.dtype, device=points.device)
    sampled = functional.grid_sample(image.permute(0, 3, 1, 2), (points * 2 + 1) / size - 1, align_corners=False)
    return sampled.permute(0, 2, 3, 1).contiguous()


@resample.register_fake
def _(image: Tensor, points: Tensor) -> Tensor:
    return image.new_empty((*points.shape[:3], image.shape[3]))


@torch.library.custom_op("detr2litert::layer_norm", mutates_args=())
def layer_norm(x: Tensor, weight: Tensor, bias: Tensor, eps: float) -> Tensor:
    """Normalises the last dimension; the custom operator ``custom_call.LayerNorm``.

    Args:
        x: of rank 2 to 4.
        weight, bias: ``[C]``, constants.
        eps: added to the variance.
    """
    return functional.layer_norm(x, x.shape[-1:], weight, bias, eps)


@layer_norm.register_fake
def _(x: Tensor, weight: Tensor, bias: Tensor, eps: float) -> Tensor:
    return torch.empty_like(x, memory_format=torch.contiguous_format)


@torch.library.custom_op("detr2litert::gather_rows", mutates_args=())
def gather_rows(table: Tensor, indices: Tensor) -> Tensor:
    """Selects rows; the builtin operator GATHER along its first axis.

    Args:
        table: ``[N, C]``.
        indices: ``[K]``, int32, each in 0 to N - 1.

    Returns:
        ``[K, C]``.
    """
    return table.index_select(0, indices)


@gather_rows.register_fake
def _(table: Tensor, indices: Tensor) -> Tensor:
    return table.new_empty((indices.shape[0], table.shape[1]))


@torch.library.custom_op("detr2litert::top_rows", mutates_args=())
def top_rows(scores: Tensor, k: int) -> Tensor:
    """Finds the rows of the largest scores; the indices of the builtin operator TOPK_V2.

    Args:
        scores: ``[N]``, finite: at least fp16's lowest number, with which the lowering fills the row up.
        k: how many.

    Returns:
        ``[k]``, int32, the best row first; of equal scores the lower index, which ``aten.topk`` leaves open.
    """
    return scores.sort(descending=True, stable=True).indices[:k].to(torch.int32)


@top_rows.register_fake
def _(scores: Tensor, k: int) -> Tensor:
    return scores.new_empty((k,), dtype=torch.int32)


@torch.library.custom_op("detr2litert::top_values", mutates_args=())
def top_values(x: Tensor, k: int) -> Tensor:
    """Finds the largest values of each row; the values of the builtin operator TOPK_V2.

    Args:
        x: ``[M, N]``, finite: at least fp16's lowest number, with which the lowering fills the rows up.
        k: how many.

    Returns:
        ``[M, k]``, the largest first, equal ones as often as they occur.
    """
    return x.sort(dim=-1, descending=True).values[:, :k].contiguous()


@top_values.register_fake
def _(x: Tensor, k: int) -> Tensor:
    return x.new_empty((x.shape[0], k))


RESAMPLE = torch.ops.detr2litert.resample.default
LAYER_NORM = torch.ops.detr2litert.layer_norm.default
GATHER_ROWS = torch.ops.detr2litert.gather_rows.default
TOP_ROWS = torch.ops.detr2litert.top_rows.default
TOP_VALUES = torch.ops.detr2litert.top_values.default
CUSTOM_OPS = (RESAMPLE, LAYER_NORM)
"""Those that only the GPU delegate can run."""
